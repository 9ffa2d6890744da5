"""The seam for coarse spaces: polynomials, slow modes of tiles, and one of a third party."""

import pytest
import torch

from ddopt.executor import Serial
from ddopt.testing.ranks import run_ranks
from ddopt_patches.coarse import Polynomials
from ddopt_patches.coarse_space import CoarseSpace
from ddopt_patches.grid import Grid
from ddopt_patches.regions import Border, packed, put_together, regions, rounded, unpacked
from ddopt_patches.schwarz import SLOPE, Schwarz
from ddopt_patches.schwarz_gauss_newton import SchwarzGaussNewton
from ddopt_patches.spectral import Spectral
from tests.patches.test_schwarz import dense, poisson, prepared


class Corner(CoarseSpace):
    """The first orthonormal direction of each patch: what a third party may write."""

    name = "corner"

    def vectors(self, local):
        found = torch.zeros(len(local.places), local.basis.shape[1], 1, dtype=torch.float64)
        found[:, 0] = 1.0
        return found


SPACES = [Polynomials(degree=1), Spectral(modes=3), Corner()]


def test_what_travels_keeps_thirty_three_digits():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(put_together(rounded(x, ()), x.dtype), x)
    there = put_together(rounded(x, SLOPE), x.dtype)
    assert bool(((there - x).abs() <= 2.0**-33 * x.abs()).all())
    assert sum(one.element_size() for one in rounded(x, SLOPE)) == 6
    message = packed(rounded(x, SLOPE))
    assert message.numel() * message.element_size() == 6 * x.numel()
    pairs = zip(unpacked(message, x, SLOPE), rounded(x, SLOPE), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_of_a_shared_patch_the_region_that_counts_it_is_believed():
    grid = Grid.uniform([(0, 1), (0, 1)], (4, 4))
    found = regions(grid, torch.ones(grid.cells, dtype=torch.float64), 4)
    said = {d.index: torch.full((len(d.patches), 2, 3), 1.0 + d.index) for d in found}
    agreed = Border(found, Serial()).agreed(said)
    for d in found:
        first = torch.stack([torch.isin(d.patches, e.patches) for e in found]).int().argmax(0)
        assert torch.equal(agreed[d.index][:, 0, 0], 1.0 + first)


@pytest.mark.parametrize("coarse", SPACES, ids=lambda one: one.name)
def test_every_coarse_space_leads_to_the_same_step(coarse):
    system = poisson()
    border, rows, cells, options = prepared(system, 2, tile=2, coarse=coarse)
    solved = Schwarz(system.patches, border, rows, cells, options)
    for d, Z in solved._coarse.items():
        eye = torch.eye(Z.shape[2], dtype=torch.float64).expand(len(Z), -1, -1)
        torch.testing.assert_close(Z.mT @ Z, eye)
        assert not bool((Z * solved._dropped[d][..., None]).any())
    J, r = dense(system)
    wanted = torch.linalg.lstsq(J, -r[:, None], driver="gelsd").solution[:, 0]
    step = solved.from_basis(solved.solve(1e-12)).flatten()
    torch.testing.assert_close(J @ step, J @ wanted, rtol=1e-5, atol=1e-5 * float(r.norm()))


def test_slow_modes_of_a_tile_that_is_the_whole_are_those_of_least_energy():
    system = poisson()
    space = Spectral(modes=3, sweeps=100)
    border, rows, cells, options = prepared(system, 1, tile=8, coarse=space)
    solved = Schwarz(system.patches, border, rows, cells, options)
    S, B, _ = solved._coarse[0].shape
    J, _ = dense(system)
    in_basis = torch.einsum("msb,sbc->msc", J.view(-1, S, B), solved.basis[0]).flatten(1)
    in_basis = torch.cat([in_basis, torch.diag(solved._dropped[0].flatten())])
    _, values, modes = torch.linalg.svd(in_basis, full_matrices=False)
    slowest = modes[-1].view(S, B, 1)
    Z = solved._coarse[0]
    assert values[-1] < 0.1 * values[0]
    torch.testing.assert_close(Z @ (Z.mT @ slowest), slowest, rtol=0.0, atol=1e-6)


def test_slow_modes_help():
    system = poisson(cells=(8, 8), features=16)
    iterations = {}
    for coarse in (Corner(), Spectral()):
        border, rows, cells, options = prepared(system, 4, tile=2, coarse=coarse)
        solved = Schwarz(system.patches, border, rows, cells, options)
        solved.solve(1e-6)
        iterations[coarse.name] = solved.iterations
    assert iterations["spectral"] < iterations["corner"]


def test_one_is_chosen_by_its_name():
    assert SchwarzGaussNewton.Config().coarse.degree == 2
    table = {"name": "spectral", "modes": 4}
    assert isinstance(SchwarzGaussNewton.Config(coarse=table).coarse.build(), Spectral)
    assert SchwarzGaussNewton.Config(coarse=Corner()).coarse.build().name == "corner"
    with pytest.raises(ValueError, match=r"no coarse_space named 'spectrum'.*spectral"):
        SchwarzGaussNewton.Config(coarse="spectrum")


@pytest.mark.ranks
def test_slow_modes_have_the_same_bits_on_two_processes():
    def solved(executor):
        system = poisson(cells=(6, 6), features=16)
        coarse = Spectral(modes=3)
        border, rows, cells, options = prepared(system, 2, executor, tile=2, coarse=coarse)
        step = Schwarz(system.patches, border, rows, cells, options)
        return step.from_basis(step.solve(1e-6))

    alone = solved(Serial())
    for weights in run_ranks(solved, 2):
        assert torch.equal(weights, alone)
