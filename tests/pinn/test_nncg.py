"""DeepXDE's NNCG as a baseline: it descends, and every product with the Hessian is paid for."""

import pytest

from ddopt.compare.objective import Objective, Spent
from ddopt.config import Stop
from ddopt.meter import PRODUCT
from ddopt.run import chance
from ddopt_pinn.nncg import NNCG
from tests.pinn.problems import prepared


def test_nncg_descends_within_its_budget():
    chance.seed(0)
    f = Objective(prepared("poisson1d"), None, Stop(evaluations=200), 10)
    with pytest.raises(Spent):
        NNCG(rank=5, inner=5).minimise(f)
    losses = [line["loss"] for line in f.lines[1:]]
    assert losses == sorted(losses, reverse=True)  # Armijo
    assert losses[-1] < losses[0]
    spent = [line["evaluations"] for line in f.lines]
    # start; then f, 5 + 1 + 5 products, and at least f at both ends of the line search each time
    assert spent[0] == 1.0
    assert spent[1] == 2.0 + PRODUCT * (5 + 1 + 5) + 2
    assert spent[-1] <= 200.0
