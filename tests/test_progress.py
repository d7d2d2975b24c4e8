"""Progress: the learner's saved answers are run again, each alone, and the check's verdict is what counts."""

import json
import os
import time
from pathlib import Path

import nbformat.v4 as nb
import pytest

from labs import progress
from labs.progress import NOT_STARTED, NOT_YET, ROOT, SOLVED, Exercise, Result

SETUP = """\
import asyncio
from types import SimpleNamespace

def check(number, answer):
    print("a target, which is stored in the notebook")
    right = answer() == 42
    return SimpleNamespace(passed=right, diagnosis=None if right else "not-42")
"""
STUB = "def answer():\n    raise NotImplementedError  # your code here"
RIGHT = "def answer():\n    return 42"


def exercise(answer: str, setup: str = SETUP) -> Exercise:
    return Exercise("9.1", "the answer", setup, answer, '# NBVAL_CHECK_OUTPUT\ncheck("9.1", answer)')


def result(answer: str, folder: Path, setup: str = SETUP, limit_s: float = 30) -> tuple[str, str | None]:
    found = progress.result(exercise(answer, setup), folder, limit_s)
    return found.state, found.diagnosis


def notebook(folder: Path, *answers: str, name: str = "09_made_up.ipynb") -> Path:
    """A notebook as it is handed out: a setup cell, and under each answer a check whose stored output is the target."""
    cells = [nb.new_markdown_cell("# 09 · Made up"), nb.new_code_cell(SETUP, metadata={"tags": ["setup"]})]
    for number, answer in enumerate(answers, 1):
        target = nb.new_output("stream", text="✓ what a right answer prints\n")
        cells += [
            nb.new_markdown_cell(f"### Exercise 9.{number} · the answer"),
            nb.new_code_cell(answer, metadata={"tags": ["exercise"], "exercise": f"9.{number}"}),
            nb.new_code_cell(f'# NBVAL_CHECK_OUTPUT\ncheck("9.{number}", answer)', outputs=[target], execution_count=1),
        ]
    path = folder / name
    path.write_text(json.dumps(nb.new_notebook(cells=cells)), "utf-8")
    return path


def test_a_right_answer_is_solved(tmp_path):
    assert result(RIGHT, tmp_path) == (SOLVED, None)


def test_a_wrong_answer_is_not_yet_with_the_diagnosis_of_the_check(tmp_path):
    assert result("def answer():\n    return 41", tmp_path) == (NOT_YET, "not-42")


@pytest.mark.parametrize(
    "stub",
    [
        STUB,
        'async def answer():\n    """What it does."""\n    raise NotImplementedError  # your code here',
        "class Answer:\n    def __call__(self):\n        raise NotImplementedError  # your code here\nanswer = Answer()",
        "given = 1\nanswer = lambda: given\n...  # your code here",
    ],
)
def test_a_stub_is_not_started_and_not_run(stub, tmp_path):
    assert result(stub, tmp_path, setup='open("was-run", "w")') == (NOT_STARTED, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer",
    [
        "def answer():\n    # your code here\n    return 42",
        "def answer():\n    return 42  # your code here",
        'def answer():\n    """What it does."""\n    return 42\n    raise NotImplementedError  # your code here',
    ],
)
def test_an_answer_that_keeps_something_of_the_stub_is_run_all_the_same(answer, tmp_path):
    assert result(answer, tmp_path) == (SOLVED, None)


def test_what_the_check_calls_not_written_is_not_started(tmp_path):
    setup = SETUP.replace("not-42", "not-written")
    assert result("def answer():\n    pass", tmp_path, setup) == (NOT_STARTED, None)


def test_an_answer_that_raises_is_not_yet(tmp_path):
    assert result("answer = undefined", tmp_path) == (NOT_YET, "the answer raises NameError")
    assert result("def answer(:", tmp_path) == (NOT_YET, "the answer raises SyntaxError")


def test_a_setup_cell_that_raises_is_said(tmp_path):
    assert result(RIGHT, tmp_path, setup="import no_such_module") == (
        NOT_YET,
        "the setup cell raises ModuleNotFoundError",
    )


def test_a_check_that_raises_did_not_run(tmp_path):
    setup = "def check(number, answer):\n    raise RuntimeError"
    assert result(RIGHT, tmp_path, setup) == (NOT_YET, "the check did not run")


