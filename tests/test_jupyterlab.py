"""A whole notebook in a real JupyterLab in a real browser: `make lab`, run all cells, solve an exercise, shut down."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat.v4 as nb
import psutil
import pytest
from playwright.sync_api import Page, TimeoutError, sync_playwright

from labs.doctor import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
if not os.environ.get("EVERY_NOTEBOOK"):  # nbval runs them all anyway; a browser takes a minute for each
    NOTEBOOKS = [path for path in NOTEBOOKS if path.name.startswith("01")]
PICTURES = ROOT / "out"  # for a person to look at
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "out", "tests", "__pycache__", ".*_cache", ".hypothesis", ".ipynb_checkpoints"
)
BROWSERS = ("chromium", "google-chrome", "chromium-browser")
BROWSER_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
BROWSER_OPTIONS += ["--disable-background-networking", "--disable-component-update"]
START_LIMIT_S, RUN_LIMIT_S, END_LIMIT_S = 60, 180, 10

DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# What the tests ask of the JupyterLab in the page.
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
IS_OPEN = "() => window.jupyterapp?.shell?.currentWidget?.context?.isReady === true"
# An idle light alone does not mean that the kernel answers; these two promises do.
CONNECT = f"""async limit => {{
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error("the kernel does not answer")), limit));
    const connected = async () => {{ await {NOTEBOOK}.sessionContext.ready; await {NOTEBOOK}.sessionContext.session.kernel.info }};
    await Promise.race([connected(), late]) }}"""
COMMAND = "name => { window.jupyterapp.commands.execute(name) }"
PENDING = f"""() => {{
    const status = {NOTEBOOK}.sessionContext.session.kernel.status;
    const waits = ({{ model }}) => model.type === "code" && model.sharedModel.source.trim() && model.executionCount === null;
    const sources = {NOTEBOOK}.content.widgets.filter(waits).map(cell => cell.model.sharedModel.source);
    return status === "idle" ? sources : [`kernel: ${{status}}`, ...sources] }}"""
FAILED = f"""() => {NOTEBOOK}.model.toJSON().cells.some(
    cell => cell.outputs?.some(output => output.output_type === "error"))"""
HAS_RUN = f"() => ({FAILED})() || ({PENDING})().length === 0"  # after an error the rest is not run
CELLS = f"() => {NOTEBOOK}.model.toJSON().cells"
SHOW = f"async place => {{ const it = {NOTEBOOK}.content; it.activeCellIndex = place; await it.scrollToItem(place, 'start') }}"
EXECUTE = (
    f"code => {NOTEBOOK}.sessionContext.session.kernel.requestExecute({{ code }}).done.then(reply => reply.content)"
)
ACTIVE = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell.jp-mod-active"
INTERRUPTIONS = ".jp-Dialog, .Toastify__toast"  # such as the question whether JupyterLab may fetch news
LEAVE_A_SERVER = "from labs.launch import launch; left = await launch('http_polling'); print(left.url)"


@pytest.fixture(scope="module")
def browser():
    """A Chromium. Without one these tests are skipped, except in continuous integration, where it has to be there."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found and os.environ.get("CI"):
        pytest.fail(f"none of {', '.join(BROWSERS)} is installed, and under CI there has to be one")
    if not found:
        pytest.skip(f"no browser found: install one of {', '.join(BROWSERS)} to run a notebook in JupyterLab")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=BROWSER_OPTIONS)
        yield started
        started.close()


@pytest.fixture
def course(tmp_path):
    """A copy of the course, as a learner has it; nothing that the tests type or run touches the original."""
    copy = tmp_path / "the course"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    (copy / ".venv").symlink_to(sys.prefix)
    return copy


