"""The block-sparse solve against a dense one, and what goes wrong told in a sentence."""

import pytest
import torch

from ddopt_patches import newton, quadrature
from ddopt_patches.equation import Equation
from ddopt_patches.grid import Grid
from ddopt_patches.least_squares import LeastSquares
from ddopt_patches.levels import levels
from ddopt_patches.network import Patches
from ddopt_patches.rows import Rows
from ddopt_patches.system import System, squares
from ddopt_patches.tridiagonal import Tridiagonal
from ddopt_pinn.library import dde
from tests.patches.test_foundation import EQUATIONS, dense

SHAPES = {
    "line": ([(0, 1)], (9,), ()),
    "plane": ([(-1, 1), (0, 1)], (3, 4), ()),
    "periodic across": ([(-1, 1), (0, 1)], (6, 2), (0,)),
    "periodic along": ([(-1, 1), (0, 1)], (4, 5), (0,)),
    "torus": ([(-1, 1), (0, 1)], (5, 6), (0, 1)),
    "space": ([(0, 1), (0, 1), (0, 1)], (2, 3, 2), ()),
}


def poisson(bounds, cells, periodic, features=4, points=None):
    points = points or (12 if len(cells) == 1 else 4)
    grid = Grid.uniform(bounds, cells, periodic)
    patches = Patches.random(grid, features, seed=1)
    inside = quadrature.interior(grid, points)

    def function(x, u):
        axes = range(grid.dimensions)
        laplacian = sum(dde.grad.hessian(u, x, i=axis, j=axis) for axis in axes)
        return -laplacian + u - torch.cos(3 * x[:, :1])

    rows = [Rows(patches, inside, Equation(function, grid.dimensions, 1, inside.x))]
    value = Equation(lambda x, u: u, grid.dimensions, 1, inside.x)
    for axis in range(grid.dimensions):
        if axis not in grid.periodic:
            rows.append(Rows(patches, quadrature.face(grid, axis, False, points), value, 10.0))
            rows.append(Rows(patches, quadrature.face(grid, axis, True, points), value, 10.0))
    return System(patches, rows)


@pytest.mark.parametrize("shape", SHAPES)
def test_cells_touch_one_level_or_two_neighbouring_ones(shape):
    bounds, cells, periodic = SHAPES[shape]
    grid = Grid.uniform(bounds, cells, periodic)
    found = levels(grid, torch.ones(grid.patches, dtype=torch.bool))
    level = torch.empty(grid.patches, dtype=torch.long)
    for number, own in enumerate(found):
        level[own] = number
    touched = level[grid.touching(torch.arange(grid.cells))]
    assert int((touched.amax(1) - touched.amin(1)).max()) <= 1
    assert sorted(torch.cat(found).tolist()) == list(range(grid.patches))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_block_factor_solves_the_dense_normal_equations(shape):
    system = poisson(*SHAPES[shape])
    blocks = system.linearised(system.zeros())[1]
    S, B = system.patches.grid.patches, system.patches.block
    J = torch.cat([dense(block, S) for block in blocks])
    damping = torch.rand(S, B, dtype=torch.float64) + 0.1
    own = levels(system.patches.grid, system.active)
    factor = Tridiagonal(blocks, own, damping, 0.0)
    b = torch.randn(S, B, dtype=torch.float64)
    wanted = torch.linalg.solve(J.T @ J + torch.diag(damping.flatten()), b.flatten())
    assert torch.allclose(factor.solve(b).flatten(), wanted, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_step_is_the_least_squares_solution(shape):
    system = poisson(*SHAPES[shape])
    residuals, blocks = system.linearised(system.zeros())
    J = torch.cat([dense(block, system.patches.grid.patches) for block in blocks])
    r = torch.cat([one.flatten() for one in residuals])
    wanted = torch.linalg.lstsq(J, -r[:, None], driver="gelsd").solution
    least = float((J @ wanted + r[:, None]).square().sum())
    model = LeastSquares(blocks, system.levels, system.patches.grid.patches)
    d = model.solve(residuals, 12)
    assert float((J @ d.flatten() + r).square().sum()) <= least * (1 + 1e-9)


def test_columns_of_a_patch_are_orthonormal_in_its_basis():
    system = poisson(*SHAPES["plane"])
    model = LeastSquares(
        system.linearised(system.zeros())[1], system.levels, system.patches.grid.patches
    )
    S, B = system.patches.grid.patches, system.patches.block
    J = torch.cat([dense(block, S) for block in model.blocks]).view(-1, S, B)
    for p in range(S):
        assert torch.allclose(J[:, p].T @ J[:, p], torch.eye(B, dtype=J.dtype), atol=1e-9)


def test_a_nonlinear_equation_converges_to_round_off_of_its_residual():
    grid = Grid.uniform([(-1, 1), (0, 1)], (3, 2))
    patches = Patches.random(grid, 16, seed=1)
    inside = quadrature.interior(grid, 8)
    cubic = Equation(lambda x, u: EQUATIONS["poisson"][1](x, u) + u**3 - 1, 2, 1, inside.x)
    value = Equation(lambda x, u: u, 2, 1, inside.x)
    rows = [Rows(patches, inside, cubic)]
    rows += [
        Rows(patches, quadrature.face(grid, a, up, 8), value)
        for a in (0, 1)
        for up in (False, True)
    ]
    system = System(patches, rows)
    seen = []
    end = newton.solve(system, observe=seen.append)
    assert 2 <= len(seen) < 8
    r, blocks = system.linearised(end.weights)
    model = LeastSquares(blocks, system.levels, grid.patches)
    y = model.solve_in_basis(r, 6)
    rest = squares([a + b for a, b in zip(r, model.product(y), strict=True)])
    assert rest == pytest.approx(end.value, rel=1e-3)


def test_too_few_rows_are_told():
    with pytest.raises(ValueError, match=r"rows cannot fix .* unknowns"):
        poisson([(0, 1), (0, 1)], (2, 2), (), features=30, points=3)


def test_rows_that_do_not_fix_the_unknowns_are_told():
    system = poisson(*SHAPES["plane"])
    blocks = system.linearised(system.zeros())[1]
    blocks[0].entries.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        LeastSquares(blocks, system.levels, system.patches.grid.patches)


def test_a_matrix_that_is_not_definite_is_told():
    system = poisson(*SHAPES["plane"])
    blocks = system.linearised(system.zeros())[1]
    damping = torch.full((system.patches.grid.patches, system.patches.block), -1e9).double()
    with pytest.raises(ValueError, match="normal equations of the patches are singular"):
        Tridiagonal(blocks, levels(system.patches.grid, system.active), damping, 1e-14)
