"""The SR1 model against the dense recursion, and its step against dense eigen-solves and theory."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddopt.hessian.lsr1 import spectrum
from ddopt.hessian.secant import SecantPairs
from ddopt.hessian.spectral import Spectral
from ddopt.subproblem.secular import BallMinimum, minimise_in_ball
from tests.sharding import Reduced, Shards


@dataclass(frozen=True)
class Step:
    vector: torch.Tensor
    solution: BallMinimum

    @property
    def decrease(self):
        return self.solution.decrease


class SR1Model:
    """The model of a memory for any gradient."""

    def __init__(self, pairs, gamma):
        self.pairs, self.gamma = pairs, gamma
        self.eigenvalues, self.basis = spectrum(pairs, gamma)

    def around(self, g):
        basis = self.basis
        return Spectral(g, self.pairs, self.gamma, self.eigenvalues, -self.gamma * basis, basis)

    def matvec(self, v):
        return self.around(v).mv(v)

    @property
    def leftmost(self):
        return self.around(torch.zeros(self.pairs.dim)).leftmost

    def minimise(self, g, radius):
        return Step(*self.around(g).minimise(radius))


SEEDS = st.integers(0, 2**31 - 1)
SIZES = st.integers(1, 40)


def dense_sr1(S, Y, gamma, n):
    """The textbook recursion with the skip rule, in float64."""
    B = gamma * torch.eye(n, dtype=torch.float64)
    for s, y in zip(S.double(), Y.double(), strict=True):
        r = y - B @ s
        lost = 1e-13 * (y.norm() + B.norm() * s.norm())
        if r.norm() > lost and abs(r @ s) >= 1e-8 * r.norm() * s.norm():
            B += torch.outer(r, r) / (r @ s)
    return B


def remember(S, Y, capacity=None):
    pairs = SecantPairs(capacity or len(S))
    for s, y in zip(S, Y, strict=True):
        pairs.push(s, y)
    return pairs


def random_data(seed, n, k, noise):
    """Pairs of a random indefinite quadratic; noise makes them those of a general function."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    A = normal(n, n)
    S = normal(k, n)
    Y = S @ (A + A.T) + noise * normal(k, n)
    return S, Y, normal(n)


def model_value(B, g, p):
    return float(g @ p + 0.5 * p @ (B @ p))


def check_optimal(B, g, radius, step, tol):
    """The conditions that characterise a global minimiser (Moré, Sorensen 1983)."""
    B, g, p = B.double(), g.double(), step.vector.double()
    n = len(g)
    scale = float(g.norm()) + float(B.norm()) * radius
    sigma = step.solution.multiplier
    values = torch.linalg.eigvalsh(B)
    assert float(p.norm()) <= radius * (1 + tol)
    assert sigma >= 0.0
    assert float((B @ p + sigma * p + g).norm()) <= tol * scale
    assert float(values[0]) + sigma >= -tol * float(B.norm() + 1e-300)
    assert sigma * abs(radius - float(p.norm())) <= tol * scale
    assert step.decrease >= 0.0
    reference = -model_value(B, g, p)
    assert step.decrease == pytest.approx(reference, rel=tol, abs=tol * scale * radius)
    assert n == len(p)


