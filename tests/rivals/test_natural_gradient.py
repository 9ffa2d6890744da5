"""Energy natural gradients: the identity of Woodbury, what SPRING minimises, and their steps."""

import pytest
import torch

from ddopt.compare.objective import Objective, Spent
from ddopt.evaluation.meter import RESIDUALS, ROW
from ddopt.setup.component import lookup
from ddopt.setup.config import Stop
from ddopt.task import Setting, Task
from ddopt.testing import check_baseline
from ddopt.testing.problems import CurvedLeastSquares
from ddopt_rivals.natural_gradient import direction


class Curved(Task):
    """Residuals that bend a little, fewer of them than parameters."""

    name = "curved"

    def __init__(self, rows=12, columns=20, bend=0.3):
        super().__init__()
        self._given = rows, columns, bend

    def prepare(self, setting):
        self.problem = CurvedLeastSquares.random(*self._given, seed=setting.seed)
        self.initial = torch.zeros(self._given[1], dtype=setting.dtype)


def matrices(rows, columns):
    random = torch.Generator().manual_seed(rows)
    J = torch.randn(rows, columns, generator=random, dtype=torch.float64)
    r, before = (torch.randn(k, generator=random, dtype=torch.float64) for k in (rows, columns))
    return J, r, before


@pytest.mark.parametrize(("rows", "columns"), [(5, 9), (9, 5)])
@pytest.mark.parametrize("damping", [1e-3, 2.0])
def test_the_direction_solves_the_damped_normal_equations(rows, columns, damping):
    J, r, _ = matrices(rows, columns)
    matrix = J.T @ J + damping * torch.eye(columns, dtype=J.dtype)
    phi = direction(r, J, damping)
    assert torch.allclose(matrix @ phi, J.T @ r, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("rows", "columns"), [(5, 9), (9, 5)])
def test_spring_minimises_the_misfit_and_the_distance_from_what_it_keeps(rows, columns):
    """∇ of ‖Jφ − r‖² + λ‖φ − μφ_k‖² is 0 at φ; without residuals, so is what J sees of μφ_k."""
    J, r, kept = matrices(rows, columns)
    phi = direction(r, J, 0.1, kept)
    slope = J.T @ (J @ phi - r) + 0.1 * (phi - kept)
    assert float(slope.abs().max()) < 1e-10
    unseen = kept - torch.linalg.pinv(J) @ (J @ kept)  # of the kernel of J
    assert torch.allclose(direction(0.0 * r, J, 0.1, unseen), unseen, atol=1e-12)


@pytest.mark.parametrize("name", ["engd_w", "spring"])
def test_each_solves_linear_equations_in_one_step(name):
    task = Curved(bend=0.0)
    task.prepare(Setting())
    f = Objective(task, None, Stop(evaluations=1000), 1)
    options = {"momentum": 0.0} if name == "spring" else {}
    reason = lookup("baseline", name)(damping=1e-13, **options).minimise(f)
    losses = [line["loss"] for line in f.lines]
    assert losses[1] < 1e-20 * losses[0]
    assert reason == "line_search"


@pytest.mark.parametrize("name", ["engd_w", "spring"])
def test_each_conforms(name):
    check_baseline(lookup("baseline", name)(), task=Curved())


def test_a_step_costs_a_jacobian_and_the_lengths_that_are_tried():
    task = Curved()
    task.prepare(Setting())
    f = Objective(task, None, Stop(evaluations=60), 1)
    with pytest.raises(Spent):
        lookup("baseline", "engd_w")(lengths=3).minimise(f)
    spent = [line["evaluations"] for line in f.lines]
    assert spent[0] == RESIDUALS
    assert spent[1] - spent[0] == pytest.approx(12 * ROW + 3 * RESIDUALS)


def test_where_there_are_no_residuals_it_says_so():
    from ddopt.testing.regression import Regression

    task = Regression()
    task.prepare(Setting())
    f = Objective(task, None, Stop(evaluations=60), 1)
    with pytest.raises(ValueError, match="residuals"):
        lookup("baseline", "engd_w")().minimise(f)
