"""The notebooks as they are handed out: built from their sources, nothing of this machine in them, and run by nbval.

Every solution passes; every learner's notebook fails at the checks of its exercises and nowhere else. At most two of them
run at once, each in a kernel of its own.
"""

import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "solutions"))
import build  # noqa: E402

SOURCES = sorted((ROOT / "solutions").glob("[0-9]*.py"))
SOLUTIONS = sorted((ROOT / "solutions").glob("[0-9]*.ipynb"))
LEARNERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
LIMIT_S = 400
AT_ONCE = 3  # they mostly wait

CHECKS = re.compile(r"^check\(", re.M)
CHECKS_OR_CLAIMS = re.compile(r"^ *(check|claim)\(", re.M)
MACHINE = re.compile(
    r"(?<![\w.])/(?:home|root|tmp|usr|var|opt|Users|private)/[\w.-]+|[A-Z]:\\Users|site-packages|ipykernel_\d+"
    r"|Traceback \(most recent|0x[0-9a-fA-F]{6,}"
)
NUMBER = re.compile(r"\d[.,]\d+\s?(?:ms|µs|bytes|B|%)(?!\w)")  # looks like something that was measured
CODE = re.compile(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|<code>.*?</code>", re.DOTALL)
MEANT = {  # typed numbers that are not measurements: given in the text, or plain arithmetic. By the notebook's number
    "00": [],
    "01": [],
    "07": ["0.02 ms of its process", "needs 0.2 ms to take", "a pause of 6,000 ms", "in 60,000 ms at"],
}


def named(paths):
    """Parameters for a test that runs once for each notebook."""
    return pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in paths])


def code(notebook):
    """The code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read(path):
    return nbformat.read(path, as_version=4)


# What stands in a notebook. Each function lists what is wrong with it.


def leaks(notebook):
    """Outputs that name the machine that made them, or that are errors."""
    for place, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                yield f"cell {place} stores an error: {output.ename}"
            data = output.get("data", {})
            texts = [output.get("text", ""), *(str(data[kind]) for kind in data if not kind.startswith("image/"))]
            for match in MACHINE.finditer("\n".join(texts)):
                yield f"cell {place} stores {match[0]!r}"


def images_without_words(notebook):
    """Charts without a text for those who cannot see them."""
    for place, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            for kind in output.get("data", {}):
                if kind.startswith("image/") and not output.metadata.get(kind, {}).get("alt", "").strip():
                    yield f"cell {place}: a chart without alternative text"


def cells_out_of_shape(notebook):
    """What is not as every notebook of the course is."""
    first, *_ = code(notebook)
    if "setup" not in first.metadata.get("tags", ()):
        yield "the first code cell has no tag “setup”"
    for place, cell in enumerate(notebook.cells):
        answered = "### BEGIN SOLUTION" in cell.source  # as long as the answer has to be
        if cell.cell_type == "code" and not answered and len(cell.source.splitlines()) > 30:
            yield f"cell {place} has {len(cell.source.splitlines())} lines of code"
        checks = cell.cell_type == "code" and bool(CHECKS_OR_CLAIMS.search(cell.source))
        marked = cell.source.startswith(build.CHECKED)
        if checks != marked:
            yield f"cell {place} {'checks and' if checks else 'does not check or'} is not marked to be compared"
        if marked and (cell.execution_count is None or not cell.outputs):
            yield f"cell {place} is compared by nbval, and was not run"


def measured_looking_numbers(notebook, meant=()):
    """Numbers in prose that look typed where they should come from a variable."""
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for match in NUMBER.finditer(CODE.sub("", cell.source)):
                around = CODE.sub("", cell.source)[max(0, match.start() - 30) : match.end() + 15].replace("\n", " ")
                if not any(phrase in around for phrase in meant):
                    yield f"cell {place}: …{around}…"


def stale_targets(notebook):
    """Checks whose stored output is not what a right answer prints today."""
    for cell in code(notebook):
        for number in re.findall(r'^check\("([\d.]+)"', cell.source, re.M):
            exercise = import_module(f"labs.checks.n{int(number.partition('.')[0]):02}").EXERCISES[number]
            right = [f"{number} {exercise.name}", *(f"  ✓ {sentence}" for sentence, _, _ in exercise.cases)]
            stored = "".join(output.get("text", "") for output in cell.outputs).splitlines()
            if stored != right:
                yield f"check {number} stores {stored}"


@named(SOURCES)
def test_source_and_its_two_notebooks_agree(path):
    assert build.disagreements(path) == []


def test_every_source_is_built_and_nothing_else_lies_there():
    assert [path.stem for path in SOURCES] == [path.stem for path in SOLUTIONS] == [path.stem for path in LEARNERS]


@named(SOLUTIONS + LEARNERS)
def test_stored_outputs_name_no_machine_and_no_error(path):
    assert list(leaks(read(path))) == []


@named(SOLUTIONS)
def test_every_chart_is_told_in_words(path):
    assert list(images_without_words(read(path))) == []


@named(SOLUTIONS + LEARNERS)
def test_cells_have_the_shape_of_the_course(path):
    assert list(cells_out_of_shape(read(path))) == []


@named(SOLUTIONS + LEARNERS)
def test_stored_targets_are_what_right_answers_print(path):
    assert list(stale_targets(read(path))) == []


@named(SOLUTIONS + LEARNERS)
def test_checked_cells_store_what_holds(path):
    stored = [
        output.text for cell in code(read(path)) if cell.source.startswith(build.CHECKED) for output in cell.outputs
    ]
    assert stored and all(
        line.lstrip().startswith("✓") or line[0].isdigit() for text in stored for line in text.splitlines()
    )


@named(path for path in LEARNERS if not path.name.startswith("00"))
def test_notebook_has_forty_to_eighty_cells(path):
    assert 40 <= len(read(path).cells) <= 80


@named(LEARNERS)
def test_prose_has_no_typed_measurements(path):
    assert list(measured_looking_numbers(read(path), MEANT.get(path.name[:2], ()))) == []


# What happens when nbval runs it.


def run(path, report):
    """Run a notebook under `pytest --nbval-lax`; the numbers of the code cells that fail, and all that pytest said."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-cell-timeout=120", "-p", "no:cacheprovider"]
    command += ["-q", "--color=no", f"--junitxml={report}", path.name]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    child = subprocess.Popen(command, cwd=path.parent, env=environ, **pipes)
    try:
        said, _ = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    cases = {int(case.get("name").removeprefix("Cell ")): case for case in ET.parse(report).iter("testcase")}
    assert sorted(cases) == list(range(len(code(read(path))))), said
    return [number for number, case in sorted(cases.items()) if case.find("failure") is not None], said


