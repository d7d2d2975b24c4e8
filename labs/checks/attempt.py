"""Try one case on an answer, whatever the answer does: hang, spin, block, raise, print, exit, or leave tasks behind.

Design notes
  * The case runs in a thread of its own, on a simulated clock, with a hard limit of real seconds.
  * What goes wrong becomes a `Failed`, which says it in the learner's terms: never a path, an address or a port.
  * A failure that a case has seen counts even if the answer catches the exception.
"""

import asyncio
import ctypes
import gc
import inspect
import io
import re
import sys
import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack, contextmanager, redirect_stdout
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from unittest.mock import patch

from labs import virtual

WALL_LIMIT_S = 5.0  # real seconds for a case in virtual time
REAL_LIMIT_S = 20.0  # … and for one that runs real processes
STOP_LIMIT_S = 30.0  # seconds of the case's own clock in which what was cancelled must end
PRINTED_LINES = 5
PLACES = (Path(__file__).parents[1], *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")))
# As they are and as they are named: a notebook imports the course as ../labs, and .venv may be a link.
NOT_THE_LEARNERS = tuple({name for place in PLACES for name in (str(place), str(place.resolve()))})

_failures: ContextVar[list | None] = ContextVar("failures", default=None)


class Failed(BaseException):
    """A case does not hold: its diagnosis, the lines that show it, and a hint.

    (Not an Exception: an answer that survives failed requests must not survive this.)
    """

    def __init__(self, diagnosis: str, shown: Iterable[str] = (), hint: str = ""):
        super().__init__(diagnosis)
        self.diagnosis, self.shown, self.hint = diagnosis, list(shown), hint


def fail(diagnosis: str, *shown: str, hint: str = "") -> NoReturn:
    """Say that the case does not hold."""
    failure = Failed(diagnosis, shown, hint)
    failures = _failures.get()
    if failures == []:
        failures.append(failure)  # the first is what counts
    raise failure


NOT_WRITTEN = Failed(
    "not-written", ["nothing here yet: write your answer in the cell above, run it, then run this cell"]
)
BARE_EXCEPT = (
    "`except:` and `except BaseException:` also catch what is meant to stop your code; name the failures you mean"
)


class Attempt:
    """One case, tried on one answer. `failure` is what did not hold, or None; `printed` is what the answer printed."""

    def __init__(self, case: Callable, answer: Any, *, real: bool):
        self.case, self.answer, self.real = case, answer, real
        self.seen: list[Failed] = []
        self.thread: threading.Thread | None = None
        with quiet() as (printed, forgotten):
            error = self._try()
            self.failure = self._explained(error) if error else None
            forget(error, *self.seen)
            coroutine = forgotten.get("first")
            gc.collect(0)  # what was made since the collection stopped and is of no use any more goes now, unheard
        if coroutine and error and (isinstance(error, STALLED) or "'coroutine'" in said(error)):
            self.failure = forgets_await(coroutine.__name__)
        self.printed = printed.getvalue().splitlines()[:PRINTED_LINES]

    def _try(self) -> BaseException | None:
        """What went wrong, if anything did."""
        error = None
        try:
            virtual.in_thread(self._work, wall_limit_s=REAL_LIMIT_S + 10 if self.real else WALL_LIMIT_S)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:
            error = alone(raised)
            if error is not raised:
                raised.__traceback__ = None
        return self.seen[0] if self.seen else error

    def _work(self) -> None:
        self.thread = threading.current_thread()
        if self.real:
            return asyncio.run(self._in_time(), debug=False)
        loop = virtual.Loop()
        loop.set_debug(False)
        try:
            loop.run_until_complete(self._run())
        finally:
            end(loop)

    async def _in_time(self) -> None:
        try:
            async with asyncio.timeout(REAL_LIMIT_S) as limit:
                await self._run()
        except TimeoutError:
            if limit.expired():
                raise virtual.WaitsForever from None
            raise

    async def _run(self) -> None:
        _failures.set(self.seen)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # what was left behind is no news
        outcome = self.case(self.answer)
        if inspect.isawaitable(outcome):
            await outcome

    def _explained(self, error: BaseException) -> Failed:
        """What an error means, in the learner's terms."""
        if isinstance(error, NotImplementedError):
            return NOT_WRITTEN
        if isinstance(error, Failed):
            return error
        if isinstance(error, virtual.WaitsForever):
            return WAITS_FOREVER
        if isinstance(error, virtual.Spins):
            return stuck(self.thread) if self.thread.is_alive() else SPINS
        return raises(error)


STALLED = (Failed, virtual.Spins, virtual.WaitsForever)
WAITS_FOREVER = Failed("waits-forever", ["your code waits for something that will never happen"], "who would wake it?")
SPINS = Failed(
    "spins", ["your code runs on and on without ever waiting"], "does every turn of the loop await something?"
)


def forgets_await(name: str) -> Failed:
    """A coroutine function was called and its result dropped."""
    shown = [f"{name}(…) was called and never awaited, so nothing of it happened"]
    return Failed(
        "forgets-await", shown, f"await {name}(…): without `await` you only get a coroutine, a promise of work"
    )


def raises(error: BaseException) -> Failed:
    """The answer raised something that it should not."""
    message = said(error)
    if isinstance(error, RuntimeError) and "event loop" in message:
        return Failed(
            "starts-its-own-loop", [*where(error), message], "an event loop runs already: await the coroutine in it"
        )
    return Failed(
        f"raises-{type(error).__name__}", [*where(error), message], "the last line above is Python's own message"
    )


def stuck(thread: threading.Thread) -> Failed:
    """The answer's thread could not be ended: it waits in a blocking call, or it catches everything."""
    Nudge.arrived = False
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Nudge))
    thread.join(0.2)
    if Nudge.arrived:
        return Failed("cannot-be-stopped", ["your code runs on, and it catches even what should end it"], BARE_EXCEPT)
    frame = learners_frame(sys._current_frames().get(thread.ident))
    place = [told(frame, frame.f_lineno)] if frame else []
    shown = [*place, "this call blocks: nothing else can run until it returns"]
    return Failed("blocks", shown, "everything that takes time must be awaited")


