"""Data flows one way: feed and codecs ← servers ← launch ← measure → records → charts. The imports say whether it does."""

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# no input, no output
PURE = (
    "labs.feed",
    "labs.sse_codec",
    "labs.frames",
    "labs.handshake",
    "labs.rooms.registry",
    "labs.rooms.codec",
    "labs.bus.shared_rooms",
    "labs.ledger",
    "labs.models*",
)
SERVING = (
    "labs.hosting",
    "labs.sockets",
    "labs.rooms.outbox",
    "labs.rooms.lobby",
    "labs.rooms.raw_engine",
    "labs.bus.pubsub",
    "labs.bus.streams",
    "labs.bus.sharded",
    "labs.bus.redis_lines",
    "labs.rooms.engines",
    "labs.bus.shared_memory",
    "labs.bus.shared_lobby",
    "labs.bus.presence",
    "labs.peers",
)  # of servers
SERVING += ("labs.rooms.accounts", "labs.rooms.operations", "labs.socketio_engine")
OUTSIDE = (
    "asyncio.subprocess",
    "aiohttp*",
    "http.client*",
    "http.server*",
    "multiprocessing*",
    "redis*",
    "select*",
    "socket*",
    "ssl",
    "subprocess*",
)
OUTSIDE += ("threading", "urllib.request", "uvloop", "websockets*")
STARTING = (
    "subprocess*",
    "multiprocessing*",
    "asyncio.subprocess*",
    "asyncio.create_subprocess*",
    "os.fork*",
    "os.exec*",
)
STARTING += ("os.posix_spawn*", "os.spawn*", "os.system", "os.popen")
STARTERS = {
    "labs.launch": "starts the servers",
    "labs.doctor": "asks other programs for their versions, and whether one can be started at all",
    "labs.leash": "starts Redis, and ends it when its own starter has ended",
    "labs.bus.redis_process": "starts Redis on its leash",
    "labs.progress": "runs a learner's answers, each alone",
    "labs.choosing.lossy_wire": "starts the two ends of a wire in networks of their own",
    "labs.choosing.optional": "installs the packages that are missing",
}

# Who may import what of labs: the first line that fits a module counts. `*` stands for anything.
MAY_IMPORT = {
    "labs.clock": (),
    **dict.fromkeys(PURE, (*PURE, "labs.clock")),
    **dict.fromkeys(SERVING, (*PURE, *SERVING, "labs.clock")),
    "labs.servers*": (*PURE, *SERVING, "labs.clock"),
    "labs.clients": (*PURE, "labs.clock"),
    "labs.link": (*PURE, "labs.clock"),
    "labs.conformance": PURE,
    "labs.proxy": (*PURE, "labs.clock", "labs.hosting", "labs.clients", "labs.link"),
    "labs.launch": (*PURE, "labs.clock", "labs.clients", "labs.link"),
    "labs.leash": (),
    "labs.bus.redis_process": ("labs.leash", "labs.doctor"),
    "labs.virtual": (*PURE, "labs.clock", "labs.clients", "labs.link", "labs.hosting", "labs.launch"),
    "labs.measure*": (*PURE, "labs.clock", "labs.clients", "labs.link", "labs.measure*"),
    "labs.charts*": (*PURE, "labs.charts*"),
}


def name_of(path: Path) -> str:
    """The dotted name of a module of labs."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, str]:
    """The source of every module of labs by its name."""
    return {name_of(path): path.read_text("utf-8") for path in sorted((ROOT / "labs").rglob("*.py"))}


def uses(source: str, module: str) -> set[str]:
    """Every dotted name that this code imports, wherever it does so, or reads from what it imported."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module.split(".")[: -node.level]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            found |= {f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
    return found


def fits(name: str, patterns) -> bool:
    """Whether a dotted name, or what it is a part of, is one of these."""
    parts = name.split(".")
    return any(fnmatch(".".join(parts[:n]), pattern) for n in range(1, len(parts) + 1) for pattern in patterns)


def violations(name: str, source: str) -> set[str]:
    """What a module uses although it may not."""
    used, wrong = uses(source, name), set()
    allowed = next((may for pattern, may in MAY_IMPORT.items() if fnmatch(name, pattern)), None)
    if allowed is not None:
        wrong |= {use for use in used if use.startswith("labs.") and not fits(use, allowed)}
    if fits(name, (*PURE, "labs.charts*")):
        wrong |= {use for use in used if fits(use, OUTSIDE)}
    if name not in STARTERS:
        wrong |= {use for use in used if fits(use, STARTING)}
    return wrong


@pytest.mark.parametrize("name", modules())
def test_module_imports_only_what_is_upstream(name):
    assert violations(name, modules()[name]) == set()


@pytest.mark.parametrize("starter", STARTERS)
def test_module_that_may_start_processes_does(starter):
    assert any(fits(use, STARTING) for use in uses(modules()[starter], starter)), "strike it from the list"


@pytest.mark.parametrize(
    "name, source, wrong",
    [
        ("labs.feed", "import asyncio, json\nfrom labs.clock import now_ns", set()),
        ("labs.feed", "from labs import hosting", {"labs.hosting"}),
        ("labs.feed", "def f():\n    import labs.servers.sse", {"labs.servers.sse"}),
        ("labs.frames", "from socket import socket", {"socket.socket"}),
        ("labs.models", "import aiohttp.web", {"aiohttp.web"}),
        ("labs.servers.sse", "from labs.feed import Feed\nfrom labs.hosting import main", set()),
        ("labs.servers.sse", "from labs.servers import http_polling", {"labs.servers.http_polling"}),
        ("labs.servers.sse", "from labs.servers.http_polling import events", {"labs.servers.http_polling.events"}),
        ("labs.servers.sse", "from .http_polling import events", {"labs.servers.http_polling.events"}),
        ("labs.servers.sse", "from ..launch import launch", {"labs.launch.launch"}),
        ("labs.servers.sse", "from labs import virtual, measure", {"labs.virtual", "labs.measure"}),
        ("labs.launch", "import subprocess\nfrom labs.link import Link", set()),
        ("labs.launch", "from labs.servers import sse", {"labs.servers.sse"}),
        ("labs.measure", "from labs import charts", {"labs.charts"}),
        ("labs.charts.lanes", "from labs.charts.look import figure\nfrom labs import ledger, models", set()),
        ("labs.charts", "from labs.measure import latency", {"labs.measure.latency"}),
        ("labs.charts.lanes", "from labs import launch", {"labs.launch"}),
        ("labs.measure", "import asyncio\nasyncio.create_subprocess_exec", {"asyncio.create_subprocess_exec"}),
        ("labs.race", "import subprocess", {"subprocess"}),
        ("labs.anything", "import os\nos.fork()", {"os.fork"}),
        ("labs.anything", "from labs import charts, measure", set()),
    ],
)
def test_wrong_import_is_found(name, source, wrong):
    assert violations(name, source) == wrong
