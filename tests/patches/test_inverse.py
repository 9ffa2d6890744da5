"""Unknown numbers beside the patches: their columns, the bordered step, problems that find them."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

import ddopt_patches
from ddopt.task import Setting
from ddopt_patches import quadrature
from ddopt_patches.block_gauss_newton import BlockGaussNewton
from ddopt_patches.equation import Equation
from ddopt_patches.grid import Grid
from ddopt_patches.inverse import InverseProblem
from ddopt_patches.network import Patches
from ddopt_patches.observations import Observed
from ddopt_patches.rows import Rows
from ddopt_patches.system import System
from ddopt_patches.task import PatchTask
from ddopt_pinn.library import dde

pytestmark = pytest.mark.usefixtures("double_in_deepxde")


def stated():
    """a³ u_xx + a b u, with a and b unknown: nothing linear about a."""
    a, b = (torch.tensor(v, dtype=torch.float64) for v in (1.3, 0.4))
    patches = Patches.random(Grid.uniform([(0, 1)], (3,)), 5)
    points = quadrature.interior(patches.grid, 16)

    def function(x, u):
        return a**3 * dde.grad.hessian(u, x, i=0, j=0) + a * b * u - 1.0 + b

    rows = Rows(patches, points, Equation(function, 1, 1, points.x))
    ends = [quadrature.face(patches.grid, 0, upper, 1) for upper in (False, True)]
    fixed = [Rows(patches, one, Equation(lambda x, u: u, 1, 1, one.x)) for one in ends]
    return InverseProblem(System(patches, [rows, *fixed]), {"a": a, "b": b})


def somewhere(problem):
    theta = torch.randn(problem.layout.size, dtype=torch.float64)
    theta[-2:] = torch.tensor([1.1, 0.7])
    return theta


def test_the_jacobian_has_the_derivatives_by_the_numbers():
    problem = stated()
    theta = somewhere(problem)
    found = problem.jacobian(theta)
    for i in (0, 7, -2, -1):
        ahead, behind = theta.clone(), theta.clone()
        ahead[i] += 1e-5
        behind[i] -= 1e-5
        wanted = (problem.residuals(ahead) - problem.residuals(behind)) / 2e-5
        assert torch.allclose(found[:, i], wanted, rtol=1e-6, atol=1e-6 * float(wanted.norm()))


def test_gradient_is_that_of_the_sum_of_squares_whatever_was_evaluated_since():
    problem = stated()
    theta = somewhere(problem)
    point = problem.at(theta)
    problem.at(2.0 * theta)
    wanted = 2.0 * problem.jacobian(theta).mT @ problem.residuals(theta)
    assert torch.allclose(point.gradient, wanted, rtol=1e-9, atol=1e-9 * float(wanted.norm()))
    assert torch.allclose(problem.both(theta).gradient, point.gradient, rtol=1e-12)


def test_the_bordered_step_is_the_dense_least_squares_solution():
    problem = stated()
    theta = somewhere(problem)
    residuals, squares = problem.factorised(theta, 0.0, 0.0)
    y = squares.solve_in_basis(residuals, 6)
    after = torch.cat(
        [(r + q).flatten() for r, q in zip(residuals, squares.product(y), strict=True)]
    )
    J, r = problem.jacobian(theta), problem.residuals(theta)
    best = torch.linalg.lstsq(J, -r[:, None], driver="gelsd").solution[:, 0]
    assert float(after.norm()) == pytest.approx(float((J @ best + r).norm()), rel=1e-7)
    step = squares.from_basis(y).flatten()[: problem.layout.size]
    assert torch.allclose(step[-2:], best[-2:], rtol=1e-6)
    assert torch.allclose(J @ step + r, after, atol=1e-7 * float(r.norm()))


def test_numbers_that_nothing_fixes_are_refused():
    a = torch.tensor(1.0, dtype=torch.float64)
    patches = Patches.random(Grid.uniform([(0, 1)], (3,)), 16)
    points = quadrature.interior(patches.grid, 50)

    def function(x, u):
        return dde.grad.hessian(u, x, i=0, j=0) - a - u

    system = System(patches, [Rows(patches, points, Equation(function, 1, 1, points.x))])
    b = torch.tensor(0.0, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"reads the unknown number 'b'"):
        InverseProblem(system, {"a": a, "b": b})
    problem = InverseProblem(system, {"a": a})
    with pytest.raises(ValueError, match=r"do not fix the 1 unknown numbers.*observations"):
        problem.factorised(torch.zeros(problem.layout.size, dtype=torch.float64), 0.0, 0.0)


def test_a_variable_of_a_deepxde_script_is_found():
    """u_xx + c u = 0 with u = sin 2x: c = 4 from values in no order."""
    interval = dde.geometry.Interval(0, 1)
    c = dde.Variable(1.0)

    def equation(x, u):
        return dde.grad.hessian(u, x, i=0, j=0) + c * u

    x = np.random.default_rng(0).permutation(np.linspace(0.1, 0.9, 21))[:, None]
    conditions = [
        dde.icbc.DirichletBC(interval, lambda x: np.sin(2 * x), lambda _, on: on),
        dde.icbc.PointSetBC(x, np.sin(2 * x)),
    ]
    data = dde.data.PDE(interval, equation, conditions, num_domain=20, num_boundary=2)
    net = ddopt_patches.fbpinn(interval, along=[4], features=12)
    model = dde.Model(data, net)
    ddopt_patches.compile(model, external_trainable_variables=[c])
    model.train(iterations=12, display_every=100)
    assert float(c.detach()) == pytest.approx(4.0, rel=1e-6)
    assert np.abs(model.predict(x) - np.sin(2 * x)).max() < 1e-6


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noisy_values_give_the_least_squares_estimate(seed):
    """u_xx + c u = 0: among sin √c x sin 2 / sin √c the one that is nearest to the values."""
    interval, c = dde.geometry.Interval(0, 1), dde.Variable(1.0)
    chance = np.random.default_rng(seed)
    x = chance.random((200, 1))
    y = np.sin(2 * x) + 0.01 * chance.standard_normal(x.shape)

    def missed(p):
        w = np.sqrt(p[0])
        return (np.sin(w * x) * np.sin(2) / np.sin(w) - y)[:, 0]

    estimate = least_squares(missed, [3.5]).x[0]
    conditions = [
        dde.icbc.DirichletBC(interval, lambda x: np.sin(2 * x), lambda _, on: on),
        dde.icbc.PointSetBC(x, y),
    ]
    data = dde.data.PDE(
        interval,
        lambda x, u: dde.grad.hessian(u, x, i=0, j=0) + c * u,
        conditions,
        num_domain=20,
        num_boundary=2,
    )
    model = dde.Model(data, ddopt_patches.fbpinn(interval, along=[4], features=12))
    ddopt_patches.compile(model, observed=0.03, external_trainable_variables=[c])
    model.train(iterations=12, display_every=100)
    assert float(c.detach()) == pytest.approx(estimate, abs=5e-3)  # its own error is about 1e-2
    assert float(c.detach()) == pytest.approx(4.0, abs=3e-2)


def test_observations_are_compared_with_the_values_of_their_places():
    """In whatever order, some of them twice: the mean of both is meant."""
    x = np.array([[0.9], [0.1], [0.5], [0.1]])
    condition = dde.icbc.PointSetBC(x, np.array([[9.0], [1.0], [5.0], [3.0]]), batch_size=2)
    places = torch.tensor([[0.1], [0.5], [0.9], [0.1]], dtype=torch.float64)
    found = Observed(condition)(places, torch.zeros(4, 1, dtype=torch.float64))
    assert found[:, 0].tolist() == [-2.0, -5.0, -9.0, -2.0]


def test_a_problem_with_an_unknown_coefficient_from_a_run_file():
    task = PatchTask(of="diffusion_inverse", along=[5, 3], features=49)
    task.prepare(Setting(dtype=torch.float64))
    assert task.problem.layout.names == ("weights", "unknowns.coefficient")
    theta, hessian = task.initial, BlockGaussNewton()
    for _ in range(8):
        model = hessian.model(task.problem, task.problem.at(theta))
        theta = theta + model.minimise(float("inf"))[0]
    found = task.measure(theta)
    assert found["coefficient_error"] < 1e-6
    assert found["error"] < 1e-6


def test_what_is_known_of_a_corner_may_have_an_unknown_factor():
    """On an L-shape u = 3/2 s + x² − y², s = r^(2/3) sin 2θ/3: patches beside a s, a unknown."""
    room = dde.geometry.Rectangle([-1, -1], [1, 1])
    domain = room - dde.geometry.Rectangle([0, -1], [1, 0])

    def singular(x):
        angle = torch.atan2(x[:, 1:], x[:, :1])
        angle = torch.where(angle < -1e-9, angle + 2 * math.pi, angle)
        return (x * x).sum(1, keepdim=True) ** (1 / 3) * torch.sin(2 / 3 * angle)

    def exact(x):
        x = torch.as_tensor(x)
        return (1.5 * singular(x) + x[:, :1] ** 2 - x[:, 1:] ** 2).numpy()

    def laplace(x, u):
        return dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)

    factor = dde.Variable(0.5)
    value = dde.icbc.DirichletBC(domain, exact, lambda _, on: on)
    data = dde.data.PDE(domain, laplace, value, num_domain=30, num_boundary=30)
    net = ddopt_patches.fbpinn(domain, along=[4, 4], features=25)
    net.apply_output_transform(lambda x, N: N + factor * singular(x))
    model = dde.Model(data, net)
    ddopt_patches.compile(model, external_trainable_variables=[factor])
    model.train(iterations=6, display_every=100)
    x = domain.random_points(500)
    missed = np.abs(model.predict(x) - exact(x)).max()
    assert float(factor.detach()) == pytest.approx(1.5, abs=1e-3)
    assert missed < 2e-4
