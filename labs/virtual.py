"""Virtual time: the same servers, clients and link on a simulated clock, where an hour takes a moment and repeats exactly.

    run(experiment(virtual.launch))     # the coroutine that measured real servers with `launch`, now simulated

Time passes only when every task waits, and then at once. Connections are in memory. A coroutine that would wait for ever
raises `WaitsForever` immediately, one that never lets time pass raises `Spins`.
"""

import asyncio
import ctypes
import logging
import threading
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

import async_solipsism
from async_solipsism import SleepForeverError as WaitsForever  # noqa: F401  (part of what this module offers)

from labs.feed import Feed
from labs.hosting import build, serving
from labs.launch import Launching

WALL_LIMIT_S = 60.0  # real seconds for one run, on a machine that may be busy
TURN_LIMIT = 20_000  # turns of the event loop in which time stands still


class Spins(BaseException):
    """The coroutine kept the event loop busy without ever letting time pass. (Not an Exception: `except` must not eat it.)"""


class Loop(async_solipsism.EventLoop):
    """The simulated clock's event loop, which notices when time stands still."""

    _turns, _moment = 0, -1.0

    simulated = True  # what `labs.clock` asks for

    def __init__(self):
        super().__init__()
        clock, tick = self._selector.clock, self._selector.clock.resolution
        advance = clock.advance
        clock.advance = lambda delta: advance(max(delta, tick))  # a rest of less than a tick is one tick
        self._selector.get_map().values = self._selector._fd_to_key.values  # asked on every turn; the same, but faster

    def _run_once(self):
        self._turns += 1
        if self.time() != self._moment:
            self._turns, self._moment = 0, self.time()
        if self._turns > TURN_LIMIT:
            self._turns = 0
            raise Spins
        super()._run_once()

    def close(self):
        """Close what the coroutine has left open first; it may be an answer that forgot to."""
        try:
            for transport in list(self._transports.values()):
                if transport.get_protocol() is not None:  # it has not ended yet
                    transport.abort()
            if not self.is_closed():
                self.call_soon(self.stop)
                self.run_forever()  # one turn, in which the connections end
        finally:
            super().close()


def run(coroutine: Coroutine, *, wall_limit_s: float = WALL_LIMIT_S) -> Any:
    """Run a coroutine to its end in virtual time and return its result. Raises what it raises, `WaitsForever` or `Spins`.

    It runs in a worker thread, because a notebook's own thread already runs an event loop.
    """

    def work():
        with asyncio.Runner(loop_factory=Loop, debug=False) as runner:  # the debug mode would take most of the time
            return runner.run(coroutine)

    return in_thread(work, wall_limit_s=wall_limit_s)


def in_thread(work: Callable[[], Any], *, wall_limit_s: float) -> Any:
    """Call `work` in a thread of its own and return its result; after `wall_limit_s` real seconds, `Spins` is raised in it."""
    outcome: list[tuple[bool, Any]] = []
    ended = threading.Event()  # not `join`, which takes a thread for ended when it is itself interrupted

    def keep_outcome():
        try:
            outcome.append((True, work()))
        except BaseException as error:
            outcome.append((False, error))
        finally:
            ended.set()

    thread = threading.Thread(target=keep_outcome, daemon=True)
    thread.start()
    try:
        if not ended.wait(wall_limit_s):
            raise Spins
    except BaseException:  # also an interrupt: the work is not wanted any more
        end(thread, ended)
        raise
    thread.join()
    passed, value = outcome[0]
    if passed:
        return value
    raise value


def end(thread: threading.Thread, ended: threading.Event) -> None:
    """Raise `Spins` in a thread until it ends. One that catches it again and again is left behind, as a daemon."""
    for _ in range(20):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Spins))
        if ended.wait(0.1):
            return thread.join(1)


class Lines(logging.Handler):
    """Keeps what is logged, line by line, as a server's process would write it to stderr."""

    def __init__(self, lines: list[str]):
        super().__init__()
        self.lines = lines
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record):
        if isinstance(asyncio._get_running_loop(), Loop):  # another thread's is not ours
            self.lines += self.format(record).splitlines()


class InMemory:
    """A server in this process, on the virtual event loop; each start is a new epoch, always the same ones."""

    def __init__(self, name: str, *, keep: int = 10_000, **settings):
        self.name, self.keep, self.settings, self.starts = name, keep, settings, 0
        self.log: list[str] = []
        self._logging = Lines(self.log)

    async def start(self) -> str:
        self.starts += 1
        make_app = import_module(f"labs.servers.{self.name}").make_app
        self.feed = Feed(keep=self.keep, epoch=f"{self.starts:08x}")
        self._serving = serving(build(make_app, self.feed, **self.settings))
        logging.getLogger().addHandler(self._logging)
        return await self._serving.__aenter__()

    def publish_line(self, line: str) -> None:
        """What a line of standard input is to a process with --stdin."""
        self.feed.publish(line)

    async def stop(self) -> None:
        await self._serving.__aexit__(None, None, None)
        logging.getLogger().removeHandler(self._logging)


def launch(
    name: str, *, rtt_ms: float = 0.0, jitter_ms: float = 0.0, seed: int = 0, keep: int = 10_000, **settings
) -> Launching:
    """What `labs.launch.launch` is to real time: a server behind a link, in virtual time; `settings` are its `make_app`'s."""
    return Launching(InMemory(name, keep=keep, **settings), rtt_ms=rtt_ms, jitter_ms=jitter_ms, seed=seed)
