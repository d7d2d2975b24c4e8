"""The packages that only notebook 07 needs: found, or installed from their lock, or done without.

print(await ready())       # "Socket.IO, WebRTC, QUIC and HTTP/2 can be measured here."
if have("socketio"): ...
"""

import asyncio
import importlib
import sys
from importlib import util
from pathlib import Path

LOCK = Path(__file__).parent.parent.parent / "requirements-choosing.txt"
PACKAGES = {"socketio": "Socket.IO", "aiortc": "WebRTC", "aioquic": "QUIC", "h2": "HTTP/2"}
INSTALL = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r")
PATIENCE_S = 240.0


def have(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return util.find_spec(package) is not None


def missing() -> list[str]:
    """What cannot be measured here for want of its package, in words."""
    return [name for package, name in PACKAGES.items() if not have(package)]


async def ready(*, install: bool = True, command: tuple[str, ...] = INSTALL, patience_s: float = PATIENCE_S) -> str:
    """Install what is missing, if that is wanted and possible; says in a sentence what can be measured now."""
    if install and missing():
        print(f"Installing the packages for {listed(missing())} from {LOCK.name}: about a minute.", flush=True)
        await run(*command, str(LOCK), patience_s=patience_s)
        importlib.invalidate_caches()
    if lacking := missing():
        instead = "Recorded figures stand in, or a section is skipped."
        return f"{listed(lacking)} cannot be measured here, because the packages are missing. {instead}"
    return f"{listed(list(PACKAGES.values()))} can be measured here."


async def run(*command: str, patience_s: float) -> int | None:
    """Run a command to its end; its exit status, or None if it took too long and was ended."""
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(patience_s):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