class Nudge(BaseException):
    """Raised in a thread to see whether it runs Python code: in a blocking call it does not arrive."""

    arrived = False

    def __init__(self):
        Nudge.arrived = True


@contextmanager
def quiet():
    """While an answer runs: its printing is kept, its forgotten coroutines are noted, and its clocks are the case's clock.

    Yields what was printed and, under "first", the first coroutine that was never awaited; both fill up as it runs.
    """
    printed, forgotten = FirstWords(), {}
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(printed))
        stack.enter_context(no_collection())
        # Without Python code, in which the exception that is to end an endless loop would be lost.
        note = partial(forgotten.setdefault, "first")
        stack.enter_context(patch.object(warnings, "_warn_unawaited_coroutine", note))
        stack.enter_context(patch.object(sys, "unraisablehook", lambda unraisable: None))
        for name, clock in CLOCKS.items():
            stack.enter_context(patch.object(time, name, clock))
        yield printed, forgotten


@contextmanager
def no_collection():
    """No garbage collection: it would come at any moment, and find coroutines that other code has forgotten."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def simulated(clock: Callable) -> Callable:
    """A clock that in an answer that runs in virtual time says virtual time, and elsewhere what it always says."""

    def read():
        loop = asyncio._get_running_loop()
        in_answer = _failures.get() is not None and isinstance(loop, virtual.Loop)
        return loop.time() if in_answer else clock()

    return read


def sleep(seconds: float) -> None:
    """What `time.sleep` is to an answer: a failure, because it would hold up the whole event loop."""
    if _failures.get() is None or asyncio._get_running_loop() is None or not learners_frame(sys._getframe(1)):
        return really_sleep(seconds)
    shown = f"time.sleep({seconds}) was called: nothing else can run until it returns"
    fail("blocks", shown, hint="wait with `await`, so that others can go on meanwhile")


really_sleep = time.sleep
CLOCKS = {name: simulated(getattr(time, name)) for name in ("time", "monotonic", "perf_counter")} | {"sleep": sleep}


class FirstWords(io.StringIO):
    """Keeps the first few thousand characters that are printed."""

    def write(self, text: str) -> int:
        return super().write(text) if self.tell() < 4000 else len(text)


def end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still runs, and close the loop. What refuses to end stays as it is, in a clock that stands still."""
    tasks = asyncio.all_tasks(loop)
    try:
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=STOP_LIMIT_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
        for task in tasks:
            if not task.done():
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))  # never freed: that would run what refuses to end


def forget(*errors: BaseException | None) -> None:
    """Let go of what errors hold on to, so that coroutines which nobody awaits are missed now and not later."""
    for error in errors:
        if error is not None:
            others = error.__context__, error.__cause__, *getattr(error, "exceptions", ())
            error.__traceback__ = error.__context__ = error.__cause__ = None
            if isinstance(error, AttributeError):
                error.obj = None  # what had no such attribute, perhaps a coroutine
            forget(*others)


def alone(error: BaseException) -> BaseException:
    """The one error in a group of one, as a TaskGroup raises it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def said(error: BaseException) -> str:
    """What Python would print for it, in one line."""
    try:
        text = next(iter(str(error).splitlines()), "")
    except Exception:  # its own __str__ fails
        text = ""
    return readable(f"{type(error).__name__}: {text}".rstrip(": "))


def where(error: BaseException) -> list[str]:
    """The learner's own line at which it went wrong, if there is one."""
    found = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if is_learners(frame)]
    return [told(*found[-1])] if found else []


def told(frame: FrameType, line: int) -> str:
    """A line of code as the learner finds it: in which function, which line of it, and its text."""
    code = frame.f_code
    text = traceback.FrameSummary(code.co_filename, line, code.co_name).line
    return f"in {code.co_name}, line {line - code.co_firstlineno + 1}" + (f":  {text}" if text else "")


def learners_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that runs the learner's code."""
    while frame is not None and not is_learners(frame):
        frame = frame.f_back
    return frame


def is_learners(frame: FrameType) -> bool:
    """Whether this is neither the course's code nor a library's."""
    file = frame.f_code.co_filename
    return not file.startswith(("<frozen", *NOT_THE_LEARNERS))


def readable(text: str) -> str:
    """Text without what differs from run to run or names this machine: addresses, ports, folders."""
    text = re.sub(r"0x[0-9a-fA-F]{6,}", "0x…", text)
    text = re.sub(r"(127\.0\.0\.1'?[:,] ?)\d+", r"\1…", text)
    text = re.sub(r"(?<![\w:/])(?:/[\w.@+-]+){2,}(?=/)", "…", text)
    return text if len(text) <= 150 else text[:149] + "…"
