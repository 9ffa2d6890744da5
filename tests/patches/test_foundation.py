"""Windows, grids, features, jets, and the linearisation of whatever equation."""

import math

import pytest
import torch
from torch.func import functional_call

from ddopt_patches import quadrature
from ddopt_patches.equation import Equation
from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.rows import Rows
from ddopt_patches.windows import coefficients, jets
from ddopt_pinn.derivatives import upto
from ddopt_pinn.library import dde

GRIDS = {
    1: lambda: Grid([torch.tensor([0.0, 0.3, 1.0])]),
    2: lambda: Grid([torch.tensor([-1.0, -0.2, 0.1, 1.0]), torch.tensor([0.0, 0.4, 1.0])]),
    3: lambda: Grid.uniform([(0, 1), (0, 2), (-1, 1)], (2, 1, 2)),
    "periodic": lambda: Grid.uniform([(-1, 1), (0, 1)], (4, 2), periodic=[0]),
}


def some_points(grid, per_cell=5):
    points = quadrature.interior(grid, 2)
    chance = torch.Generator().manual_seed(3)
    x = torch.rand(grid.cells, per_cell, grid.dimensions, generator=chance, dtype=torch.float64)
    cells = points.cells
    x = grid.lower(cells)[:, None] + x * grid.widths(cells)[:, None]
    return quadrature.Points(cells, x, torch.rand(x.shape[:2], dtype=torch.float64) + 0.5)


def network(grid, outputs=1, features=6):
    net = FBPINN(Patches.random(grid, features, outputs, 1.3, seed=2))
    net.weights.data = torch.randn(net.weights.shape, dtype=torch.float64)
    return net


def derivatives(y, x, alpha):
    for axis, k in enumerate(alpha):
        for _ in range(k):
            y = torch.autograd.grad(y.sum(), x, create_graph=True)[0][:, axis]
    return y


def test_the_smoothstep_of_three_derivatives_is_the_known_polynomial():
    assert coefficients(3) == (0, 0, 0, 0, 35, -84, 70, -20)


@pytest.mark.parametrize("name", ["c1", "c2", "c3", "c4"])
def test_a_window_and_its_derivatives_meet_at_both_ends(name):
    k = int(name[1])
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    found = jets(name, ends, k)
    assert torch.equal(found[0], ends)
    assert all(float(one.abs().max()) < 1e-9 for one in found[1:])


@pytest.mark.parametrize("kind", GRIDS)
def test_windows_add_up_to_one_and_their_derivatives_to_nothing(kind):
    grid = GRIDS[kind]()
    points = some_points(grid)
    total = grid.window_jets(points.cells, points.x, 2).sum(1)
    assert torch.allclose(total[..., 0], torch.ones_like(total[..., 0]), atol=1e-14)
    assert float(total[..., 1:].abs().max()) < 1e-11


@pytest.mark.parametrize("kind", GRIDS)
def test_weights_of_gauss_points_add_up_to_volume_and_area(kind):
    grid = GRIDS[kind]()
    sides = grid.bounds[:, 1] - grid.bounds[:, 0]
    inside = quadrature.interior(grid, 3)
    assert float(inside.roots.square().sum()) == pytest.approx(float(sides.prod()))
    face = quadrature.face(grid, 0, True, 3)
    assert float(face.roots.square().sum()) == pytest.approx(float(sides[1:].prod()))
    assert float((face.x[..., 0] - grid.nodes[0][-1]).abs().max()) == 0.0


@pytest.mark.parametrize("features", [10, 20, 25, 36, 49, 56, 64, 84, 100, 120])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_points_along_an_axis_see_what_the_features_can_represent(dimensions, features):
    """K >= (p + d choose d) features are given p + d points; in the plane 2 K points suffice."""
    grid = Grid.uniform([(0, 1)] * dimensions, [40 if dimensions == 2 else 4] * dimensions)
    W = torch.zeros(grid.patches, features, dimensions)
    patches = Patches(grid, W, torch.zeros(grid.patches, features))
    found = quadrature.points_an_axis(patches, 1, 2.0)
    degree = max(p for p in range(20) if math.comb(p + dimensions, dimensions) <= features)
    rows = math.ceil((2 * patches.unknowns / grid.cells) ** (1 / dimensions))
    assert found >= degree + dimensions
    assert found == (rows if dimensions == 2 else max(rows, degree + 3))


