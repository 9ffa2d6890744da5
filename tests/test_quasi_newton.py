"""Which curvature is taken where none is named: by size, by strategy, by subproblem."""

import math

import numpy as np
import pytest
import torch

import ddopt
from ddopt.executor import Serial
from ddopt.executor.sharded import Sharded
from ddopt.hessian.lsr1 import LSR1
from ddopt.hessian.quasi_newton import QuasiNewton
from ddopt.hessian.selection import informative_pairs
from ddopt.hessian.ssbroyden import SSBroyden
from ddopt.setup.resolved import resolve
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.problems import rotated_quadratic
from ddopt_sapts.data import SaptsD


@pytest.mark.parametrize(
    ("n", "options", "kind"),
    [
        (100, {}, LSR1),
        (101, {}, SSBroyden),
        (100, {"small": 99}, SSBroyden),
        (6_001, {}, LSR1),
        (300, {"dense": 299}, LSR1),
        (200, {"memory": 7}, LSR1),
    ],
)
def test_the_number_of_parameters_decides(n, options, kind):
    hessian = QuasiNewton(**options)
    chosen = hessian.chosen(n)
    assert type(chosen) is kind
    assert getattr(chosen.config, "adaptive", False) == (n <= 100 and not options)
    again = QuasiNewton(**options)
    again.load_state_dict(hessian.state_dict())
    assert repr(again.chosen(n)) == repr(chosen)
    if "memory" in options:
        assert chosen.config.memory == 7


def test_pairs_are_taken_where_vectors_lie_in_pieces():
    hessian = QuasiNewton()
    hessian.prepare(torch.zeros(300, dtype=torch.float64))
    assert isinstance(hessian.chosen(300), SSBroyden)
    hessian.measure(Sharded(Serial(), {0: slice(0, 150), 1: slice(150, 300)}, 2))
    assert isinstance(hessian.chosen(300), LSR1)


@pytest.mark.parametrize(("subdomains", "largest"), [(2, 6_000), (7, 6_000), (64, 2_048)])
def test_the_matrices_of_many_subdomains_stay_below_two_gibibytes(subdomains, largest):
    _, solver = resolve(SaptsD(subdomains=subdomains), TrustRegion.Config())
    assert solver.hessian.dense == largest
    assert 8 * subdomains * largest**2 <= 2**31


def test_other_subproblems_get_a_matrix_that_can_be_multiplied():
    assert isinstance(TrustRegion(subproblem="steihaug").hessian, LSR1)
    assert isinstance(TrustRegion().hessian, QuasiNewton)


def test_a_small_quadratic_is_solved_in_few_evaluations():
    problem = rotated_quadratic(20, condition=1e6)
    start = problem.both(torch.ones(20, dtype=torch.float64))
    assert TrustRegion().solve(problem, start, math.inf, 60).end.value < 1e-18


def test_the_optimizer_takes_the_dense_matrix():
    optimizer = ddopt.TrustRegion([torch.nn.Parameter(torch.zeros(300, dtype=torch.float64))])
    assert "ssbroyden" in optimizer.state_dict()["param_groups"][0]["engine"]


@pytest.mark.parametrize("bad", [1e200, 1e300, math.nan])
def test_pairs_beyond_all_numbers_are_not_chosen_and_nobody_is_warned(bad):
    """The products of the absurd pair overflow; the others are chosen as without it."""
    rng = np.random.default_rng(0)
    s = rng.standard_normal((6, 3))

    def chosen(y):
        r = y - 0.5 * s
        with np.errstate(all="ignore"):
            N, G, size = s.T @ r, r.T @ r, np.abs(s).T @ np.abs(r)
        N = np.tril(N) + np.tril(N, -1).T
        return informative_pairs(N, G, np.linalg.norm(s, axis=0), size).tolist()

    y = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) @ s
    assert chosen(y) == [0, 1, 2]
    y[2, 1] = bad
    found = chosen(y)
    assert 0 in found
    assert 1 not in found
