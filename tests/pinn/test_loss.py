"""The loss and its parts: DeepXDE's own numbers, derivatives, and sums over samples."""

import numpy as np
import pytest
import torch

from ddopt.evaluation.derived import held
from ddopt.evaluation.problem import Samples
from ddopt.numerics.vectors import norm
from ddopt_pinn import PROBLEMS, PDETask, dde
from ddopt_pinn.library import building, numbers
from tests.pinn.problems import halves, prepared

ALL = sorted(PROBLEMS)


def directional(problem, theta, direction, step=1e-5):
    ahead, behind = problem.at(theta + step * direction), problem.at(theta - step * direction)
    return (ahead.value - behind.value) / (2.0 * step)


@pytest.fixture(params=ALL)
def task(request):
    return prepared(request.param)


def test_the_gradient_is_the_slope(task):
    generator = torch.Generator().manual_seed(2)
    theta = task.initial
    direction = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    slope = float(task.problem.at(theta).gradient @ direction)
    assert directional(task.problem, theta, direction) == pytest.approx(slope, rel=2e-6)


def test_shares_add_up_to_the_loss(task):
    problem, theta = task.problem, task.initial
    whole = problem.at(theta)
    shares = [problem.share(samples).at(theta) for samples in halves(problem)]
    assert sum(share.value for share in shares) == pytest.approx(whole.value, rel=1e-13)
    together = torch.stack([share.gradient for share in shares]).sum(0)
    assert norm(together - whole.gradient) <= 1e-12 * norm(whole.gradient)


def test_the_part_that_is_everything_is_the_loss(task):
    problem, theta = task.problem, task.initial
    everything = problem.part(Samples.all(*problem.samples.counts))
    assert everything.at(theta).value == problem.at(theta).value
    assert torch.equal(everything.at(theta).gradient, problem.at(theta).gradient)
    assert everything.cost == 1.0


def test_a_share_of_nothing_is_zero(task):
    empty = Samples(tuple(torch.arange(0) for _ in task.problem.samples.terms))
    share = task.problem.share(empty).at(task.initial)
    assert share.value == 0.0
    assert norm(share.gradient) == 0.0


def test_residuals_and_their_jacobian_give_the_loss_and_the_gradient(task):
    theta = task.initial
    for samples in (task.problem.samples, *halves(task.problem)):
        problem = task.problem.part(samples)
        r, J = problem.residuals(theta).detach(), problem.jacobian(theta)
        point = problem.at(theta)
        assert float(r @ r) == pytest.approx(point.value, rel=1e-13)
        assert J.shape == (len(r), len(theta))
        assert norm(2.0 * (r @ J) - point.gradient) <= 1e-12 * norm(point.gradient)


def test_each_row_of_the_jacobian_is_the_gradient_of_its_residual():
    from ddopt_pinn.jacobian import per_residual

    several = [
        ("convection", {"exact": False}),  # two points per residual
        ("convection", {}),  # features
        ("burgers", {"odd": True}),  # two evaluations per point
        ("diffusion_inverse", {}),  # an unknown
    ]
    for name, options in several:
        task = prepared(name, **options)
        problem = task.problem.part(halves(task.problem)[1])
        rowwise = per_residual(problem.residuals, task.initial)
        assert torch.allclose(problem.jacobian(task.initial), rowwise, rtol=1e-11, atol=1e-13)


def test_a_network_with_other_layers_has_a_jacobian_too():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(2, 5, dtype=torch.float64)
            self.outer = torch.nn.Linear(5, 1, dtype=torch.float64)
            self.scale = torch.nn.Parameter(torch.ones(5, dtype=torch.float64))

        def forward(self, x):
            return self.outer(torch.tanh(self.scale * self.inner(x)))

    task = prepared("poisson2d")
    task.network = Scaled
    task.prepare(task._setting)
    r, J = task.problem.residuals(task.initial).detach(), task.problem.jacobian(task.initial)
    gradient = task.problem.at(task.initial).gradient
    assert norm(2.0 * (r @ J) - gradient) <= 1e-12 * norm(gradient)


