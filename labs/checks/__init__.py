"""Exercise checks: `check("2.1", answer)` prints what holds, and for the first thing that does not, what happened and a hint.

Design notes
  * A check never raises, never hangs and never prints anything that varies from run to run: a notebook stores what a right
    answer prints, and the cell is compared with that.
  * Answers run in virtual time, in a thread with a hard limit. Races are driven by yielding at chosen points, not by luck.
  * Each exercise is a list of cases. A case is a function that takes the answer and calls `fail` when something is wrong;
    the first failure ends the check. Its *diagnosis* is a short stable slug: tests hold that each wrong answer gets its own.
"""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from labs.checks.attempt import BARE_EXCEPT, NOT_WRITTEN, STOP_LIMIT_S, Attempt, Failed, alone, fail, readable

__all__ = ["Exercise", "Failed", "Timeline", "Verdict", "check", "claim", "fail", "for_a_while", "judge", "stop"]

SHOWN_LINES = 15
ASYNC_MATTERS = ("spins", "blocks", "forgets-await", "starts-its-own-loop", "raises-")  # how a plain `def` goes wrong


@dataclass(frozen=True)
class Verdict:
    """What a check found: `passed`, and for a failure its `diagnosis`."""

    passed: bool
    diagnosis: str | None = None

    def _ipython_display_(self) -> None:  # the printed lines say it all
        pass


@dataclass
class Exercise:
    """One exercise: its number, the name of the answer, how it is called, and the cases that a right answer meets."""

    number: str
    name: str
    parameters: str
    awaited: bool = False  # the answer is an `async def`
    generator: bool = False  # … that yields
    cases: list[tuple[str, Callable, bool]] = field(default_factory=list)

    def case(self, sentence: str, *, real: bool = False) -> Callable:
        """Add a case: `sentence` is what holds. With `real` it runs on a real event loop, with real processes."""

        def add(function: Callable) -> Callable:
            self.cases.append((sentence, function, real))
            return function

        return add

    @property
    def call(self) -> str:
        """How the check calls the answer."""
        return f"{'await ' * self.awaited}{self.name}({self.parameters})"


def check(number: str, answer: Any) -> Verdict:
    """Check the answer to exercise `number` and print the verdict."""
    lines, verdict = judge(number, answer)
    print("".join(f"{line}\n" for line in lines), end="")  # in one piece, so that nothing can come between
    return verdict


def judge(number: str, answer: Any, *, real: bool = True) -> tuple[list[str], Verdict]:
    """What `check` prints, and the verdict. Without `real`, the cases that need real processes are passed over."""
    exercise = find(str(number))
    if exercise is None:
        return [f"There is no exercise {number}."], Verdict(False, "no-such-exercise")
    lines = [f"{number} {exercise.name}"]
    for sentence, case, in_real_time in exercise.cases:
        if in_real_time and not real:
            continue
        failure, printed = _try(exercise, case, answer, in_real_time)
        if failure is not None:
            return [*lines, f"  ✗ {sentence}", *_told(failure, printed)], Verdict(False, failure.diagnosis)
        lines.append(f"  ✓ {sentence}")
    return lines, Verdict(True)


def _try(exercise: Exercise, case: Callable, answer: Any, real: bool) -> tuple[Failed | None, list[str]]:
    """What one case finds wrong with an answer, if anything, and what the answer printed meanwhile."""
    unfit = _unfit(exercise, answer)
    if unfit:
        return unfit, []
    watched = Watched(exercise, answer)
    tried = Attempt(case, watched, real=real)
    if tried.failure and watched.is_plain and tried.failure.diagnosis.startswith(ASYNC_MATTERS):
        return _not_async(exercise, f"{exercise.name} is a plain function"), tried.printed
    return tried.failure, tried.printed