@settings(max_examples=120, deadline=None)
@given(SEEDS, SIZES, st.integers(1, 12), st.floats(-2, 2), st.floats(-3, 3), st.booleans())
@example(2, 1, 5, -0.10542596577311647, -2.74736258395098, False)  # y is nearly γ s
@example(959286468, 2, 12, -1.042641620958081, -2.786113125748707, True)
def test_step_equals_the_dense_solution(seed, n, k, log_gamma, log_radius, noisy):
    k, gamma, radius = min(k, n), 10.0**log_gamma, 10.0**log_radius
    S, Y, g = random_data(seed, n, k, 0.2 if noisy else 0.0)
    B = dense_sr1(S, Y, gamma, n)
    model = SR1Model(remember(S, Y), gamma)
    values, V = torch.linalg.eigh(B)
    dense = minimise_in_ball(values.numpy(), (V.T @ g).numpy(), radius)
    # Well posed: neither the recursion has lost digits to a nearly vanishing denominator, nor does
    # the step amplify the last digits of B.
    gap = float((values + dense.multiplier).abs().min())
    ours = torch.stack([model.matvec(row) for row in torch.eye(n, dtype=torch.float64)])
    if float((ours - B).norm()) > 1e-13 * gap:
        return
    p = V @ torch.from_numpy(dense.coordinates)
    step = model.minimise(g, radius)
    near_hard = dense.on_boundary and dense.multiplier + float(values[0]) < 1e-3
    # Q is made from inner products, and those of y − γ s cancel where it is short: then Qᵀg, and
    # the step, is off by as much as Q is from orthonormal, though B = γ I + Q (Λ − γ) Qᵀ is not.
    Q = (Y - gamma * S).mT @ torch.from_numpy(model.basis)
    skew = 2.0 * float((Q.mT @ Q - torch.eye(Q.shape[1], dtype=torch.float64)).norm())
    terms = Y.norm(dim=1) + gamma * S.norm(dim=1)  # the inner products are rounded at their size
    eps = torch.finfo(torch.float64).eps
    assert skew <= 32.0 * eps * float(torch.from_numpy(model.basis).norm() * terms.norm()) ** 2
    if not near_hard:
        assert float((step.vector - p).norm()) <= (1e-10 + skew) * float(p.norm())
    rel = (1e-12 if not near_hard else 1e-9) + skew
    assert step.decrease == pytest.approx(dense.decrease, rel=rel)


@settings(max_examples=80, deadline=None)
@given(SEEDS, SIZES, st.integers(1, 60), st.floats(-4, 2), st.floats(-4, 4))
def test_optimality_conditions(seed, n, k, log_gamma, log_radius):
    gamma, radius = 10.0**log_gamma, 10.0**log_radius
    S, Y, g = random_data(seed, n, k, 0.0)
    model = SR1Model(remember(S, Y), gamma)
    B = torch.stack([model.matvec(column) for column in torch.eye(n, dtype=torch.float64)])
    B = 0.5 * (B + B.T)
    if not float(B.norm()) < 1e6:
        return
    check_optimal(B, g, radius, model.minimise(g, radius), 1e-7)
    assert model.leftmost == pytest.approx(
        float(torch.linalg.eigvalsh(B)[0]), abs=1e-8 * float(B.norm())
    )


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(2, 30), st.integers(1, 10))
def test_matvec_equals_the_recursion_and_the_last_secant_equation(seed, n, k):
    S, Y, g = random_data(seed, n, min(k, n), 0.3)
    B = dense_sr1(S, Y, 0.5, n)
    if float(B.norm()) > 1e4:
        return
    model = SR1Model(remember(S, Y), 0.5)
    torch.testing.assert_close(model.matvec(g), B @ g, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(model.matvec(S[-1]), Y[-1], rtol=1e-7, atol=1e-7)


def test_sr1_is_exact_on_a_quadratic_after_n_steps():
    S, Y, _ = random_data(3, 20, 20, 0.0)
    pairs = remember(S, Y)
    for s, y in zip(S[:7] + S[3:10], Y[:7] + Y[3:10], strict=True):
        grown = remember(torch.cat((S, s[None])), torch.cat((Y, y[None])))
        assert len(SR1Model(grown, 1e-2).eigenvalues) == 20
    model = SR1Model(pairs, 1e-2)
    torch.testing.assert_close(torch.stack([model.matvec(s) for s in S]), Y, rtol=1e-8, atol=1e-8)
    assert len(SR1Model(pairs, 1e-2).eigenvalues) == 20


def test_wrapped_memory_keeps_the_recursion_order():
    S, Y, g = random_data(5, 30, 11, 0.5)
    model = SR1Model(remember(S, Y, capacity=4), 0.7)
    torch.testing.assert_close(model.matvec(g), dense_sr1(S[-4:], Y[-4:], 0.7, 30) @ g)


@pytest.mark.parametrize("copies", [2, 5])
def test_repeated_and_dependent_pairs_change_nothing(copies):
    S, Y, g = random_data(1, 25, 6, 0.0)
    B = dense_sr1(S, Y, 0.3, 25)
    S2 = torch.cat([S] * copies + [S[:1] + 2 * S[1:2]])
    Y2 = torch.cat([Y] * copies + [Y[:1] + 2 * Y[1:2]])
    model = SR1Model(remember(S2, Y2), 0.3)
    assert len(model.eigenvalues) == 6
    torch.testing.assert_close(model.matvec(g), B @ g, rtol=1e-9, atol=1e-9)
    check_optimal(B, g, 0.5, model.minimise(g, 0.5), 1e-9)


def test_pairs_that_agree_with_the_seed_are_skipped():
    S, _, g = random_data(1, 10, 3, 0.0)
    model = SR1Model(remember(S, 0.25 * S), 0.25)
    assert len(model.eigenvalues) == 0
    torch.testing.assert_close(model.minimise(g, 1e9).vector, -g / 0.25)


def test_orthogonal_residuals_are_skipped():
    s = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    y = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)  # y − 2 s is orthogonal to s
    assert len(SR1Model(remember(s[None], y[None]), 2.0).eigenvalues) == 0
    assert len(SR1Model(remember(s[None], y[None]), 1.0).eigenvalues) == 1


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 5), (4, 9), (7, 30)])
def test_more_pairs_than_parameters(n, k):
    S, Y, g = random_data(2, n, k, 0.0)
    generator = torch.Generator().manual_seed(2)
    A = torch.randn(n, n, generator=generator, dtype=torch.float64)
    B = A + A.T
    model = SR1Model(remember(S, Y), 0.05)
    assert len(model.eigenvalues) <= n
    torch.testing.assert_close(model.matvec(g), B @ g, rtol=1e-7, atol=1e-7)
    for radius in (1e-3, 1.0, 1e3):
        check_optimal(B, g, radius, model.minimise(g, radius), 1e-7)


