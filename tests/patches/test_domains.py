"""Domains that are no boxes: their boundaries as points, cut cells, conditions on curves."""

import math

import numpy as np
import pytest
import torch
from scipy.special import ellipe

from ddopt_patches import newton
from ddopt_patches.boundary import boundary
from ddopt_patches.curves import around, curves
from ddopt_patches.cut import points_inside
from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.statement import Statement
from ddopt_pinn.library import dde

PI = math.pi


pytestmark = pytest.mark.usefixtures("double")


def g():
    return dde.geometry


def ring():
    return g().Disk([0.1, 0], 1) - g().Disk([0.1, 0], 0.35)


def corner():
    return g().Rectangle([-1, -1], [1, 1]) - g().Rectangle([0, -1], [1, 0])


def two_rooms():
    return g().Rectangle([0, 0], [1, 1]) | g().Rectangle([1, 0.25], [2, 0.75])


DOMAINS = {  # the domain, its perimeter, its area
    "disk": (lambda: g().Disk([0, 0], 0.7), 1.4 * PI, 0.49 * PI),
    "disk with a hole": (ring, 2.7 * PI, (1 - 0.35**2) * PI),
    "L-shape": (corner, 8.0, 3.0),
    "rectangles side by side": (two_rooms, 6.0, 1.5),
    "half a disk": (
        lambda: g().Disk([0, 0], 1) & g().Rectangle([-2, 0], [2, 2]),
        PI + 2.0,
        PI / 2,
    ),
    "plate with a bite": (
        lambda: g().Rectangle([-1, -1], [1, 1]) - g().Disk([1, 1], 0.3),
        7.4 + 0.15 * PI,
        4 - 0.0225 * PI,
    ),
    "triangle": (lambda: g().Triangle([0, 0], [3, 0], [0, 4]), 12.0, 6.0),
    "polygon": (lambda: g().Polygon([[0, 0], [2, 0], [2, 2], [1, 1], [0, 2]]), 6 + 8**0.5, 3.0),
    "ellipse": (
        lambda: g().Ellipse([0, 0], 2.0, 1.0, angle=0.3),
        8.0 * float(ellipe(0.75)),
        2.0 * PI,
    ),
    "star": (lambda: g().StarShaped([0, 0], 1.0, [0.0, 0.0], [0.0, 0.1]), None, PI * 1.005),
}


def laid(geometry, cells=7):
    ends = around(geometry)
    return Grid([torch.linspace(float(a), float(b), cells + 1).double() for a, b in ends])


def inside(geometry):
    def found(x):
        flat = np.asarray(geometry.inside(x.reshape(-1, x.shape[-1])[:, :2].numpy()), dtype=bool)
        return torch.from_numpy(flat).view(x.shape[:-1])

    return found


@pytest.mark.parametrize("name", DOMAINS)
def test_points_of_a_boundary_measure_its_length_and_by_gauss_its_area(name):
    make, perimeter, area = DOMAINS[name]
    geometry = make()
    found = boundary(laid(geometry), curves(geometry), inside(geometry), 6)
    weights = found.roots.square()
    if perimeter is not None:
        assert float(weights.sum()) == pytest.approx(perimeter, rel=1e-6)
    assert float((weights * (found.x * found.outward).sum(1)).sum()) == pytest.approx(
        2 * area, rel=2e-6
    )
    assert bool(inside(geometry)(found.inner).all())


@pytest.mark.parametrize("name", DOMAINS)
def test_points_of_the_equation_lie_inside_and_as_many_in_cut_cells(name):
    geometry, grid = DOMAINS[name][0](), laid(DOMAINS[name][0]())
    groups = points_inside(grid, 8, inside(geometry), 2)
    x = torch.cat([one.x[one.roots > 0] for one in groups])
    assert bool(inside(geometry)(x).all())
    volume = sum(float(one.roots.square().sum()) for one in groups)
    assert volume == pytest.approx(DOMAINS[name][2], rel=0.02)
    cells = torch.cat([one.cells for one in groups])
    assert len(cells.unique()) == len(cells)
    counts = torch.cat([(one.roots > 0).sum(1) for one in groups])
    share = torch.cat([one.roots.square().sum(1) for one in groups]) / grid.widths(cells).prod(1)
    assert int(counts[share > 0.1].min()) >= 48  # of 64 in a whole cell


def test_every_point_of_a_boundary_is_in_a_cell_of_the_domain():
    """The sides of the re-entrant corner lie on nodes: the cell on the inner side is meant."""
    geometry, grid = corner(), laid(corner(), 8)
    found = boundary(grid, curves(geometry), inside(geometry), 4)
    points = found.where(grid, np.ones(len(found.x), dtype=bool))
    middles = grid.lower(points.cells) + grid.widths(points.cells) / 2
    assert bool(inside(geometry)(middles).all())


def dd(u, x, i):
    return dde.grad.hessian(u, x, i=i, j=i)


def wavy(x):
    return torch.sin(2 * x[:, :1]) * torch.cos(x[:, 1:2])


def slopes(x):
    a = 2 * torch.cos(2 * x[:, :1]) * torch.cos(x[:, 1:2])
    return torch.cat([a, -torch.sin(2 * x[:, :1]) * torch.sin(x[:, 1:2])], 1)


def poisson(x, u):
    return -dd(u, x, 0) - dd(u, x, 1) - 5 * wavy(x)


def values(x):
    return wavy(torch.as_tensor(x)).numpy()