def test_values_without_gradients(task):
    with torch.no_grad():
        loss = task.problem.loss(task.initial)
    assert not loss.requires_grad
    assert float(loss) == task.problem.at(task.initial).value


def test_a_batch_may_be_accumulated_over_chunks(task):
    whole = task.problem.at(task.initial)
    chunked = task.problem._but(chunk=11).at(task.initial)
    assert chunked.value == pytest.approx(whole.value, rel=1e-13)
    assert norm(chunked.gradient - whole.gradient) <= 1e-12 * norm(whole.gradient)


def test_layers_can_be_frozen():
    task = prepared("burgers")
    layers = task.problem.layout.layers()
    piece = layers["linears.1"]
    indices = torch.cat([torch.arange(len(task.initial))[one] for one in piece])
    local = held(task.problem, task.problem.at(task.initial), indices)
    point = local.at(task.initial[indices])
    whole = task.problem.at(task.initial)
    assert point.value == whole.value
    assert torch.allclose(point.gradient, whole.gradient[indices], rtol=1e-12, atol=1e-15)
    J = local.jacobian(task.initial[indices])
    assert torch.allclose(J, task.problem.jacobian(task.initial)[:, indices], rtol=1e-12)


class Robin(PDETask):
    """Two equations, and conditions that DeepXDE differentiates."""

    name = "robin"
    axes = ("x", "y")
    outputs = ("u", "v")

    def geometry(self):
        return dde.geometry.Rectangle([0, 0], [1, 1])

    def equation(self, x, u):
        first = dde.grad.jacobian(u, x, i=0, j=0) - u[:, 1:]
        return [first, dde.grad.hessian(u, x, component=1, i=0, j=1) + u[:, :1] ** 2]

    def conditions(self, geometry):
        def low(_, on):
            return on

        points = np.array([[0.2, 0.3], [0.5, 0.6], [0.7, 0.1]])
        return [
            dde.icbc.NeumannBC(geometry, lambda x: x[:, :1], low, component=1),
            dde.icbc.RobinBC(geometry, lambda x, y: y[:, :1] ** 2, low),
            dde.icbc.OperatorBC(
                geometry, lambda x, y, _: dde.grad.jacobian(y, x, i=1, j=1) * y[:, :1], low
            ),
            dde.icbc.PointSetBC(points, np.array([[1.0], [2.0], [3.0]])),
            dde.icbc.PeriodicBC(geometry, 0, lambda x, on: on and x[0] == 0, derivative_order=1),
        ]


@pytest.fixture
def robin():
    from ddopt.task import Setting

    task = Robin(interior=20, boundary=16, width=5, depth=2, distribution="uniform")
    task.prepare(Setting())
    return task


def test_conditions_with_derivatives_values_and_pairs_work_on_parts(robin):
    problem, theta = robin.problem, robin.initial
    whole = problem.at(theta)
    shares = [problem.share(samples).at(theta) for samples in halves(problem)]
    assert sum(share.value for share in shares) == pytest.approx(whole.value, rel=1e-13)
    for samples in (problem.samples, *halves(problem)):
        part = problem.part(samples)
        r, J, g = part.residuals(theta).detach(), part.jacobian(theta), part.at(theta).gradient
        assert norm(2.0 * (r @ J) - g) <= 1e-12 * norm(g)


def test_the_loss_is_that_of_deepxde(robin):
    with building(0, torch.float64):
        data = robin.data(robin.geometry())
        data.train_x_all = robin.problem.coordinates(0).numpy()
        data.train_x = np.vstack([data.train_x_bc, data.train_x_all])
        net = robin.network()
    with numbers(torch.float64, torch.device("cpu")):
        x = torch.tensor(data.train_x, requires_grad=True)
        mean = dde.losses.get("MSE") if hasattr(dde, "losses") else None
        mean = mean or (lambda wanted, found: ((wanted - found) ** 2).mean())
        losses = data.losses(None, net(x), mean, x, None)
        dde.grad.clear()
    value = float(torch.stack(losses).sum().detach())
    assert robin.problem.at(robin.initial).value == pytest.approx(value, rel=1e-13)
