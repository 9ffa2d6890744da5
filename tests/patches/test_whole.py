"""A coarse network over the whole domain beside the patches: jets, the bordered step, scripts."""

import numpy as np
import pytest
import torch

import ddopt_patches
from ddopt_patches import quadrature
from ddopt_patches.decomposition import ByPatches
from ddopt_patches.equation import Equation
from ddopt_patches.fit import fit
from ddopt_patches.grid import Grid
from ddopt_patches.least_squares import LeastSquares
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.options import PatchSettings
from ddopt_patches.problem import PatchProblem
from ddopt_patches.rows import Rows
from ddopt_patches.statement import Statement
from ddopt_patches.system import System
from ddopt_patches.whole import GridAndWhole
from ddopt_pinn.derivatives import upto
from ddopt_pinn.library import dde

AXES = {1: [(0, 2)], 2: [(0, 2), (-1, 1)], 3: [(0, 2), (-1, 1), (0, 1)]}


pytestmark = pytest.mark.usefixtures("double_in_deepxde")


def made(dimensions, outputs=1, features=5, cells=2):
    nodes = Grid.uniform(AXES[dimensions], [cells] * dimensions).nodes
    net = FBPINN(Patches.random(GridAndWhole(nodes), features, outputs, 1.3, seed=2))
    chance = torch.Generator().manual_seed(1)
    net.weights.data = torch.randn(net.weights.shape, generator=chance, dtype=torch.float64)
    return net


def points_of(grid, count=3):
    return quadrature.interior(grid, count)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_network_is_the_patches_and_one_network_of_the_whole_domain(dimensions):
    net = made(dimensions, outputs=2)
    S = net.grid.local
    fine = FBPINN(Patches(Grid(net.grid.nodes), net.W[:S], net.b[:S], 2))
    fine.weights.data = net.weights.data[:S]
    x = points_of(net.grid).x.flatten(0, 1)
    ends = net.grid.bounds
    t = (x - ends.mean(1)) / ((ends[:, 1] - ends[:, 0]) / 2)
    coarse = torch.tanh(t @ net.W[S].T + net.b[S]) @ net.weights[S].T
    torch.testing.assert_close(net(x), fine(x) + coarse, rtol=1e-13, atol=1e-13)


def third_order(x, u):
    u_xx = dde.grad.hessian(u, x, component=0, i=0, j=0)
    return dde.grad.jacobian(u_xx, x, i=0, j=0) * u[:, 1:]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_its_jets_are_those_of_autograd(dimensions):
    net = made(dimensions, outputs=2)
    points = points_of(net.grid, 2)
    found = Rows(net.patches, points, Equation(third_order, dimensions, 2, points.x)).jets(
        net.weights.detach()
    )
    x = points.x.flatten(0, 1).requires_grad_()
    y = net(x)
    for q, alpha in enumerate(upto(dimensions, 3)):
        for o in range(2):
            wanted = y[:, o]
            for axis, k in enumerate(alpha):
                for _ in range(k):
                    (slopes,) = torch.autograd.grad(wanted.sum(), x, create_graph=True)
                    wanted = slopes[:, axis]
            torch.testing.assert_close(
                found[..., o, q].flatten(), wanted.detach(), rtol=1e-9, atol=1e-9
            )


def laplace(x, u):
    return sum(dde.grad.hessian(u, x, i=i, j=i) for i in range(x.shape[1])) + u - 1.0


def system(dimensions, features=5, cells=3):
    net = made(dimensions, features=features, cells=cells)
    count = 5 if dimensions > 1 else 4 * features
    points, edge = points_of(net.grid, count), quadrature.face(net.grid, 0, False, count)
    rows = [Rows(net.patches, points, Equation(laplace, dimensions, 1, points.x))]
    rows.append(Rows(net.patches, edge, Equation(lambda _, u: u, dimensions, 1, edge.x), 3.0))
    return net, System(net.patches, rows)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_step_minimises_the_linear_model_of_patches_and_coarse_network(dimensions):
    net, made_of = system(dimensions)
    problem = PatchProblem(made_of)
    theta = net.weights.detach().flatten()
    residuals, blocks = problem.by_cells(theta)
    J, r = problem.jacobian(theta), problem.residuals(theta)
    model = LeastSquares(blocks, problem.levels, problem.patches)
    step = model.solve(residuals).flatten()
    wanted = torch.linalg.lstsq(J, -r[:, None], driver="gelsd").solution
    best = float((J @ wanted + r[:, None]).norm())
    assert float((J @ step + r).norm()) == pytest.approx(best, rel=1e-6)
    assert bool(step.view(net.weights.shape)[-1].any())


