"""What whoever runs a rooms server needs: its log as JSON, its figures for Prometheus, secrets and certificates from files."""

import argparse
import json
import logging
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from labs.rooms.codec import is_name
from labs.rooms.lobby import Lobby

SECRET = 8  # characters that a secret has at least
ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class JsonLines(logging.Formatter):
    """One JSON object for each line of the log: when (Unix seconds), how grave, who says it, what, and its details."""

    def format(self, record: logging.LogRecord) -> str:
        details = record.args if isinstance(record.args, Mapping) else {}
        what = str(record.msg).partition(" ")[0] if details else record.getMessage()
        line = {
            "time": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "event": what,
            **details,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def exposition(lobby: Lobby) -> str:
    """Everything that a lobby counts, in the text format of Prometheus."""
    return "".join(f"{line}\n" for line in lines(lobby))


def lines(lobby: Lobby) -> Iterator[str]:
    """The lines of the exposition."""
    rooms, held = lobby.rooms.rooms, [session.transport.get_write_buffer_size() for session in lobby.sessions]
    yield from metric("rooms_connections", "gauge", "Connections that are open.", len(lobby.sessions))
    yield from metric("rooms_rooms", "gauge", "Rooms with somebody in them.", len(rooms))
    members = sum(len(room.members) for room in rooms.values())
    yield from metric("rooms_members", "gauge", "Members of all rooms, once for each room they are in.", members)
    yield from metric("rooms_held_bytes", "gauge", "Bytes that wait for slow readers.", sum(held))
    yield from metric(
        "rooms_held_bytes_largest", "gauge", "Bytes that wait for the slowest reader.", max(held, default=0)
    )
    for what, meaning in COUNTED.items():
        yield from metric(f"rooms_{what}_total", "counter", meaning, lobby.counted[what])
    yield from metric("rooms_errors_total", "counter", "Error messages sent.", by(lobby, "error", "code"))
    yield from metric("rooms_ended_total", "counter", "Connections ended by the server.", by(lobby, "ended", "code"))
    yield from metric("process_cpu_seconds_total", "counter", "CPU time of this process.", time.process_time())
    if (size := resident_bytes()) is not None:
        yield from metric("process_resident_memory_bytes", "gauge", "Memory of this process.", size)


COUNTED = {
    "opened": "Connections that were opened.",
    "closed": "Connections that have ended.",
    "received": "Messages received.",
    "delivered": "Messages of members written to members.",
}


def by(lobby: Lobby, what: str, label: str) -> dict[str, int]:
    """Counts with a label, as `error bad_json` is counted."""
    found = {key.partition(" ")[2]: count for key, count in lobby.counted.items() if key.startswith(f"{what} ")}
    return {f'{{{label}="{value.translate(ESCAPED)}"}}': count for value, count in sorted(found.items())}


def metric(name: str, kind: str, meaning: str, value: float | dict[str, int]) -> Iterator[str]:
    """One metric, with its values for each label if it has some."""
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    for labels, number in (value if isinstance(value, dict) else {"": value}).items():
        yield f"{name}{labels} {number}"


def resident_bytes() -> int | None:
    """How much memory this process holds; None where that cannot be read."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def choice(*values: str) -> Callable[[str], str]:
    """For an option that takes one of these."""

    def chosen(text: str) -> str:
        if text not in values:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(values)}")
        return text

    return chosen


def log_format(text: str) -> str:
    """For an option that takes text or json, and sets the log to it."""
    if choice("text", "json")(text) == "json":
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=logging.INFO, handlers=[handler])
    return text


def secrets_in(path: str) -> dict[str, str]:
    """For an option that names a JSON file of names and their secrets."""
    try:
        secrets = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot read {path}: {error}") from None
    if not isinstance(secrets, dict) or not all(is_name(name) for name in secrets):
        raise argparse.ArgumentTypeError(f"{path} is not a JSON object of names")
    if not all(isinstance(secret, str) and len(secret) >= SECRET for secret in secrets.values()):
        raise argparse.ArgumentTypeError(f"a secret in {path} has fewer than {SECRET} characters")
    if len(set(secrets.values())) < len(secrets):
        raise argparse.ArgumentTypeError(f"two names in {path} have the same secret")
    return secrets


def tls_from(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """What TLS needs, from a certificate's file. Ends the process with a sentence if that cannot be."""
    if cert is None:
        return sys.exit("--key needs --cert") if key else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:  # ssl's own errors are such, too
        sys.exit(f"cannot use the certificate {cert}: {error.strerror or error}")
    return context