@pytest.mark.parametrize("answer", ["while True: pass", "import time; time.sleep(60)", "await asyncio.sleep(60)"])
def test_an_answer_that_hangs_ends_at_the_limit(answer, tmp_path):
    start = time.monotonic()
    assert result(answer, tmp_path, limit_s=2.5) == (NOT_YET, "no verdict within 2.5 s")
    assert time.monotonic() - start < 20


def test_an_answer_that_ends_the_process_is_not_yet(tmp_path):
    assert result("import os; os._exit(0)", tmp_path) == (NOT_YET, "the process ended without a verdict")


def test_cells_run_as_in_a_notebook_with_await_magics_output_and_its_folder(tmp_path):
    (tmp_path / "beside.py").touch()
    answer = "import beside\n%pwd\n"
    answer += (
        'print("{" * 100_000)\nopen("here", "w").close()\nvalue = await asyncio.sleep(0, 42)\nanswer = lambda: value'
    )
    assert result(answer, tmp_path) == (SOLVED, None)
    assert (tmp_path / "here").exists()


def test_the_real_checks_give_their_verdict(tmp_path):
    setup = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom labs.checks import check"
    wrong = Exercise("0.1", "percentiles", setup, "def answer(*a):\n    return None", 'check("0.1", answer)')
    found = progress.result(wrong, tmp_path)
    assert found.state == NOT_YET
    assert "did not run" not in found.diagnosis


def test_a_server_that_an_answer_left_running_ends_with_it(tmp_path):
    setup = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom labs.launch import launch\n" + SETUP
    answer = (
        'server = await launch("http_polling")\nopen("pid", "w").write(str(server.host.popen.pid))\nanswer = lambda: 42'
    )
    assert result(answer, tmp_path, setup) == (SOLVED, None)
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "zombie" not in Path(f"/proc/{pid}/status").read_text() if Path(f"/proc/{pid}").exists() else True


def test_every_exercise_of_a_notebook_runs_alone_and_the_notebook_stays_as_it_was(tmp_path):
    path = notebook(tmp_path, RIGHT, "answer = answer", STUB)  # the second would pass after the first
    before = path.read_bytes()
    found = progress.progress(path)
    assert path.read_bytes() == before
    assert (found.notebook, found.title, found.solved) == ("09_made_up.ipynb", "09 · Made up", 1)
    assert found.exercises == [
        Result("9.1", "the answer", SOLVED),
        Result("9.2", "the answer", NOT_YET, "the answer raises NameError"),
        Result("9.3", "the answer", NOT_STARTED),
    ]


def test_the_table_shows_a_bar_and_a_line_for_each_exercise():
    results = [
        Result("1.1", "the polling client", SOLVED),
        Result("1.2", "the model", NOT_YET, "half-a-round-trip-missing"),
        Result("1.3", "", NOT_STARTED),
        Result("1.4", "the rest", NOT_STARTED),
    ]
    assert progress.table(progress.Progress("01_http_polling.ipynb", "01 · HTTP polling", results)).splitlines() == [
        "01 · HTTP polling                █████░░░░░░░░░░░░░░░ 1 of 4 solved",
        "  ✓ 1.1   the polling client                 solved",
        "  ✗ 1.2   the model                          half-a-round-trip-missing",
        "  · 1.3                                      not started",
        "  · 1.4   the rest                           not started",
    ]


def test_a_notebook_without_exercises_has_an_empty_bar(tmp_path):
    assert progress.table(progress.progress(notebook(tmp_path))).endswith("0 of 0 solved")


def test_json_says_the_same(tmp_path, capsys):
    path = notebook(tmp_path, STUB)
    assert progress.main(["--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "notebook": "09_made_up.ipynb",
            "title": "09 · Made up",
            "exercises": [{"number": "9.1", "title": "the answer", "state": "not started", "diagnosis": None}],
            "solved": 0,
        }
    ]


@pytest.mark.parametrize("content", ["", "<<<<<<< ours", "[]", '{"cells": 3}', '{"cells": [{}]}'])
def test_a_file_that_is_no_notebook_is_named_and_the_others_are_shown(content, tmp_path, capsys):
    broken = tmp_path / "00_broken.ipynb"
    broken.write_text(content)
    assert progress.main([str(broken), str(notebook(tmp_path, STUB))]) == 1
    out, err = capsys.readouterr()
    assert err == "00_broken.ipynb is not a notebook that can be read\n"
    assert out.startswith("09 · Made up")