def missed(geometry, conditions, exact=wavy, equation=poisson, cells=5, features=49):
    ends = Statement(geometry, equation, conditions).bounds.tolist()
    grid = Grid([torch.linspace(a, b, cells + 1).double() for a, b in ends])
    patches = Patches.random(grid, features, 1, 0.8)
    stated = Statement(geometry, equation, conditions)
    system = stated.system(patches)
    net = FBPINN(patches).requires_grad_(False)
    net.weights.copy_(newton.solve(system, stated.start(patches)).weights)
    x = torch.as_tensor(geometry.random_points(500)).double()
    return float((net(x) - exact(x)).norm() / exact(x).norm())


@pytest.mark.parametrize("name", ["disk with a hole", "L-shape", "rectangles side by side", "star"])
def test_values_on_the_boundary(name):
    geometry = DOMAINS[name][0]()
    condition = dde.icbc.DirichletBC(geometry, values, lambda _, on: on)
    assert missed(geometry, [condition]) < 1e-6


def test_a_slope_on_one_curve_and_a_relation_on_another():
    geometry = ring()

    def normal(x, sign):
        n = torch.as_tensor(x) - torch.tensor([0.1, 0.0])
        return sign * n / n.norm(dim=1, keepdim=True)

    def inner(x, on):
        return on and np.hypot(x[0] - 0.1, x[1]) < 0.5

    def outer(x, on):
        return on and np.hypot(x[0] - 0.1, x[1]) > 0.5

    def neumann(x):
        return (slopes(torch.as_tensor(x)) * normal(x, -1.0)).sum(1, keepdim=True).numpy()

    def robin(x, u):
        exact = torch.as_tensor(x)
        slope = (slopes(exact) * normal(x, 1.0)).sum(1, keepdim=True)
        return slope + 2.0 * (wavy(exact) - u)

    conditions = [
        dde.icbc.NeumannBC(geometry, neumann, inner),
        dde.icbc.RobinBC(geometry, robin, outer),
    ]
    assert missed(geometry, conditions) < 1e-6


def test_normals_where_deepxde_has_none():
    geometry = DOMAINS["ellipse"][0]()

    def heat(x, u):
        return dd(u, x, 0) + dd(u, x, 1) - 4.0

    def paraboloid(x):
        return (x**2).sum(1, keepdim=True)

    major = np.array([-math.cos(0.3), math.sin(0.3)])
    minor = np.array([math.sin(0.3), math.cos(0.3)])

    def slope(x):
        n = (x @ major)[:, None] / 4.0 * major + (x @ minor)[:, None] * minor
        return (2 * x * n).sum(1, keepdims=True) / np.linalg.norm(n, axis=1, keepdims=True)

    conditions = [
        dde.icbc.DirichletBC(geometry, lambda x: (x**2).sum(1, keepdims=True), left),
        dde.icbc.NeumannBC(geometry, slope, lambda x, on: on and not left(x, on)),
    ]
    random = np.random.default_rng(0).random((4000, 2)) * 4 - 2
    geometry.random_points = lambda n: random[geometry.inside(random)][:n]
    assert missed(geometry, conditions, paraboloid, heat, features=64) < 1e-6


def left(x, on):
    return on and x[0] < 0.0


def test_heat_on_a_disk_has_the_boundary_at_all_times():
    disk = dde.geometry.Disk([0, 0], 1)
    geometry = dde.geometry.GeometryXTime(disk, dde.geometry.TimeDomain(0, 0.2))

    def exact(x):
        return torch.exp(-x[:, 2:]) * wavy(x)

    def heat(x, u):
        return dde.grad.jacobian(u, x, i=0, j=2) - dd(u, x, 0) - dd(u, x, 1) - 4 * exact(x)

    def given(x):
        return exact(torch.as_tensor(x)).numpy()

    conditions = [
        dde.icbc.DirichletBC(geometry, given, lambda _, on: on),
        dde.icbc.IC(geometry, given, lambda _, on: on),
    ]
    assert missed(geometry, conditions, exact, heat, cells=2, features=40) < 1e-3


def test_what_patches_must_cover():
    geometry = dde.geometry.Disk([0, 0], 1)
    stated = Statement(geometry, poisson, [])
    grid = Grid.uniform([(-1, 0.5), (-1, 1)], (3, 3))
    with pytest.raises(ValueError, match=r"do not cover the domain.*axis 0.*extend the nodes"):
        stated.system(Patches.random(grid, 9))
    sphere = dde.geometry.Sphere([0, 0, 0], 1)
    with pytest.raises(ValueError, match=r"boundary of a Hypersphere|Sphere is not known"):
        curves(sphere)


@pytest.mark.parametrize("fixed", [False, True])
def test_slopes_on_all_sides_leave_a_constant_that_a_point_fixes(fixed):
    geometry = ring()

    def slope(x):
        n = torch.as_tensor(x) - torch.tensor([0.1, 0.0])
        r = n.norm(dim=1, keepdim=True)
        return (slopes(torch.as_tensor(x)) * n / r * (r - 0.6).sign()).sum(1, keepdim=True).numpy()

    conditions = [dde.icbc.NeumannBC(geometry, slope, lambda _, on: on)]
    if fixed:
        at = np.array([[0.6, 0.3]])
        conditions.append(dde.icbc.PointSetBC(at, values(at)))
        assert missed(geometry, conditions) < 1e-6
    else:
        with pytest.raises(ValueError, match=r"constant in output 0.*PointSetBC"):
            missed(geometry, conditions)
