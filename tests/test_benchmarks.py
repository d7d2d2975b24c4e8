"""The five wrong benchmarks of notebook 07: what each says, exactly, and that the notebook shows them word for word."""

import inspect
import sys
from pathlib import Path

import pytest
from exercises import e7_1_findings as repaired

from labs import virtual
from labs.checks.n07 import RIGHT, SAID
from labs.choosing.benchmarks import FIVE

SOLUTIONS = Path(__file__).parent.parent / "solutions"
sys.path.insert(0, str(SOLUTIONS))
import build  # noqa: E402

five = pytest.mark.parametrize("benchmark", [pytest.param(one, id=one.__name__) for one in FIVE])


@five
def test_benchmark_says_what_its_flaw_makes_of_the_world(benchmark):
    assert virtual.run(benchmark()) == pytest.approx(SAID[benchmark.__name__], rel=1e-3)


@five
def test_benchmark_repaired_says_what_the_formula_says(benchmark):
    said = virtual.run(getattr(repaired, benchmark.__name__)())
    assert said == pytest.approx(RIGHT[benchmark.__name__], rel=0.02)


@five
def test_benchmark_is_wrong_by_more_than_a_right_answer_may_be(benchmark):
    assert abs(SAID[benchmark.__name__] / RIGHT[benchmark.__name__] - 1) > 0.15


@five
def test_notebook_has_the_benchmark_word_for_word(benchmark):
    notebook = SOLUTIONS / "07_choosing.py"
    if not notebook.exists():
        pytest.skip("notebook 07 is not there yet")
    cells = [cell.source for cell in build.read(notebook).cells if cell.cell_type == "code"]
    assert sum(inspect.getsource(benchmark).strip() in cell for cell in cells) == 1
