"""Build the notebooks: solutions/NN_x.py -> solutions/NN_x.ipynb (executed) -> notebooks/NN_x.ipynb (what a learner opens).

    python solutions/build.py              # all of them
    python solutions/build.py 01           # those whose names begin so
    python solutions/build.py --check      # do the three still agree? executes nothing

In the source an answer stands between `### BEGIN SOLUTION` and `### END SOLUTION`, and a line that ends in `### PREDICTION`
assigns what the learner is to guess. A learner's notebook has a stub in their place. It keeps the outputs of checked cells
alone, which are the same on every machine and say what an exercise asks for; everything else the learner measures anew.
"""

import argparse
import copy
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

SOLUTIONS = Path(__file__).parent
NOTEBOOKS = SOLUTIONS.parent / "notebooks"
CHECKED = "# NBVAL_CHECK_OUTPUT"
YOUR_CODE = "# your code here"
YOUR_NUMBER = "# your number here"
ANSWER = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION$", re.DOTALL | re.MULTILINE
)
PREDICTION = re.compile(r"^(\w+) = .*?  ### PREDICTION$", re.MULTILINE)
METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {
        "name": "python",
        "file_extension": ".py",
        "mimetype": "text/x-python",
    },
}


def read(source: Path) -> nbformat.NotebookNode:
    """The notebook that a source describes, without outputs; cell ids come from the cells' places."""
    notebook = jupytext.read(source)
    notebook.metadata = copy.deepcopy(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place:03}"
    return notebook


def execute(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run every cell in a new kernel, in the folder of the solutions; raises at the first error."""
    client = NotebookClient(
        notebook,
        timeout=300,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": SOLUTIONS}},
    )
    client.execute()
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = [tidy(output) for output in cell.outputs if not passing(output)]
            if any(
                "✗" in output.get("text", "")
                for output in cell.outputs
                if cell.source.startswith(CHECKED)
            ):
                raise SystemExit(
                    f"cell {place} does not hold:\n{cell.source}\n{cell.outputs[0].text}"
                )
            leak = find_leak(cell.outputs)
            if leak:
                raise SystemExit(
                    f"cell {place} shows a path of this machine: {leak}\n{cell.source}"
                )
    notebook.metadata = copy.deepcopy(METADATA)
    return notebook


def passing(output) -> bool:
    """Progress bars: shown while a cell runs, of no use afterwards."""
    return output.get(
        "name"
    ) == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def tidy(output):
    """Without the address in memory that Python shows for an object without a text of its own."""
    if "text/plain" in output.get("data", {}):
        output.data["text/plain"] = re.sub(
            r" at 0x[0-9a-f]+", "", output.data["text/plain"]
        )
    return output


def find_leak(outputs) -> str | None:
    """The first path of the machine that built the notebook, if one stands in the outputs."""
    for path in (str(SOLUTIONS.parent.resolve()), str(Path.home()), "/tmp/", sys.prefix):
        if path in re.sub(
            r'"image/png": "[^"]*"',
            "",
            nbformat.v4.nbbase.NotebookNode(o=outputs).__repr__(),
        ):
            return path
    return None


def derive(solution: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The learner's notebook: answers become stubs, and only checked cells keep their outputs."""
    notebook = copy.deepcopy(solution)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.source = stub(cell.source)
        if not cell.source.startswith(CHECKED):
            cell.outputs, cell.execution_count = [], None
    return notebook


def stub(source: str) -> str:
    """A code cell's source without its answer."""
    source = ANSWER.sub(
        lambda match: (
            f"{match[1]}{'raise NotImplementedError' if match[1] else '...'}  {YOUR_CODE}"
        ),
        source,
    )
    return PREDICTION.sub(rf"\1 = ...  {YOUR_NUMBER}", source)


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook the same way every time."""
    path.write_text(nbformat.writes(notebook) + "\n", "utf-8")


def disagreements(source: Path) -> list[str]:
    """What is no longer true of one source and its two notebooks; an empty list when they agree."""
    name = source.with_suffix(".ipynb").name
    wanted = read(source)
    try:
        solution, learner = (
            nbformat.read(folder / name, as_version=4) for folder in (SOLUTIONS, NOTEBOOKS)
        )
    except FileNotFoundError as error:
        return [f"{error.filename} is missing: run `make notebooks`"]
    found = []
    if [(cell.cell_type, cell.source) for cell in solution.cells] != [
        (cell.cell_type, cell.source) for cell in wanted.cells
    ]:
        found.append(
            f"solutions/{name} was built from another solutions/{source.name}: run `make notebooks`"
        )
    if derive(solution) != learner:
        found.append(
            f"notebooks/{name} does not follow from solutions/{name}: run `make notebooks`"
        )
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", help="build only the notebooks whose names begin so"
    )
    parser.add_argument(
        "--check", action="store_true", help="only say whether sources and notebooks agree"
    )
    options = parser.parse_args()
    sources = [
        path
        for path in sorted(SOLUTIONS.glob("[0-9]*.py"))
        if path.name.startswith(tuple(options.names) or "")
    ]
    if options.check:
        found = [line for source in sources for line in disagreements(source)]
        sys.exit("\n".join(found) or None)
    for source in sources:
        print(f"{source.stem}: executing", flush=True)
        solution = execute(read(source))
        write(solution, SOLUTIONS / f"{source.stem}.ipynb")
        write(derive(solution), NOTEBOOKS / f"{source.stem}.ipynb")


if __name__ == "__main__":
    main()