def test_what_patches_represent_as_well_is_left_to_them():
    """With many features the coarse network adds nothing; the step is as good as without it."""
    net, made_of = system(1, features=24, cells=2)
    theta = torch.zeros_like(net.weights).detach().flatten()
    problem = PatchProblem(made_of)
    residuals, blocks = problem.by_cells(theta)
    step = LeastSquares(blocks, problem.levels, problem.patches).solve(residuals).flatten()
    left = problem.residuals(theta + step)
    assert bool(torch.isfinite(step).all())
    assert float(left.norm()) < 1e-6 * float(torch.cat([r.flatten() for r in residuals]).norm())


def test_a_local_fit_leaves_the_coarse_network_zero():
    net = made(2, features=49)
    with torch.no_grad():
        net.weights.copy_(fit(net.patches, lambda x: torch.sin(x[:, :1]) * x[:, 1:]))
        x = points_of(net.grid).x.flatten(0, 1)
        wanted = torch.sin(x[:, :1]) * x[:, 1:]
        assert not bool(net.weights[-1].any())
        assert float((net(x) - wanted).abs().max()) < 1e-3


def script(**options):
    geometry = dde.geometry.Rectangle([0, 0], [1, 1])
    value = dde.icbc.DirichletBC(geometry, exact, lambda _, on: on)

    def equation(x, u):
        laplacian = dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
        return laplacian + 5 * torch.sin(2 * x[:, :1]) * torch.cos(x[:, 1:])

    data = dde.data.PDE(geometry, equation, value, num_domain=60, num_boundary=20)
    model = dde.Model(data, ddopt_patches.fbpinn(geometry, along=[4, 4], **options))
    ddopt_patches.compile(model)
    return model


def exact(x):
    return np.sin(2 * x[:, :1]) * np.cos(x[:, 1:])


def test_a_script_with_a_coarse_network_solves_and_its_state_goes_round():
    model = script(features=36, coarse=True)
    model.train(iterations=3, display_every=3)
    x = np.random.default_rng(1).random((500, 2))
    assert np.linalg.norm(model.predict(x) - exact(x)) / np.linalg.norm(exact(x)) < 1e-6
    assert bool(model.net.weights[-1].any())
    other = script(features=36, coarse=True)
    other.net.load_state_dict(model.net.state_dict())
    assert np.array_equal(other.predict(x), model.predict(x))


def test_hidden_layers_of_both_may_train():
    model = script(features=4, coarse=True, train_hidden=True)
    before = model.net.weights.detach().clone()
    model.train(iterations=20, display_every=20)
    history = np.array(model.losshistory.loss_train).sum(1)
    assert history[-1] < history[0] / 10
    assert bool((model.net.weights[-1] != before[-1]).all())


def test_what_cuts_space_refuses_it():
    _, made_of = system(2)
    problem = PatchProblem(made_of)
    with pytest.raises(ValueError, match="belongs to no region"):
        problem.own_share(0, 2)
    with pytest.raises(ValueError, match="in no box of patches"):
        ByPatches(subdomains=2).split(problem)
    with pytest.raises(ValueError, match="does not close the periodic axis 0"):
        PatchSettings(coarse=True).patches([(0, 1), (0, 1)], 1, (0,), 0)
    with pytest.raises(ValueError, match="not refined"):
        ddopt_patches.refined(script(features=20, coarse=True))
    space = dde.geometry.Interval(0, 1)
    moving = dde.geometry.GeometryXTime(space, dde.geometry.TimeDomain(0, 1))
    with pytest.raises(ValueError, match="covers all times"):
        ddopt_patches.fbpinn(moving, along=[4, 4], slabs=2, coarse=True)


def test_a_coarse_network_leaves_the_weights_of_conditions_nearly_as_they_are():
    """It is smooth: compared with it the conditions would weigh a hundred times less."""
    weights = []
    for coarse in (False, True):
        geometry = dde.geometry.Rectangle([0, 0], [1, 1])
        value = dde.icbc.DirichletBC(geometry, exact, lambda _, on: on)
        patches = PatchSettings(along=[8, 8], features=16, coarse=coarse).patches(
            [(0, 1), (0, 1)], 1, (), 0
        )
        found = Statement(geometry, laplace, [value]).system(patches)
        weights.append([rows.weight for rows in found.rows])
    assert weights[1] == pytest.approx(weights[0], rel=0.2)
