"""Identities of damped least squares: normal equations, dual form, damping and ball, tilt."""

import math

import pytest
import torch

from ddopt.evaluation.jacobian import Dense, gram
from ddopt.hessian.linear_residuals import LinearResiduals
from ddopt.hessian.normal_equations import FLOOR, NormalEquations

SHAPES = {"few residuals": (6, 15), "square": (12, 12), "many residuals": (40, 15)}


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def dense(J, r, t, damping):
    """The minimiser of ‖r + Jp‖² + <t, p> + σ‖p‖², from the stacked system [J; √σ I]."""
    n = J.shape[1]
    root = math.sqrt(damping)
    A = torch.cat([J, root * torch.eye(n, dtype=J.dtype)])
    b = torch.cat([-r, -t / (2.0 * root)])
    return torch.linalg.lstsq(A, b[:, None], driver="gelsd").solution[:, 0]


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (1, 1), (5, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gram_matrix_is_that_of_the_rows(shape, dtype):
    A = numbers(*shape).to(dtype)
    for matrix in (A, A.T.contiguous().T):  # whatever the strides
        torch.testing.assert_close(gram(matrix), matrix @ matrix.T)
        assert gram(matrix).dtype == dtype


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("damping", [1e-6, 1e-2, 10.0])
def test_both_forms_solve_the_damped_normal_equations(shape, damping):
    J, e = numbers(*shape), numbers(shape[0], seed=1)
    damped = NormalEquations(Dense(J)).damped(damping)
    x = damped.fitted(e)
    assert damped.damping == damping
    torch.testing.assert_close(J.T @ (J @ x) + damping * x, J.T @ e, rtol=1e-8, atol=1e-10)
    v = numbers(shape[1], seed=2)
    y = damped.inverse(v)
    torch.testing.assert_close(J.T @ (J @ y) + damping * y, v, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("damping", [1e-4, 1e-1, 10.0])
def test_the_damped_step_is_that_of_the_stacked_least_squares_system(shape, damping, tilted):
    J, r = numbers(*shape), numbers(shape[0], seed=1)
    t = numbers(shape[1], seed=2) if tilted else torch.zeros(shape[1], dtype=torch.float64)
    model = LinearResiduals(Dense(J), r, t if tilted else None)
    torch.testing.assert_close(
        model.at(damping).step, dense(J, r, t, damping), rtol=1e-7, atol=1e-9
    )
    torch.testing.assert_close(model.gradient, 2.0 * J.T @ r + t)


@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("guess", [0.0, 1e-8, 1e4])
def test_a_radius_and_a_damping_are_the_same_step(shape, tilted, guess):
    J, r = numbers(*shape), numbers(shape[0], seed=1)
    t = numbers(shape[1], seed=2) if tilted else None
    for damping in (1e-3, 1.0, 100.0):
        model = LinearResiduals(Dense(J), r, t)
        step = model.at(damping).step
        found = LinearResiduals(Dense(J), r, t).within(float(step.norm()), guess)
        torch.testing.assert_close(found.step, step, rtol=1e-6, atol=1e-8)
        assert found.damping == pytest.approx(damping, rel=1e-5)  # ‖p‖ hardly feels a small one
        assert float(found.step.norm()) == pytest.approx(float(step.norm()), rel=1e-14)


def test_in_a_large_ball_the_step_is_the_least_squares_solution():
    for shape in SHAPES.values():
        J, r = numbers(*shape), numbers(shape[0], seed=1)
        step, decrease, length = LinearResiduals(Dense(J), r).minimise(1e6)
        torch.testing.assert_close(
            step,
            torch.linalg.lstsq(J, -r[:, None], driver="gelsd").solution[:, 0],
            rtol=1e-7,
            atol=1e-9,
        )
        assert decrease == pytest.approx(float(r @ r - (r + J @ step).square().sum()), rel=1e-12)
        assert length == pytest.approx(float(step.norm()))


def _promised(model, damping):
    step = model.at(damping).step
    return step, model.promised(step)


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_without_full_rank_a_small_damping_tends_to_the_shortest_solution(shape, rank):
    J = numbers(shape[0], rank) @ numbers(rank, shape[1], seed=3)
    r = numbers(shape[0], seed=1)
    size = float(torch.linalg.norm(J, 2))
    shortest = torch.linalg.pinv(J, rtol=1e-12) @ -r
    model = LinearResiduals(Dense(J), r)
    step = model.at(1e-8 * size**2).step
    torch.testing.assert_close(step, shortest, rtol=1e-5, atol=1e-6)
    # At the least damping, what JᵀJ cannot see is round-off over the damping: about ‖r‖/‖J‖. How
    # much of the decrease that costs is up to the BLAS, but it is what the step has, and a hundred
    # times the damping has all of it.
    most = float(r @ r - (r + J @ shortest).square().sum())
    step, decrease, _ = model.minimise(1e6)
    assert float((step - shortest).norm()) < float(r.norm()) / size
    assert decrease == pytest.approx(float(r @ r - (r + J @ step).square().sum()), rel=1e-9)
    assert 0.0 < decrease < most * (1.0 + 1e-9)
    assert model.decrease(*_promised(model, 100.0 * model.equations.floor)) > 0.999 * most


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_tilt_outside_the_range_of_the_rows_is_followed_to_the_boundary(shape):
    """B is zero there, so nothing but the ball stops the step."""
    J = numbers(shape[0], 3) @ numbers(3, shape[1], seed=3)
    r = torch.zeros(shape[0], dtype=torch.float64)
    t = numbers(shape[1], seed=2)
    t = t - torch.linalg.pinv(J, rtol=1e-12) @ (J @ t)  # orthogonal to all rows
    step, decrease, length = LinearResiduals(Dense(J), r, t).minimise(0.5)
    torch.testing.assert_close(step, -0.5 * t / t.norm(), rtol=1e-6, atol=1e-7)
    assert length == pytest.approx(0.5)
    assert decrease == pytest.approx(0.5 * float(t.norm()), rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_jacobian_in_float32_gives_the_step_to_its_digits(shape):
    J, r = numbers(*shape), numbers(shape[0], seed=1)
    exact = LinearResiduals(Dense(J), r).at(1e-1).step
    rough = LinearResiduals(Dense(J.float()), r).at(1e-1).step
    assert rough.dtype == torch.float64
    torch.testing.assert_close(rough, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_damping_below_round_off_is_raised_to_where_the_factorisation_exists(dtype):
    row = numbers(1, 9).to(dtype)
    equations = NormalEquations(Dense(torch.cat([row] * 4)))  # rank 1
    damped = equations.damped(0.0)
    assert equations.floor == FLOOR[dtype] * equations.top
    assert equations.floor <= damped.damping <= 1e3 * equations.floor
    assert bool(damped.fitted(torch.ones(4, dtype=dtype)).isfinite().all())


def test_the_decrease_of_f_keeps_its_digits_near_a_minimum():
    r = torch.full((3,), 1.0, dtype=torch.float64)
    s = r + 1e-13
    model = LinearResiduals(Dense(torch.eye(3, dtype=torch.float64)), r)
    assert model.decrease(torch.zeros(3), s) == pytest.approx(-6 * float(s[0] - r[0]), rel=1e-9)


def test_where_the_jacobian_is_zero_only_the_tilt_moves():
    J, r = torch.zeros(4, 3, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    step, decrease, _ = LinearResiduals(Dense(J), r).minimise(1.0)
    assert not step.any()
    assert decrease == 0.0
    t = torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64)
    step, decrease, length = LinearResiduals(Dense(J), r, t).minimise(1.0)
    torch.testing.assert_close(step, -t / 5.0)
    assert (decrease, length) == pytest.approx((5.0, 1.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_jacobian_that_is_not_finite_gives_no_step(shape, bad):
    J = numbers(*shape)
    J[1, 2] = bad
    model = LinearResiduals(Dense(J), numbers(shape[0], seed=1))
    assert not model.jacobian.finite
    step, decrease, _ = model.minimise(1.0)
    assert not step.any()
    assert math.isnan(decrease)
    with pytest.raises(ArithmeticError, match=r"has the diagonal nan|has the diagonal inf"):
        model.at(1.0)


def beyond_reach(rows, columns, seed=0):
    """J with singular values from 1 to 1e-16, and residuals along the least of them."""
    k = min(rows, columns)
    U, V = (torch.linalg.qr(numbers(n, k, seed=seed + i))[0] for i, n in enumerate((rows, columns)))
    J = U * torch.logspace(0.0, -16.0, k, dtype=torch.float64) @ V.T
    return J, U @ (numbers(k, seed=seed + 2) * torch.linspace(0.0, 1.0, k, dtype=U.dtype) ** 20)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("damping", [1e-8, 1e-2, 10.0])
def test_the_decrease_of_a_damped_step(shape, damping):
    """m(0) − m(p) = ‖Jp‖² + 2σ‖p‖²."""
    J, r = numbers(*shape), numbers(shape[0], seed=1)
    model = LinearResiduals(Dense(J), r)
    step = model.sound(damping)
    p = step.step
    exact = float((J @ p).square().sum() + 2.0 * damping * p.square().sum())
    assert model.decrease(p, model.promised(p)) == pytest.approx(exact, rel=1e-6)
    assert torch.equal(p, model.at(damping).step)  # nothing to refine


@pytest.mark.parametrize("shape", [(60, 90), (60, 60), (90, 60)])
@pytest.mark.parametrize("share", [8e-16, 1e-14, 1e-12])
@pytest.mark.parametrize("seed", range(3))
def test_a_step_that_round_off_has_taken_is_refined(shape, share, seed):
    """With the dual form it would promise an increase; the exact step never does."""
    J, r = beyond_reach(*shape, seed=seed)
    model = LinearResiduals(Dense(J), r)
    if model.jacobian.dual:
        p = model.at(share * model.equations.top).step
        assert model.decrease(p, model.promised(p)) < 0.0
    found = model.sound(share * model.equations.top)
    p = found.step
    exact = float((J @ p).square().sum() + 2.0 * found.damping * p.square().sum())
    assert model.decrease(p, model.promised(p)) >= 0.9 * exact > 0.0
    assert found.damping <= max(share, 1e-12) * model.equations.top


def test_at_a_minimum_no_damping_helps():
    """r is orthogonal to the range of J up to round-off, and the search for a step ends."""
    Q = torch.linalg.qr(numbers(40, 20))[0]
    model = LinearResiduals(Dense(Q[:, :10].contiguous()), Q[:, 10:] @ numbers(10, seed=1))
    step = model.sound(1e-10)
    assert float(step.step.norm()) < 1e-14
