"""Physics-informed runs by residuals that are interrupted: around the change, and everywhere."""

import pytest

from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.setup.config import load
from ddopt.solver import least_squares
from tests.test_run import timeless

RUN = """
dtype = "float64"
[problem]
name = "poisson1d"
width = 10
depth = 2
interior = 30
[problem.resampling]
name = "stratified"
period = 30
[strategy]
name = "trust_region"
[solver]
name = "least_squares"
[output]
figures = false
"""


def course(folder, name, *stages, changes=()):
    """The record of a run that is stopped after each number of iterations, and resumed."""
    file = folder / "run.toml"
    file.write_text(RUN)
    for i, iterations in enumerate(stages):
        config = load(file, [*changes, f"stop.iterations={iterations}"])
        execute(config, Folder(folder / name), resume=i > 0)
    return timeless(folder / name)


def test_a_run_that_is_resumed_around_the_change_has_the_same_record(tmp_path, monkeypatch):
    monkeypatch.setattr(least_squares, "FIRST", 12.0)
    whole = course(tmp_path, "whole", 40)
    radii = [line["radius"] for line in whole]
    change = next(i for i in range(2, 40) if radii[i] is None)  # Gauss-Newton has no radius
    assert course(tmp_path, "resumed", change - 1, change, change + 1, 30, 40) == whole
    assert whole[-1]["error"] < 0.1 * whole[0]["error"]


BALL, DAMPING = "solver={name='trust_region', hessian='gauss_newton'}", "solver=levenberg_marquardt"


@pytest.mark.parametrize(
    ("solver", "strategy"),
    [
        (BALL, "trust_region"),
        (BALL, "sapts_d"),
        (BALL, "sapts_p"),
        (DAMPING, "trust_region"),
        (DAMPING, "sapts_d"),
        (DAMPING, "sapts_p"),
    ],
)
def test_a_run_that_is_resumed_after_each_iteration_has_the_same_record(solver, strategy, tmp_path):
    """Evaluations, too: what a checkpoint does not hold is made again, and was charged before."""
    changes = [f"strategy={strategy}", solver, "problem.resampling=none", "seed=1"]
    whole = course(tmp_path, "whole", 6, changes=changes)
    assert whole[-1]["rejected"] > 0  # a model has served again
    assert course(tmp_path, "resumed", *range(1, 7), changes=changes) == whole