def hard_memory(radius):
    """diag(−2, 1, 3, 4) on the first axes of six, gradient without a component along the first."""
    n = 6
    S = torch.eye(n, dtype=torch.float64)[:4]
    Y = S * torch.tensor([-2.0, 1.0, 3.0, 4.0], dtype=torch.float64)[:, None]
    g = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    B = dense_sr1(S, Y, 0.5, n)
    return B, g, SR1Model(remember(S, Y), 0.5).minimise(g, radius)


@pytest.mark.parametrize("radius", [0.01, 0.3, 2.0, 50.0])
def test_hard_case(radius):
    B, g, step = hard_memory(radius)
    check_optimal(B, g, radius, step, 1e-12)
    assert step.solution.on_boundary
    assert step.solution.hard_case == (radius > 1.0)


@settings(max_examples=100, deadline=None)
@given(st.floats(-18, -1), st.floats(-2, 3))
def test_nearly_hard_case_on_the_diagonal(log_slope, log_radius):
    values = np.array([-2.0, -1.9999, 1.0, 5.0])
    g = np.array([10.0**log_slope, 1.0, -1.0, 2.0])
    radius = 10.0**log_radius
    result = minimise_in_ball(values, g, radius)
    p, sigma = result.coordinates, result.multiplier
    np.testing.assert_allclose((values + sigma) * p + g, 0.0, atol=1e-10 * (1 + radius))
    assert sigma >= 2.0
    assert np.linalg.norm(p) == pytest.approx(radius, rel=1e-12)
    assert result.decrease == pytest.approx(-(g @ p + 0.5 * values @ p**2), rel=1e-12)


def test_zero_gradient():
    zero = torch.zeros(4, dtype=torch.float64)
    empty = SR1Model(SecantPairs(2), 1.0).minimise(zero, 1.0)
    assert float(empty.vector.norm()) == empty.decrease == 0.0
    s = torch.eye(4, dtype=torch.float64)[:1]
    convex = SR1Model(remember(s, 3.0 * s), 1.0).minimise(zero, 1.0)
    assert float(convex.vector.norm()) == convex.decrease == 0.0
    concave = SR1Model(remember(s, -3.0 * s), 1.0).minimise(zero, 2.0)
    assert concave.decrease == pytest.approx(6.0)
    assert concave.solution.hard_case