def test_scattered_points_are_padded_by_points_of_no_weight():
    grid = GRIDS[2]()
    x = torch.rand(17, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = quadrature.scattered(grid, x, torch.full((17,), 0.5, dtype=torch.float64))
    assert found.count == 17
    back = found.x[found.roots > 0]
    assert sorted(back.tolist()) == sorted(x.tolist())
    assert torch.equal(
        grid.locate(found.x.flatten(0, 1)).view(found.roots.shape)[:, 0], found.cells
    )


@pytest.mark.parametrize("kind", GRIDS)
def test_jets_of_the_network_are_those_of_autograd(kind):
    grid = GRIDS[kind]()
    net, points = network(grid, outputs=2), some_points(grid)
    equation = Equation(third_order, grid.dimensions, 2, points.x)
    found = Rows(net.patches, points, equation).jets(net.weights.detach())
    x = points.x.flatten(0, 1).requires_grad_()
    y = net(x)
    for q, alpha in enumerate(upto(grid.dimensions, 3)):
        for o in range(2):
            wanted = derivatives(y[:, o], x, alpha).detach()
            assert torch.allclose(found[..., o, q].flatten(), wanted, rtol=1e-9, atol=1e-9)


def third_order(x, u):
    u_xx = dde.grad.hessian(u, x, component=0, i=0, j=0)
    return dde.grad.jacobian(u_xx, x, i=0, j=0) + u[:, 1:]


def d(u, x, i, j=None, component=0):
    if j is None:
        return dde.grad.jacobian(u, x, i=component, j=i)
    return dde.grad.hessian(u, x, component=component, i=i, j=j)


def kovasznay(x, w):
    u, v = w[:, :1], w[:, 1:2]
    return [
        u * d(w, x, 0) + v * d(w, x, 1) + d(w, x, 0, component=2) - 0.05 * (d(w, x, 0, 0)),
        u * d(w, x, 0, component=1) + d(w, x, 1, component=2) - 0.05 * d(w, x, 1, 1, component=1),
        d(w, x, 0) + d(w, x, 1, component=1),
    ]


EQUATIONS = {
    "poisson": (1, lambda x, u: -d(u, x, 0, 0) - d(u, x, 1, 1) - torch.sin(x[:, :1])),
    "burgers": (1, lambda x, u: d(u, x, 1) + u * d(u, x, 0) - 0.01 * d(u, x, 0, 0)),
    "allen-cahn": (1, lambda x, u: d(u, x, 1) - 1e-3 * d(u, x, 0, 0) - 5 * (u - u**3)),
    "helmholtz, a column without a second dimension": (
        1,
        lambda x, u: (d(u, x, 0, 0) + d(u, x, 1, 1) + 9 * u)[:, 0],
    ),
    "mixed derivatives": (1, lambda x, u: d(u, x, 0, 1) * u + d(u, x, 0) ** 2),
    "minimal surface": (
        1,
        lambda x, u: (1 + d(u, x, 1) ** 2) * d(u, x, 0, 0) + (1 + d(u, x, 0) ** 2) * d(u, x, 1, 1),
    ),
    "eikonal": (1, lambda x, u: torch.sqrt(d(u, x, 0) ** 2 + d(u, x, 1) ** 2 + 1e-2) - 1),
    "korteweg-de vries": (
        1,
        lambda x, u: d(u, x, 1) + 6 * u * d(u, x, 0) + dde.grad.jacobian(d(u, x, 0, 0), x, 0, 0),
    ),
    "variable coefficients in divergence form": (
        1,
        lambda x, u: d((1 + x[:, :1] ** 2) * d(u, x, 0), x, 0) + torch.exp(u),
    ),
    "navier-stokes": (3, kovasznay),
    "biharmonic": (1, lambda x, u: d(d(u, x, 0, 0), x, 0, 0) + 2 * d(d(u, x, 0, 0), x, 1, 1)),
}
ORDERS = {"eikonal": 1, "korteweg-de vries": 3, "biharmonic": 4}


def autograd_jacobian(net, equation, points, transform=None):
    """∂r/∂weights of the network itself, row by row, (rows, n), and r."""
    x = points.x.flatten(0, 1).requires_grad_()

    def residuals(weights):
        u = functional_call(net, {"weights": weights}, (x,))
        found = equation(x, u if transform is None else transform(x, u))
        dde.grad.clear()
        several = found if isinstance(found, list) else [found]
        return torch.cat([one[:, None] if one.ndim == 1 else one for one in several], 1)

    weights = net.weights.detach().requires_grad_()
    r = residuals(weights) * points.roots.flatten()[:, None]
    rows = [torch.autograd.grad(one, weights, retain_graph=True)[0] for one in r.flatten()]
    return r.detach().flatten(), torch.stack(rows).flatten(1)


def dense(block, patches):
    """The rows of a block as a matrix (rows, n)."""
    G, rows, C, B = block.entries.shape
    full = block.entries.new_zeros(G, rows, patches, B)
    for k in range(C):
        full[torch.arange(G), :, block.patches[:, k]] += block.entries[:, :, k]
    return full.flatten(2).flatten(0, 1)


def gap(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("name", EQUATIONS)
def test_linearisation_is_the_jacobian_of_autograd(name):
    outputs, function = EQUATIONS[name]
    grid = GRIDS[2]()
    net, points = network(grid, outputs, features=4), some_points(grid, 3)
    equation = Equation(function, 2, outputs, points.x)
    assert equation.order == ORDERS.get(name, 2)
    r, block = Rows(net.patches, points, equation).linearised(net.weights.detach())
    residuals, jacobian = autograd_jacobian(net, function, points)
    assert gap(r.flatten(), residuals) < 1e-11
    assert gap(dense(block, grid.patches), jacobian) < 1e-11


def test_conditions_that_are_built_in_are_linearised_too():
    grid = GRIDS[2]()
    net, points = network(grid, features=4), some_points(grid, 3)

    def transform(x, y):
        return torch.sin(math.pi * x[:, :1]) + x[:, 1:] * (1 - x[:, :1] ** 2) * y

    function = EQUATIONS["burgers"][1]
    equation = Equation(function, 2, 1, points.x, transform)
    r, block = Rows(net.patches, points, equation).linearised(net.weights.detach())
    residuals, jacobian = autograd_jacobian(net, function, points, transform)
    assert gap(r.flatten(), residuals) < 1e-11
    assert gap(dense(block, grid.patches), jacobian) < 1e-11


def test_a_linear_equation_is_its_linearisation_about_any_function():
    grid = GRIDS[2]()
    net, points = network(grid, features=4), some_points(grid, 3)
    rows = Rows(net.patches, points, Equation(EQUATIONS["poisson"][1], 2, 1, points.x))
    weights = net.weights.detach()
    r, block = rows.linearised(weights)
    about, same = rows.linearised_about(rows.jets(torch.randn_like(weights)))
    assert torch.allclose(block.entries, same.entries)
    moved = about.flatten() + dense(same, grid.patches) @ weights.flatten()
    assert gap(moved, r.flatten()) < 1e-11


def test_too_many_derivatives_are_told_in_one_sentence():
    x = some_points(GRIDS[2]()).x

    def fifth(x, u):
        return d(d(d(u, x, 0, 0), x, 0, 0), x, 0)

    with pytest.raises(ValueError, match="derivatives above order 4"):
        Equation(fifth, 2, 1, x)
    with pytest.raises(ValueError, match="derivatives above order 4"):
        Equation(lambda x, u: d(fifth(x, u), x, 0), 2, 1, x)


def test_an_integral_is_told_in_one_sentence():
    x = some_points(GRIDS[2]()).x
    with pytest.raises(ValueError, match=r"u at other points than its own.*ddopt.TrustRegion"):
        Equation(lambda x, u: d(u, x, 0) - u.mean(), 2, 1, x)


def test_an_integral_of_the_network_itself_is_told_in_one_sentence():
    net, x = network(GRIDS[2]()), torch.rand(9, 2, dtype=torch.float64)

    def equation(x, u):
        return d(u, x, 0) - net(x.detach()).mean()

    with pytest.raises(ValueError, match=r"network of its own.*ddopt.TrustRegion"):
        Equation(equation, 2, 1, x)
    assert Equation(lambda x, u: d(u, x, 0) - net(x.detach()).mean().detach(), 2, 1, x).order == 1
    viscosity = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)  # an unknown number
    assert Equation(lambda x, u: d(u, x, 0) - viscosity * u, 2, 1, x).order == 1


def test_a_point_outside_the_patches_is_told():
    with pytest.raises(ValueError, match="no patch covers 1 of 2 points"):
        network(GRIDS[2]())(torch.tensor([[0.0, 0.5], [0.0, 1.2]], dtype=torch.float64))


def test_nodes_must_increase():
    with pytest.raises(ValueError, match="axis 1: nodes must increase"):
        Grid([torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.5, 0.5])])
    with pytest.raises(ValueError, match="no window 'hat'"):
        Grid([torch.tensor([0.0, 1.0])], window="hat")