def exercises(notebook):
    """The numbers, among the code cells, of those that check an exercise."""
    return [number for number, cell in enumerate(code(notebook)) if CHECKS.search(cell.source)]


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """Runs of the notebooks that are to be tested, under way in the background: path -> future."""
    wanted = [item.callspec.params["path"] for item in request.session.items if "runs" in item.fixturenames]
    reports = tmp_path_factory.mktemp("reports")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {path: pool.submit(run, path, reports / f"{path.parent.name}-{path.stem}.xml") for path in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(LIMIT_S * len(SOLUTIONS) + 60)
@named(LEARNERS)
def test_unsolved_notebook_fails_at_its_exercises_and_nowhere_else(path, runs):
    failed, said = runs[path].result()
    assert exercises(read(path)), "a notebook without exercises"
    assert failed == exercises(read(path)), said


@pytest.mark.timeout(LIMIT_S * len(SOLUTIONS) + 60)
@named(SOLUTIONS)
def test_solved_notebook_passes(path, runs):
    failed, said = runs[path].result()
    assert failed == [], said


# The tests above on a small notebook, to see that they see.

SMALL = """\
# %% [markdown]
# # Small

# %% tags=["setup"]
import sys; sys.path.insert(0, {root!r})
from labs.checks import check, claim

# %% tags=["exercise"] exercise="0.2"
def percentile(values, p):
    ### BEGIN SOLUTION
    return sorted(values)[-(-len(values) * p // 100) - 1]
    ### END SOLUTION

# %%
# NBVAL_CHECK_OUTPUT
check("0.2", percentile)

# %%
# NBVAL_CHECK_OUTPUT
claim("0.c1", "one is less than two", 1 < 2)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A built notebook: its solution, and what a learner gets."""
    folder = tmp_path_factory.mktemp("small")
    source = folder / "07_small.py"
    source.write_text(SMALL.format(root=str(ROOT)), "utf-8")
    solution = build.execute(build.read(source))
    build.write(solution, folder / "solution.ipynb")
    build.write(build.derive(solution), folder / "learner.ipynb")
    return folder


@pytest.fixture
def cells(small):
    """The small notebook, to be spoiled."""
    return read(small / "solution.ipynb")


def test_small_solution_has_nothing_wrong_and_passes(small, cells, tmp_path):
    for problems in (leaks, images_without_words, cells_out_of_shape, stale_targets, measured_looking_numbers):
        assert list(problems(cells)) == []
    assert run(small / "solution.ipynb", tmp_path / "report.xml")[0] == []


def test_small_unsolved_notebook_fails_at_its_check(small, tmp_path):
    failed, said = run(small / "learner.ipynb", tmp_path / "report.xml")
    assert failed == exercises(read(small / "learner.ipynb")) == [2]
    assert "nothing here yet" in said


def test_cell_that_raises_and_claim_that_fails_are_seen(small, cells, tmp_path):
    code(cells)[1].source = "1 / 0"
    code(cells)[3].source = code(cells)[3].source.replace("1 < 2", "2 < 1")
    build.write(cells, small / "spoiled.ipynb")
    assert run(small / "spoiled.ipynb", tmp_path / "report.xml")[0] == [1, 2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "/home/ada/course", "see /tmp/x.py", "ipykernel_123", "/usr/lib/python3.11", "<object at 0x7f00aa11bb22>",
        "Traceback (most recent call last)", "C:\\Users\\ada", "lib/site-packages/aiohttp",
    ],
)  # fmt: skip
def test_leak_in_an_output_is_seen(cells, text):
    code(cells)[3].outputs[0].text += text
    assert len(list(leaks(cells))) == 1