def test_no_pairs_is_the_gradient_step():
    g = torch.tensor([3.0, 4.0], dtype=torch.float64)
    step = SR1Model(SecantPairs(2), 0.5).minimise(g, 1.0)
    torch.testing.assert_close(step.vector, -g / 5.0)
    assert step.decrease == pytest.approx(5.0 - 0.25)


def test_float32_vectors_keep_float64_inner_products():
    S, Y, g = (part.float() for part in random_data(8, 200, 12, 0.1))
    B = dense_sr1(S, Y, 0.4, 200)
    step = SR1Model(remember(S, Y), 0.4).minimise(g, 0.7)
    exact = SR1Model(remember(S.double(), Y.double()), 0.4).minimise(g.double(), 0.7)
    assert step.vector.dtype == torch.float32
    assert step.decrease == pytest.approx(exact.decrease, rel=1e-12)
    torch.testing.assert_close(step.vector, exact.vector.float(), rtol=1e-5, atol=1e-7)
    check_optimal(B, g, 0.7, step, 1e-5)


def test_gradient_inside_the_span_is_not_blown_up_by_a_small_seed():
    S, Y, _ = random_data(4, 50, 10, 0.0)
    gamma = 1e-8
    g = Y.T @ torch.linspace(-1, 1, 10, dtype=torch.float64) - gamma * S.sum(0)
    B = dense_sr1(S, Y, gamma, 50)
    model = SR1Model(remember(S, Y), gamma)
    step = model.minimise(g, 1e3)
    residual = B @ step.vector + step.solution.multiplier * step.vector + g
    assert float(residual.norm()) <= 1e-9 * float(g.norm())


@pytest.mark.parametrize("capacity", [1, 2, 17, 100, 500])
def test_memory_sizes(capacity):
    n = 600
    generator = torch.Generator().manual_seed(capacity)
    curvature = torch.logspace(-2, 2, n, dtype=torch.float64)
    S = torch.randn(capacity, n, generator=generator, dtype=torch.float64)
    model = SR1Model(remember(S, S * curvature), 1e-3)
    torch.testing.assert_close(model.matvec(S[0]), S[0] * curvature, rtol=1e-6, atol=1e-6)
    g = torch.randn(n, generator=generator, dtype=torch.float64)
    step = model.minimise(g, 1.0)
    B_p = model.matvec(step.vector)
    residual = B_p + step.solution.multiplier * step.vector + g
    assert float(residual.norm()) <= 1e-9 * float(g.norm())


@pytest.mark.parametrize("num", [2, 3])
def test_vectors_split_over_shards_give_the_same_step(num):
    S, Y, g = random_data(6, 31, 8, 0.2)
    whole = SR1Model(remember(S, Y), 0.2).minimise(g, 0.4)
    cuts = torch.tensor_split(torch.arange(31), num)

    def body(rank, reduce):
        part = cuts[rank]
        pairs = SecantPairs(8, Reduced(reduce))
        for s, y in zip(S, Y, strict=True):
            pairs.push(s[part], y[part])
        assert pairs.dim == 31
        return SR1Model(pairs, 0.2).minimise(g[part], 0.4)

    steps = Shards(num).run(body)
    vector = torch.cat([step.vector for step in steps])
    torch.testing.assert_close(vector, whole.vector, rtol=1e-11, atol=1e-13)
    assert len({step.decrease for step in steps}) == 1


def test_impossible_radius():
    with pytest.raises(ValueError, match="radius must be positive"):
        minimise_in_ball(np.ones(1), np.ones(1), 0.0)


@pytest.mark.parametrize(("value", "slope"), [(1.0, np.inf), (1.0, np.nan), (np.inf, 1.0)])
def test_a_model_whose_numbers_are_none_promises_nan_and_raises_nothing(value, slope):
    found = minimise_in_ball(np.array([0.0, value]), np.array([1.0, slope]), 1.0)
    assert np.isnan(found.decrease)
    assert not found.coordinates.any()
