"""Do the checked cells give the same output every time, even on a machine that is busy? A command, not a test.

    python tests/stress.py [--runs 50] [--busy 2] [--side-by-side 1] [NAMES]

Executes each solution so often in a kernel of its own, while so many processes keep the processors busy, and counts the
checked cells whose output is not the stored one, and the cells that raise.
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SOLUTIONS = Path(__file__).parent.parent / "solutions"
CHECKED = "# NBVAL_CHECK_OUTPUT"


def printed(cell) -> str:
    """What a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")


def failures(path: Path) -> tuple[float, list[str]]:
    """Run one notebook once: how many seconds it took, and what went wrong."""
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    started = time.monotonic()
    try:
        NotebookClient(fresh, timeout=300, resources={"metadata": {"path": SOLUTIONS}}).execute()
    except CellExecutionError as error:
        return time.monotonic() - started, [str(error).strip().splitlines()[-1]]
    pairs = zip(stored.cells, fresh.cells, strict=True)
    checked = [(old, new) for old, new in pairs if old.cell_type == "code" and old.source.startswith(CHECKED)]
    wrong = [printed(new) for old, new in checked if printed(old) != printed(new)]
    return time.monotonic() - started, wrong


def burn() -> None:
    """Keep one processor busy for as long as the parent lives."""
    parent = os.getppid()
    while os.getppid() == parent:
        sum(range(100_000))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="only the notebooks whose names begin so")
    parser.add_argument("--runs", type=int, default=50, help="how often (default %(default)s)")
    parser.add_argument(
        "--busy", type=int, default=os.cpu_count(), help="how many processes burn (default: one a core)"
    )
    parser.add_argument(
        "--side-by-side", type=int, default=1, help="how many notebooks run at once (default %(default)s)"
    )
    options = parser.parse_args()
    paths = [
        path for path in sorted(SOLUTIONS.glob("[0-9]*.ipynb")) if path.name.startswith(tuple(options.names) or "")
    ]
    burners = [multiprocessing.Process(target=burn, daemon=True) for _ in range(options.busy)]
    for burner in burners:
        burner.start()
    bad = 0
    with ThreadPoolExecutor(options.side_by_side) as pool:
        for path in paths:
            wrong, slowest, done = [], 0.0, 0
            for seconds, texts in pool.map(failures, [path] * options.runs):
                wrong, slowest, done = wrong + texts, max(slowest, seconds), done + 1
                for text in texts:
                    print("   ", text.replace("\n", "\n    "), flush=True)
                print(f"{path.stem}: {done} runs, {len(wrong)} failures, {slowest:.0f} s at most", flush=True)
            bad += len(wrong)
    for burner in burners:
        burner.terminate()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
