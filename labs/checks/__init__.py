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
import re
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NoReturn

from labs import virtual

SHOWN_LINES = 15
REAL_LIMIT_S = 30.0  # for the cases that run real processes in real time


class Failed(Exception):
    """A case does not hold: its diagnosis, the lines that show it, and a hint."""

    def __init__(self, diagnosis: str, shown: Iterable[str] = (), hint: str = ""):
        self.diagnosis, self.shown, self.hint = diagnosis, list(shown), hint


def fail(diagnosis: str, *shown: str, hint: str = "") -> NoReturn:
    """Say that the case does not hold."""
    raise Failed(diagnosis, shown, hint)


@dataclass(frozen=True)
class Verdict:
    """What a check found: `passed`, and for a failure its `diagnosis`."""

    passed: bool
    diagnosis: str | None = None

    def _ipython_display_(self) -> None:  # the printed lines say it all
        pass


@dataclass
class Exercise:
    """One exercise: its number, the name of the answer, and the cases that a right answer meets."""

    number: str
    name: str
    cases: list[tuple[str, Callable, bool]] = field(default_factory=list)

    def case(self, sentence: str, *, real: bool = False) -> Callable:
        """Add a case: `sentence` is what holds. With `real` it runs on a real event loop, with real processes."""

        def add(function: Callable) -> Callable:
            self.cases.append((sentence, function, real))
            return function

        return add


def check(number: str, answer: Any) -> Verdict:
    """Check the answer to exercise `number` and print the verdict."""
    lines, verdict = judge(number, answer)
    print("\n".join(lines))
    return verdict


def judge(number: str, answer: Any, *, real: bool = True) -> tuple[list[str], Verdict]:
    """What `check` prints, and the verdict. Without `real`, the cases that need real processes are passed over."""
    exercise = find(number)
    lines = [f"{number} {exercise.name}"]
    for sentence, case, in_real_time in exercise.cases:
        if in_real_time and not real:
            continue
        failure = _try(case, answer, in_real_time)
        if failure is not None:
            shown = [f"        {line}" for line in _shortened(failure.shown)]
            hint = [f"    Hint: {failure.hint}"] if failure.hint else []
            return [*lines, f"  ✗ {sentence}", *shown, *hint], Verdict(False, failure.diagnosis)
        lines.append(f"  ✓ {sentence}")
    return lines, Verdict(True)


def claim(number: str, sentence: str, holds: bool) -> None:
    """Print the sentence if the measurement bears it out; it is the finding that a chart's title states."""
    said = f"{sentence[0].upper()}{sentence[1:]}."
    print(
        f"✓ {said}"
        if holds
        else f"✗ On this run it did not show: “{said}” Run the measuring cell again on a quieter machine."
    )


def find(number: str) -> Exercise:
    """The exercise with this number, e.g. "1.3" is the third of notebook 01."""
    notebook = int(number.partition(".")[0])
    return import_module(f"labs.checks.n{notebook:02}").EXERCISES[number]


def _try(case: Callable, answer: Any, real: bool) -> Failed | None:
    """Run one case; whatever goes wrong becomes a `Failed`."""
    if answer is ...:
        return NOT_WRITTEN

    async def attempt():
        outcome = case(answer)
        return await outcome if inspect.isawaitable(outcome) else outcome

    try:
        if real:
            virtual.in_thread(lambda: asyncio.run(attempt()), wall_limit_s=REAL_LIMIT_S)
        else:
            virtual.run(attempt())
    except Failed as failure:
        return failure
    except NotImplementedError:
        return NOT_WRITTEN
    except virtual.WaitsForever:
        return Failed("waits-forever", ["your code waits for something that will never happen"], "who would wake it?")
    except virtual.Spins:
        return Failed(
            "spins", ["your code runs on and on without ever waiting"], "does every turn of the loop await something?"
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        hint = "the last line above is Python's own message"
        return Failed(f"raises-{type(error).__name__}", _learners_lines(error, answer), hint)
    return None


NOT_WRITTEN = Failed(
    "not-written", ["nothing here yet: write your answer in the cell above, run it, then run this cell"]
)


def _learners_lines(error: BaseException, answer: Any) -> list[str]:
    """Where in the learner's own code it went wrong, and what Python said; no paths, no addresses."""
    code = getattr(inspect.unwrap(answer), "__code__", None) if callable(answer) else None
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if code and frame.filename == code.co_filename
    ]
    lines = (
        [f"line {frames[-1].lineno - code.co_firstlineno + 1} of your function:  {frames[-1].line}"] if frames else []
    )
    message = re.sub(r"0x[0-9a-fA-F]+", "0x…", str(error))
    return [*lines, f"{type(error).__name__}: {message}".splitlines()[0][:150]]


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
    if done:
        task.result()  # raises what it raised
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return False
