"""Which exercises are solved, in your own notebooks as you saved them: `python -m labs.progress [--json] [NOTEBOOK …]`.

The outputs that a notebook stores say nothing here: it is handed out with the target printed under every check. So each
exercise's own three cells run again, the setup cell, the answer and the check, in a process of their own with a time
limit, and what `check` returns is the verdict. An answer that nobody has begun is not run.
"""

import argparse
import ast
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT_S = 20.0
STUB = re.compile(r"^\s*(raise NotImplementedError|\.\.\.)\s+# your code here\s*$", re.M)
SOLVED, NOT_YET, NOT_STARTED = "solved", "not yet", "not started"
MARKS = {SOLVED: "✓", NOT_YET: "✗", NOT_STARTED: "·"}
HEADING = re.compile(r"^#+ +(?P<text>.+?) *$", re.M)
BAR_WIDTH = 20


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook: its number, its title, and the source of the three cells that decide it."""

    number: str
    title: str
    setup: str
    answer: str
    check: str

    @property
    def begun(self) -> bool:
        """Whether the answer is more than the stub that was handed out."""
        if not STUB.search(self.answer):
            return True
        try:
            nodes = list(ast.walk(ast.parse(self.answer)))
        except SyntaxError:
            return True
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return any(_has_code_above_stub(function) for function in functions)


@dataclass(frozen=True)
class Result:
    """What became of one exercise: SOLVED, NOT_YET or NOT_STARTED, and the check's diagnosis where it is not solved."""

    number: str
    title: str
    state: str
    diagnosis: str | None = None


@dataclass(frozen=True)
class Progress:
    """One notebook: its file's name, its title, and what became of its exercises."""

    notebook: str
    title: str
    exercises: list[Result]

    @property
    def solved(self) -> int:
        """How many of its exercises are solved."""
        return sum(result.state == SOLVED for result in self.exercises)


def read(notebook: Path) -> tuple[str, list[Exercise]]:
    """The title of a notebook and its exercises, in order. Raises `ValueError` where the file is no notebook."""
    try:
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        prose = "\n".join(_source(cell) for cell in cells if cell["cell_type"] == "markdown")
        headings = [match["text"] for match in HEADING.finditer(prose)]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        return (headings or [notebook.stem])[0], list(_exercises(code, headings))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{notebook.name} is not a notebook that can be read") from error


def _exercises(code: list[dict], headings: list[str]) -> Iterator[Exercise]:
    setup = next((_source(cell) for cell in code if "setup" in _tags(cell)), "")
    for cell, following in zip(code, [*code[1:], {}], strict=True):
        if "exercise" in _tags(cell):
            number = cell["metadata"].get("exercise", "?")
            yield Exercise(number, _title(number, headings), setup, _source(cell), _source(following))


def _has_code_above_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Somebody may write an answer that returns and leave the stub's last line where it was."""
    return isinstance(function.body[-1], ast.Raise) and len(function.body) > 1 + bool(ast.get_docstring(function))


def _tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def _source(cell: dict) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _title(number: str, headings: list[str]) -> str:
    """What follows the number in its heading: `### Exercise 1.1 · the polling client`."""
    matches = (re.search(rf"\b{re.escape(number)}\b[ ·:.–-]*(.*)", heading) for heading in headings)
    return next((match[1] for match in matches if match), "")


def result(exercise: Exercise, folder: Path, limit_s: float = LIMIT_S) -> Result:
    """Run one exercise's cells, in `folder`, and say what became of it."""
    passed, diagnosis = verdict(exercise, folder, limit_s) if exercise.begun else (False, "not-written")
    if passed:
        return Result(exercise.number, exercise.title, SOLVED)
    if diagnosis == "not-written":
        return Result(exercise.number, exercise.title, NOT_STARTED)
    return Result(exercise.number, exercise.title, NOT_YET, diagnosis)