def _unfit(exercise: Exercise, answer: Any) -> Failed | None:
    """Why the answer cannot even be called, if it cannot."""
    if answer is ...:
        return NOT_WRITTEN
    name, kind = exercise.name, type(answer).__name__
    if inspect.iscoroutine(answer):
        answer.close()
    if not callable(answer):
        hint = f"hand over the function itself: {name}, without parentheses"
        return Failed("not-a-function", [f"a function is wanted, and this is of type {kind}"], hint)
    if inspect.iscoroutinefunction(answer) and not (exercise.awaited or exercise.generator):
        hint = f"there is nothing to wait for in it: def {name}({exercise.parameters})"
        return Failed("is-async", [f"{name} is declared with `async def`, and it is called as {exercise.call}"], hint)
    try:
        inspect.signature(answer).bind(*filter(None, exercise.parameters.split(", ")))
    except TypeError as error:
        is_async = exercise.awaited or exercise.generator
        hint = f"its first line is: {'async ' * is_async}def {name}({exercise.parameters}):"
        return Failed("wrong-parameters", [f"it is called as {exercise.call}", f"Python says: {error}"], hint)
    except ValueError:
        pass  # a built-in function that does not tell its parameters
    return None


class Watched:
    """The answer, watched: what it hands back must be something to await, or something at all."""

    def __init__(self, exercise: Exercise, answer: Callable):
        self.exercise, self.answer = exercise, answer
        self.is_plain = exercise.awaited and not inspect.iscoroutinefunction(answer)  # as far as we know

    def __call__(self, *arguments):
        result = self.answer(*arguments)
        if not self.exercise.awaited:
            if result is None:
                why = "does every way through it end in a `return`?"
                fail("returns-nothing", f"{self.exercise.call} returned None", hint=why)
        elif inspect.isawaitable(result):
            self.is_plain = False
        else:
            raise _not_async(self.exercise, f"what it gave back, {_kind(result)}, cannot be awaited")
        return result


def _not_async(exercise: Exercise, shown: str) -> Failed:
    hint = f"its first line is: async def {exercise.name}({exercise.parameters}):"
    return Failed("not-async", [f"it is called as {exercise.call}", shown], hint)


def _kind(value: Any) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _told(failure: Failed, printed: list[str]) -> list[str]:
    """The failure as it is printed, and the first of what the answer printed itself."""
    lines = [f"        {readable(line)}" for line in _shortened(failure.shown)]
    lines += [f"    Hint: {failure.hint}"] if failure.hint else []
    return lines + (["    Your code printed:", *(f"        {line[:150]}" for line in printed)] if printed else [])


def claim(number: str, sentence: str, holds: bool) -> None:
    """Print the sentence if the measurement bears it out; it is the finding that a chart's title states."""
    said = f"{sentence[0].upper()}{sentence[1:]}."
    print(
        f"✓ {said}"
        if holds
        else f"✗ On this run it did not show: “{said}” Run the measuring cell again on a quieter machine."
    )


def find(number: str) -> Exercise | None:
    """The exercise with this number, e.g. "1.3" is the third of notebook 01; None if there is none."""
    notebook = number.partition(".")[0]
    name = f"labs.checks.n{notebook:0>2}"
    try:
        return import_module(name).EXERCISES.get(number)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= SHOWN_LINES:
        return lines
    return [*lines[: SHOWN_LINES - 4], f"… {len(lines) - SHOWN_LINES + 1} more …", *lines[-3:]]


class Timeline:
    """What happened, line by line, with the virtual time at which it did."""

    def __init__(self):
        self.lines: list[str] = []
        self.start = asyncio.get_running_loop().time()

    @property
    def now(self) -> float:
        """Seconds since this timeline began."""
        return round(asyncio.get_running_loop().time() - self.start, 6)

    def add(self, text: str, at: float | None = None) -> None:
        """Note something, now or at a given time."""
        self.lines.append(f"{self.now if at is None else at:6.2f} s  {text}")


async def for_a_while(coroutine, seconds: float) -> bool:
    """Let the learner's coroutine run for so many virtual seconds, then end it. True if it ended by itself before that."""
    task = asyncio.ensure_future(coroutine)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        await stop(task)
    elif error := task.exception():
        raise alone(error)
    return bool(done)


async def stop(task: asyncio.Task) -> None:
    """Cancel the learner's task; it is to end."""
    task.cancel()
    _, still_running = await asyncio.wait({task}, timeout=STOP_LIMIT_S)
    if still_running:
        shown = "it was cancelled, as when a page is closed, and runs on"
        fail("cannot-be-stopped", shown, hint=BARE_EXCEPT)