class Lab:
    """`make lab`, running."""

    def __init__(self, course: Path, settings: Path):
        self.course = course
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.token = secrets.token_hex(8)
        options = (
            f"--no-browser --port={self.port} --IdentityProvider.token={self.token} --LabApp.expose_app_in_browser=True"
        )
        folders = {f"JUPYTER_{name}_DIR": str(settings / name) for name in ("CONFIG", "DATA", "RUNTIME")}
        self.log = open(settings / "lab.log", "w+")  # noqa: SIM115
        self.make = subprocess.Popen(
            ["make", "lab", "LEARNER=", f"LAB_ARGS={options}"],  # LEARNER=: the environment is there
            cwd=course,
            env=os.environ | folders | {"IPYTHONDIR": str(settings), "PYTHONASYNCIODEBUG": ""},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def address(self, path: str) -> str:
        """A page of this JupyterLab, with the token that opens it."""
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def wait_until_it_answers(self) -> None:
        """Return as soon as it does; fail with its log where it does not."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self.make.poll() is None:
            try:
                return DIRECTLY.open(self.address("api/status"), timeout=5).close()
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"JupyterLab does not answer:\n{self.said()}")

    def said(self) -> str:
        """What make, the doctor and JupyterLab printed."""
        self.log.flush()
        return Path(self.log.name).read_text("utf-8")

    def processes(self) -> list[psutil.Process]:
        """Whatever runs in this copy of the course: make, JupyterLab, its kernels, and the servers that they started."""
        here = str(self.course)
        return [it for it in psutil.process_iter(["cwd"]) if (it.info["cwd"] or "").startswith(here)]

    def shut_down(self) -> None:
        """End JupyterLab as a service manager does."""
        next(it for it in self.processes() if "jupyterlab" in it.cmdline()).send_signal(signal.SIGTERM)


@contextmanager
def lab(course: Path, settings: Path):
    """A JupyterLab that answers; whatever happens, nothing of it is left afterwards."""
    running = Lab(course, settings)
    try:
        running.wait_until_it_answers()
        yield running
    finally:
        for process in running.processes():
            process.kill()
        running.make.wait(END_LIMIT_S)
        running.log.close()


def open_notebook(page: Page, address: str) -> None:
    """Open a notebook and wait until its kernel answers."""
    page.goto(address)
    page.wait_for_function(IS_OPEN)
    page.evaluate(CONNECT, START_LIMIT_S * 1000)


def wait_until_run(page: Page) -> None:
    """Return when every code cell has run and the kernel rests, or one has failed; otherwise say what is still to run."""
    try:
        page.wait_for_function(HAS_RUN, timeout=RUN_LIMIT_S * 1000)
    except TimeoutError:
        page.screenshot(path=PICTURES / "still-running.png")
        pytest.fail("\n---\n".join(["not run:", *page.evaluate(PENDING)]))


def run_all(page: Page) -> list[dict]:
    """Run every cell and return the cells with what they put out."""
    page.evaluate(COMMAND, "notebook:clear-all-cell-outputs")
    page.evaluate(COMMAND, "notebook:run-all-cells")
    wait_until_run(page)
    return page.evaluate(CELLS)


def type_into(page: Page, place: int, source: str) -> None:
    """Replace what stands in a cell, as a person does, and run it."""
    page.evaluate(SHOW, place)
    page.locator(f"{ACTIVE} .cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(source)
    page.keyboard.press("Control+Enter")


def run_cell(page: Page, place: int) -> dict:
    """Run one cell and return it."""
    page.evaluate(SHOW, place)
    page.evaluate(COMMAND, "notebook:run-cell")
    wait_until_run(page)
    return page.evaluate(CELLS)[place]


def text(cell: dict) -> str:
    """What a cell printed."""
    return "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")


def errors(cells: list[dict]) -> list[str]:
    """The errors that cells put out."""
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    return ["\n".join(output["traceback"]) for output in outputs if output["output_type"] == "error"]


def exercises(cells: list[dict]) -> list[int]:
    """Where the cells for answers stand; the cell after each is its check."""
    code = [place for place, cell in enumerate(cells) if cell["cell_type"] == "code"]
    return [place for place in code if "exercise" in cells[place]["metadata"].get("tags", [])]


def next_code(cells: list[dict], place: int) -> int:
    """Where the next code cell stands."""
    return next(later for later in range(place + 1, len(cells)) if cells[later]["cell_type"] == "code")


def charts(cells: list[dict]) -> list[int]:
    """Where the cells stand that put out an image."""
    code = [place for place, cell in enumerate(cells) if cell["cell_type"] == "code"]
    return [place for place in code if any("image/png" in output.get("data", {}) for output in cells[place]["outputs"])]


def show_chart(page: Page, place: int) -> None:
    """Scroll to a chart and wait until the browser has drawn it."""
    page.evaluate(SHOW, place)
    page.wait_for_function("selector => document.querySelector(selector)?.naturalWidth > 0", arg=f"{ACTIVE} img")


def end_and_prove_it(running: Lab, page: Page) -> None:
    """Leave a server of the course running, shut JupyterLab down, and see that no process is left."""
    assert page.evaluate(EXECUTE, LEAVE_A_SERVER)["status"] == "ok"
    processes = running.processes()
    commands = [" ".join(process.cmdline()) for process in processes]
    for part in ("make lab", "-m jupyterlab", "ipykernel_launcher", "labs.servers.http_polling"):
        assert any(part in command for command in commands), commands
    running.shut_down()
    running.make.wait(END_LIMIT_S)
    _, alive = psutil.wait_procs(processes, timeout=END_LIMIT_S)
    assert [process.cmdline() for process in alive] == []


MADE_UP = [
    nb.new_markdown_cell("# A made-up notebook"),
    nb.new_code_cell(
        'import sys\nsys.path.insert(0, "..")\nimport matplotlib.pyplot as plt\nfrom labs.launch import launch\n'
        "def check(number, answer):\n    print(number, '✓' if answer() == 42 else '✗')",
        metadata={"tags": ["setup"]},
    ),
    nb.new_code_cell("server = await launch('http_polling')\nserver.page()"),
    nb.new_code_cell("event = await server.publish('hello')\nplt.plot([1, event.id, 3]);"),
    nb.new_code_cell("await server.stop()"),
    nb.new_code_cell("def answer():\n    ...", metadata={"tags": ["exercise"], "exercise": "9.1"}),
    nb.new_code_cell('# NBVAL_CHECK_OUTPUT\ncheck("9.1", answer)'),
]


@pytest.fixture
def made_up(course):
    """The made-up notebook among the course's notebooks, and the source that solves its one exercise."""
    path = course / "notebooks" / "99_made_up.ipynb"
    path.parent.mkdir(exist_ok=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path.write_text(json.dumps(nb.new_notebook(cells=MADE_UP, metadata=kernel)), "utf-8")
    return path


def solution(notebook: Path, number: str) -> str:
    """The source that solves an exercise, from the executed solutions."""
    if notebook.stem == "99_made_up":
        return "def answer():\n    return 42"
    solved = json.loads((ROOT / "solutions" / notebook.name).read_text("utf-8"))["cells"]
    return next("".join(cell["source"]) for cell in solved if cell["metadata"].get("exercise") == number)


@pytest.mark.timeout(START_LIMIT_S + RUN_LIMIT_S + 60)
@pytest.mark.parametrize("name", [path.name for path in NOTEBOOKS] or ["99_made_up.ipynb"])
def test_a_notebook_runs_whole_and_an_exercise_is_solved(name, browser, course, made_up, tmp_path):
    with lab(course, tmp_path) as running:
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(START_LIMIT_S * 1000)
        open_notebook(page, running.address(f"lab/tree/notebooks/{name}"))
        cells = run_all(page)
        assert errors(cells) == []
        assert page.locator(INTERRUPTIONS).all_inner_texts() == []
        answers = exercises(cells)
        assert ["✗" in text(cells[next_code(cells, place)]) for place in answers] == [True] * len(answers)
        assert charts(cells)
        for number, place in enumerate(charts(cells)):
            show_chart(page, place)
            if number == 0:
                page.screenshot(path=PICTURES / f"{Path(name).stem}-chart.png")
        first = answers[0]
        type_into(page, first, solution(Path(name), cells[first]["metadata"]["exercise"]))
        check = run_cell(page, next_code(cells, first))
        page.screenshot(path=PICTURES / f"{Path(name).stem}-solved.png")
        assert ("✓" in text(check), "✗" in text(check)) == (True, False), text(check)
        end_and_prove_it(running, page)
        page.close()
