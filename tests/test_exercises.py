"""Every exercise's check, proved: the stub fails, right answers pass, and each wrong one gets its own diagnosis, every time.

By default the solution and one wrong answer of each exercise are judged 40 times and all others a few times. This judges
every answer 200 times, in a few minutes:

    VERDICTS=200 .venv/bin/python -m pytest tests/test_exercises.py
"""

import importlib
import os
import re
import sys
from pathlib import Path

import pytest

from labs.checks import check, judge

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "solutions"))
import build  # noqa: E402

TIMES = int(os.environ.get("VERDICTS", 40))
TIMES_OTHERS = int(os.environ.get("VERDICTS", 5))
TIMES_REAL = 3
VARIES = re.compile(r"0x[0-9a-fA-F]{6,}|127\.0\.0\.1'?[:,] ?\d|/(?:home|root|tmp|usr|var|Users)/|\.py\b|ipykernel")


def checked():
    """The exercises that have a check, by number."""
    modules = sorted((ROOT / "labs" / "checks").glob("n[0-9]*.py"))
    found = [importlib.import_module(f"labs.checks.{module.stem}").EXERCISES for module in modules]
    return {number: exercise for exercises in found for number, exercise in exercises.items()}


def answers(kind):
    """The answers in tests/exercises whose names begin with `kind`: (number, name, answer)."""
    for path in sorted((ROOT / "tests" / "exercises").glob("e[0-9]*.py")):
        notebook, place, _ = path.stem.removeprefix("e").split("_", 2)
        module = importlib.import_module(f"exercises.{path.stem}")
        for name, answer in vars(module).items():
            if name.startswith(f"{kind}_"):
                yield f"{notebook}.{place}", name, answer


class InNotebook:
    """An exercise as it stands in the source of a notebook: the cells to run before, the answer's cell, and the check's."""

    def __init__(self, number, before, answer, checking):
        self.number, self.before, self.answer, self.checking = number, before, answer, checking

    def run(self, source):
        """What the answer's cell defines when it runs in a new kernel after the setup cell alone.

        Where its cell is tagged `uses-earlier`, the answers to the notebook's earlier exercises come between.
        """
        namespace = {"__name__": "__main__"}
        for cell in (*self.before, source):
            exec(compile(cell, "<cell>", "exec"), namespace)
        return namespace[EXERCISES[self.number].name]


def in_notebooks():
    """The exercises in the sources of all notebooks."""
    for source in sorted((ROOT / "solutions").glob("[0-9]*.py")):
        code = [cell for cell in build.read(source).cells if cell.cell_type == "code"]
        before = [next(cell.source for cell in code if "setup" in cell.metadata.get("tags", ()))]
        for cell, following in zip(code, [*code[1:], None], strict=True):
            tags = cell.metadata.get("tags", ())
            if "exercise" in tags:
                needed = before if "uses-earlier" in tags else before[:1]
                yield InNotebook(cell.metadata["exercise"], list(needed), cell.source, following and following.source)
                before.append(cell.source)


def diagnosis(name):
    """The diagnosis that the name of a wrong answer asks for."""
    return name.removeprefix("wrong_").partition("__")[0].replace("_", "-")


def each(answers):
    """Parameters for a test that runs once for each answer."""
    return [pytest.param(*answer, id=f"{answer[0]}-{answer[1]}") for answer in answers]


EXERCISES = checked()
RIGHT, WRONG = list(answers("right")), list(answers("wrong"))
NOTEBOOKS = list(in_notebooks())
FIRST_WRONG = {number: (name, answer) for number, name, answer in reversed(WRONG)}
REAL = [number for number, exercise in EXERCISES.items() if any(real for _, _, real in exercise.cases)]

notebook_exercises = pytest.mark.parametrize("exercise", [pytest.param(one, id=one.number) for one in NOTEBOOKS])


@pytest.fixture(autouse=True)
def as_for_a_learner(monkeypatch):
    """No debug mode, which is slow, and a path that setup cells may change."""
    monkeypatch.delenv("PYTHONASYNCIODEBUG", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))


def judge_often(number, answer, times, *, real=False):
    """The output and the verdict, after so many runs that all gave the same."""
    first = judge(number, answer, real=real)
    for _ in range(times - 1):
        assert judge(number, answer, real=real) == first
    return first