@pytest.mark.parametrize("text", ["GET /events/home HTTP/1.1", "Host: 127.0.0.1:40123", "3/4", "0x8", "wss://x/tmp"])
def test_harmless_text_in_an_output_is_no_leak(cells, text):
    code(cells)[3].outputs[0].text += text
    assert list(leaks(cells)) == []


def test_stored_error_is_seen(cells):
    code(cells)[3].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])]
    assert list(leaks(cells)) == ["cell 4 stores an error: ValueError"]


@pytest.mark.parametrize(
    ("metadata", "missing"), [({}, 1), ({"image/png": {"alt": " "}}, 1), ({"image/png": {"alt": "Up."}}, 0)]
)
def test_image_without_words_is_seen(cells, metadata, missing):
    code(cells)[1].outputs = [nbformat.v4.new_output("display_data", {"image/png": "iVBO"}, metadata=metadata)]
    assert len(list(images_without_words(cells))) == missing


def spoil(notebook, what):
    """Make one thing wrong."""
    setup, exercise, checking, _ = code(notebook)
    if what == "setup":
        del setup.metadata["tags"]
    elif what == "long":
        setup.source += "\npass" * 30
    elif what == "unmarked":
        checking.source = checking.source.removeprefix(build.CHECKED + "\n")
    elif what == "marked":
        exercise.source = f"{build.CHECKED}\n{exercise.source}"
        exercise.outputs = checking.outputs
    elif what == "not run":
        checking.execution_count = None


@pytest.mark.parametrize("what", ["setup", "long", "unmarked", "marked", "not run"])
def test_cell_out_of_shape_is_seen(cells, what):
    spoil(cells, what)
    assert len(list(cells_out_of_shape(cells))) == 1


def test_stale_target_is_seen(cells):
    code(cells)[2].outputs[0].text = code(cells)[2].outputs[0].text.replace("third smallest", "third")
    assert len(list(stale_targets(cells))) == 1


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("It took 12.5 ms on average.", 1),
        ("It took 0.8 µs, which is 3.7% of it.", 2),
        ("1,204 bytes crossed the wire.", 1),
        ("Ask every 1000 ms, or 40 bytes.", 0),
        ("Leave out `12.5 ms` and $0.5 ms$ here.", 0),
        ("```python\nwait(0.5 ms)\n```", 0),
        ("Version 3.12 of 1.5 MB.", 0),
    ],
)
def test_typed_measurement_is_seen(cells, prose, found):
    cells.cells[0].source = prose
    assert len(list(measured_looking_numbers(cells))) == found
    assert list(measured_looking_numbers(cells, ["12.5 ms on average", "0.8 µs", "1,204 bytes"])) == []