def verdict(exercise: Exercise, folder: Path, limit_s: float) -> tuple[bool, str | None]:
    """`passed` and `diagnosis` of the exercise's check, run in a process of its own that ends in any case."""
    cells = json.dumps([exercise.setup, exercise.answer, exercise.check])
    command = [sys.executable, "-P", __file__, "--decide"]
    quiet = {"stderr": subprocess.DEVNULL, "start_new_session": True}
    environ = os.environ | {"MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8"}
    with tempfile.TemporaryFile() as report:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=report, cwd=folder, env=environ, **quiet)
        try:
            child.communicate(cells.encode(), timeout=limit_s)
        except subprocess.TimeoutExpired:
            return False, f"no verdict within {limit_s:g} s"
        finally:
            _end(child)
        report.seek(0)
        return tuple(json.loads(report.read() or '[false, "the process ended without a verdict"]'))


def _end(child: subprocess.Popen) -> None:
    """End the process and those that it started; the servers that it launched notice by themselves."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except AttributeError:  # Windows
        child.kill()
    except ProcessLookupError:
        pass
    child.wait()


def decide() -> None:
    """In the process of its own: run the three cells from standard input as a notebook would; report the verdict."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    report = os.dup(1)  # what the cells print must not get in between
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.path.insert(0, "")
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    outcome = _run(shell, *json.load(sys.stdin))
    os.write(report, json.dumps(outcome).encode())
    os._exit(0)  # whatever the cells left running


def _run(shell, setup: str, answer: str, check: str) -> tuple[bool, str | None]:
    for where, source in (("the setup cell", setup), ("the answer", answer)):
        ran = shell.run_cell(source)
        if error := ran.error_before_exec or ran.error_in_exec:
            return False, f"{where} raises {type(error).__name__}"
    verdicts, original = [], shell.user_ns.get("check")
    shell.user_ns["check"] = lambda *arguments: verdicts.append(original(*arguments))
    shell.run_cell(check)
    if not verdicts:
        return False, "the check did not run"
    failed = [verdict.diagnosis for verdict in verdicts if not verdict.passed]
    return not failed, failed[0] if failed else None


def progress(notebook: Path, workers: int | None = None) -> Progress:
    """Run the exercises of one notebook, as many at a time as there are processors."""
    title, found = read(notebook)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        results = pool.map(lambda exercise: result(exercise, notebook.parent), found)
        return Progress(notebook.name, title, list(results))


def table(progress: Progress) -> str:
    """One notebook as text: its title and a bar, then a line for each exercise."""
    count, solved = len(progress.exercises), progress.solved
    filled = BAR_WIDTH * solved // count if count else 0
    bar = "█" * filled + "░" * (BAR_WIDTH - filled)
    lines = [f"{progress.title:<32} {bar} {solved} of {count} solved"]
    for result in progress.exercises:
        said = result.diagnosis or result.state
        lines.append(f"  {MARKS[result.state]} {result.number:<5} {result.title:<34} {said}")
    return "\n".join(lines)


def as_json(everything: Iterable[Progress]) -> str:
    """All notebooks as JSON."""
    return json.dumps([asdict(one) | {"solved": one.solved} for one in everything], indent=2, ensure_ascii=False)


def main(arguments: list[str] | None = None) -> int:
    """Print the progress of the notebooks named, by default of all. Returns 1 when one of them cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m labs.progress", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="notebooks (default: all in notebooks/)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    everything, status = [], 0
    for notebook in options.notebooks or sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        try:
            everything.append(progress(notebook))
        except (OSError, ValueError) as error:
            print(error, file=sys.stderr)
            status = 1
        else:
            print("" if options.json else table(everything[-1]) + "\n", end="", flush=True)
    if options.json:
        print(as_json(everything))
    return status


if __name__ == "__main__":
    if sys.argv[1:] == ["--decide"]:
        decide()
    sys.stdout.reconfigure(errors="replace")  # a console that cannot show ✓ shows ?
    sys.exit(main())
