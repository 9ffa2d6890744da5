"""DeepXDE's NNCG as a baseline: what its work is charged, and what is made of its failure.

Its steps are asserted on a quadratic, which is as convex as its preconditioner wants it. How far it
gets on a network is DeepXDE's affair.
"""

import pytest
import torch

from ddopt.compare.objective import Objective, Spent
from ddopt.evaluation.meter import PRODUCT
from ddopt.run import chance
from ddopt.setup.config import Stop
from ddopt.task import Setting, Task
from ddopt.testing.problems import Quadratic, rotated_quadratic
from ddopt_pinn.nncg import NNCG
from tests.pinn.problems import prepared

N, RANK, INNER = 12, 5, 4
BUDGET = 200


class Differentiable(Quadratic):
    """½ xᵀ A x as an expression."""

    def loss(self, theta):
        return 0.5 * theta @ (self.A @ theta)


class Bowl(Task):
    """Its Hessian has eigenvalues from 1 to 10."""

    def prepare(self, setting):
        self.problem = Differentiable(
            rotated_quadratic(N, condition=10.0).A, torch.zeros(N).double()
        )
        self.initial = torch.ones(N, dtype=setting.dtype)


@pytest.fixture
def bowl():
    chance.seed(0)
    task = Bowl()
    task.prepare(Setting())
    return Objective(task, None, Stop(evaluations=BUDGET), 10)


def test_every_product_with_the_hessian_is_charged_and_the_loss_descends(bowl):
    with pytest.raises(Spent, match="evaluations"):
        NNCG(rank=RANK, inner=INNER).minimise(bowl)
    losses = [line["loss"] for line in bowl.lines[1:]]
    assert losses == sorted(losses, reverse=True)  # Armijo
    assert losses[-1] < 1e-10 * losses[0]
    spent = [line["evaluations"] for line in bowl.lines]
    # start; then f, products for the preconditioner, for a residual and for the directions, and f
    # at both ends of a line search
    assert spent[:2] == [1.0, 1.0 + 1 + PRODUCT * (RANK + 1 + INNER) + 2]
    assert spent[-1] <= BUDGET


def test_a_matrix_without_a_cholesky_factor_is_the_end_of_the_baseline_alone(bowl, monkeypatch):
    cholesky, calls = torch.linalg.cholesky, []

    def failing(matrix):
        calls.append(matrix.shape)
        return cholesky(-matrix if len(calls) > 1 else matrix)

    monkeypatch.setattr(torch.linalg, "cholesky", failing)
    before = torch.get_default_dtype()
    assert NNCG(rank=RANK, inner=INNER, every=3).minimise(bowl) == "breakdown"
    assert calls[0] == (RANK, RANK)
    assert len(bowl.lines) == 1 + 3  # the start, and the iterates of the preconditioner it had
    assert torch.get_default_dtype() == before


def test_a_network_is_left_within_the_budget_for_one_of_the_reasons_there_are():
    chance.seed(0)
    f = Objective(prepared("poisson1d"), None, Stop(evaluations=BUDGET), 10)
    try:
        reason = NNCG(rank=RANK, inner=INNER).minimise(f)
    except Spent as spent:
        reason = str(spent)
    assert reason in ("evaluations", "breakdown")
    assert f.lines[0]["evaluations"] == 1.0
    assert f.lines[-1]["evaluations"] <= BUDGET