# What there must be.


def test_exercises_of_checks_and_notebooks_and_answers_are_the_same():
    assert sorted(one.number for one in NOTEBOOKS) == sorted(EXERCISES)
    assert {number for number, *_ in RIGHT} == {number for number, *_ in WRONG} == set(EXERCISES)


@pytest.mark.parametrize("number", EXERCISES)
def test_exercise_has_five_wrong_answers_with_different_diagnoses_and_three_right_ones(number):
    assert len({diagnosis(name) for of, name, _ in WRONG if of == number}) >= 5
    assert len([name for of, name, _ in RIGHT if of == number]) >= 3


@notebook_exercises
def test_cell_after_the_answer_checks_it(exercise):
    name = EXERCISES[exercise.number].name
    assert exercise.checking == f'# NBVAL_CHECK_OUTPUT\ncheck("{exercise.number}", {name})'


# Stub and solution, each after the setup cell alone.


@notebook_exercises
def test_stub_fails_as_not_written(exercise):
    stub = build.stub(exercise.answer)
    assert stub != exercise.answer
    lines, verdict = judge_often(exercise.number, exercise.run(stub), TIMES_REAL)
    assert verdict.diagnosis == "not-written"
    assert len(lines) == 3 and "nothing here yet" in lines[-1]


@notebook_exercises
def test_solution_passes_every_time(exercise):
    lines, verdict = judge_often(exercise.number, exercise.run(exercise.answer), TIMES)
    assert verdict.passed and verdict.diagnosis is None
    assert [line[:4] for line in lines[1:]] == ["  ✓ "] * (len(lines) - 1)


@pytest.mark.parametrize("exercise", [pytest.param(one, id=one.number) for one in NOTEBOOKS if one.number in REAL])
def test_solution_passes_with_real_processes(exercise, capsys):
    answer = exercise.run(exercise.answer)
    for _ in range(TIMES_REAL):
        assert check(exercise.number, answer).passed
    sentences = [sentence for sentence, _, _ in EXERCISES[exercise.number].cases]
    told = [f"{exercise.number} {EXERCISES[exercise.number].name}", *(f"  ✓ {sentence}" for sentence in sentences)]
    assert capsys.readouterr().out.splitlines() == told * TIMES_REAL


# Right answers and wrong ones.


@pytest.mark.parametrize(("number", "name", "answer"), each(RIGHT))
def test_right_answer_passes(number, name, answer):
    lines, verdict = judge_often(number, answer, TIMES_OTHERS)
    assert verdict.passed, "\n".join(lines)


@pytest.mark.parametrize(("number", "name", "answer"), each(one for one in RIGHT if one[0] in REAL))
def test_right_answer_passes_with_real_processes(number, name, answer):
    lines, verdict = judge(number, answer)
    assert verdict.passed, "\n".join(lines)


@pytest.mark.parametrize(("number", "name", "answer"), each(WRONG))
def test_wrong_answer_gets_its_own_diagnosis(number, name, answer):
    lines, verdict = judge_often(number, answer, TIMES_OTHERS)
    assert not verdict.passed
    assert verdict.diagnosis == diagnosis(name), "\n".join(lines)


@pytest.mark.parametrize("number", EXERCISES)
def test_one_wrong_answer_gets_the_same_diagnosis_every_time(number):
    name, answer = FIRST_WRONG[number]
    _, verdict = judge_often(number, answer, TIMES)
    assert verdict.diagnosis == diagnosis(name)


@pytest.mark.parametrize(("number", "name", "answer"), each(WRONG))
def test_output_of_a_failing_check_is_short_and_the_same_everywhere(number, name, answer, capsys):
    check(number, answer)
    lines = capsys.readouterr().out.splitlines()
    failed = next(place for place, line in enumerate(lines) if line.startswith("  ✗ "))
    hint = next(place for place, line in enumerate(lines) if line.startswith("    Hint: "))
    shown, printed = lines[failed + 1 : hint], lines[hint + 1 :]
    assert all(line.startswith("  ✓ ") for line in lines[1:failed])
    assert 1 <= len(shown) <= 15 and all(line.startswith("        ") for line in shown)
    assert not printed or (printed[0] == "    Your code printed:" and len(printed) <= 6)
    assert not VARIES.search("\n".join(lines)) and max(map(len, lines)) <= 160
