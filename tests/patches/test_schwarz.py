"""Regions, what crosses their borders, and the step of two-level Schwarz on them."""

import pytest
import torch

from ddopt.evaluation.meter import Meter, Metered
from ddopt.executor import Serial, Split
from ddopt.run import record
from ddopt.run.execution import execute
from ddopt.run.folder import Folder, load_again
from ddopt.run.running import Run
from ddopt.setup.config import load
from ddopt.testing.problems import rotated_quadratic
from ddopt.testing.ranks import run_ranks
from ddopt_patches.block import Block
from ddopt_patches.coarse import Polynomials
from ddopt_patches.grid import Grid
from ddopt_patches.levels import levels
from ddopt_patches.neighbours import grams, sides
from ddopt_patches.problem import PatchProblem
from ddopt_patches.regions import Border, regions
from ddopt_patches.schwarz import Options, Schwarz
from ddopt_patches.schwarz_gauss_newton import SchwarzGaussNewton, linearised
from ddopt_patches.tiles import tiles
from tests.patches.test_least_squares import poisson as made

RUN_FILE = """\
strategy = {name = "schwarz", subdomains = 2}
[problem]
name = "patches"
of = {name = "poisson2d"}
along = [{cells = 4}, {cells = 3}]
features = 12
[stop]
iterations = 4
[output]
figures = false
"""


def poisson(cells=(4, 3), features=12):
    points = 2 + int((2.0 * features) ** 0.5)
    return made([(0, 1), (0, 1)], cells, (), features, points)


def unit(grid):
    return torch.ones(grid.cells, dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("periodic", [(), (1,)])
def test_regions_partition_the_cells_and_count_every_patch_once(count, periodic):
    grid = Grid.uniform([(0, 1), (0, 1)], (5, 4), periodic)
    found = regions(grid, unit(grid), count)
    assert sum(int(one.cells.sum()) for one in found) == grid.cells
    counted = torch.cat([one.patches[one.counted] for one in found])
    assert counted.sort().values.tolist() == list(range(grid.patches))
    for one in found:
        touched = grid.touching(one.cells.nonzero().flatten()).unique()
        assert torch.equal(one.patches, touched)
        for other, places in one.meeting.items():
            theirs = found[other].patches[found[other].meeting[one.index]]
            assert torch.equal(one.patches[places], theirs)


def test_regions_have_about_the_same_work():
    grid = Grid.uniform([(0, 1), (0, 1)], (16, 16))
    work = unit(grid)
    work[:64] = 5.0  # four rows of cells
    shares = [float(work[one.cells].sum()) for one in regions(grid, work, 4)]
    assert max(shares) <= 1.3 * sum(shares) / 4


def test_cells_without_work_belong_to_no_region():
    grid = Grid.uniform([(0, 1), (0, 1)], (4, 4))
    work = unit(grid)
    work[0] = 0.0
    found = regions(grid, work, 2)
    assert not any(bool(one.cells[0]) for one in found)
    assert not any(0 in one.patches.tolist() for one in found)


def test_more_regions_than_cells_are_refused():
    grid = Grid.uniform([(0, 1), (0, 1)], (1, 2))
    with pytest.raises(ValueError, match="cannot be cut into"):
        regions(grid, unit(grid), 3)


def test_what_regions_say_of_a_shared_patch_is_added_up():
    grid = Grid.uniform([(0, 1), (0, 1)], (4, 4))
    found = regions(grid, unit(grid), 4)
    border = Border(found, Serial())
    own = {d.index: torch.full((len(d.patches), 2), 10.0**d.index) for d in found}
    added = border.added(own)
    for d in found:
        seen = torch.stack([torch.isin(d.patches, e.patches) for e in found])
        wanted = (seen.double() * torch.tensor([[1.0], [10.0], [100.0], [1000.0]])).sum(0)
        assert torch.equal(added[d.index], wanted[:, None].expand(-1, 2).double())
    middle = added[0][found[0].patches == 12]  # all four see it
    assert middle.tolist() == [[1111.0, 1111.0]]
    whole = border.whole(own, grid.patches)
    assert whole[24].tolist() == [1000.0, 1000.0]
    ones = {d.index: torch.ones(len(d.patches), 2) for d in found}
    (total,) = border.total({d: [v] for d, v in border.dot(ones, ones).items()})
    assert total == 2.0 * grid.patches


def dense(system):
    """J (m, S B) and r (m,) of all rows."""
    problem = PatchProblem(system)
    theta = torch.zeros(problem.layout.size, dtype=torch.float64)
    return problem.jacobian(theta), problem.residuals(theta)


def prepared(system, count, executor=None, **options):
    problem = PatchProblem(system)
    border = Border(problem.own_share(0, count).regions, executor or Serial())
    rows, cells = {}, {}
    theta = torch.zeros(problem.layout.size, dtype=torch.float64)
    for d in border.owned:
        piece = problem.own_share(d.index, count)
        residuals, blocks = piece.by_cells(theta)
        rows[d.index] = residuals, [Block(d.local(b.patches), b.by_corner) for b in blocks]
        cells[d.index] = [one.points.cells for one in piece.system.rows]
    return border, rows, cells, Options(**options)


def test_regions_add_up_to_f():
    problem = PatchProblem(poisson())
    theta = torch.linspace(-1, 1, problem.layout.size, dtype=torch.float64)
    whole = problem.both(theta)
    split = Split(problem, 3, Serial())
    assert split.at(theta).value == pytest.approx(whole.value, rel=1e-13)
    torch.testing.assert_close(split.both(theta).gradient, whole.gradient)
    assert sum(split.answers(lambda piece: piece.cost).values()) == pytest.approx(1.0)


def test_a_region_makes_the_features_of_its_own_rows_alone():
    whole = PatchProblem(poisson(cells=(8, 8), features=16))
    share = whole.own_share(1, 4)
    point = share.at(torch.zeros(whole.layout.size, dtype=torch.float64))
    share.by_cells(point.theta)
    assert all("_sigma" not in vars(rows) for rows in whole.system.rows)
    cells = sum(len(rows._sigma) for rows in share.system.rows)
    assert cells < 0.3 * sum(len(rows.touched) for rows in whole.system.rows)


def test_neighbours_complete_what_a_region_knows_of_shared_patches():
    system = poisson()
    grid, B = system.patches.grid, system.patches.block
    border, rows, cells, _ = prepared(system, 2)
    foreign = grams(grid, border, {d: blocks for d, (_, blocks) in rows.items()}, cells)
    J, _ = dense(system)
    J = J.view(len(J), grid.patches, B)
    for d in border.owned:
        total = torch.zeros(len(d.patches), len(d.patches), B, B, dtype=torch.float64)
        for block in [*rows[d.index][1], *foreign[d.index]]:
            for a in range(block.patches.shape[1]):
                for b in range(block.patches.shape[1]):
                    spot = block.patches[:, a] * len(d.patches) + block.patches[:, b]
                    total.flatten(0, 1).index_add_(0, spot, block.product(a, b))
        shared = d.shared
        own = d.patches[shared]
        wanted = torch.einsum("msa,mtb->stab", J[:, own], J[:, own])
        torch.testing.assert_close(total[shared][:, shared], wanted, rtol=1e-9, atol=1e-7)
    assert sum(len(side.cells) for side in sides(grid, border.owned[0], 1)) > 0


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_step_is_that_of_the_whole_least_squares_problem(count):
    system = poisson()
    border, rows, cells, options = prepared(system, count, tile=2)
    solved = Schwarz(system.patches, border, rows, cells, options)
    step = solved.from_basis(solved.solve(1e-12)).flatten()
    J, r = dense(system)
    wanted = torch.linalg.lstsq(J, -r[:, None], driver="gelsd").solution[:, 0]
    best, found = float((J @ wanted + r).norm()), float((J @ step + r).norm())
    assert found == pytest.approx(best, rel=1e-6)
    torch.testing.assert_close(J @ step, J @ wanted, rtol=1e-5, atol=1e-5 * float(r.norm()))


def test_the_preconditioner_is_symmetric_and_positive():
    system = poisson()
    border, rows, cells, options = prepared(system, 2, tile=2)
    solved = Schwarz(system.patches, border, rows, cells, options)
    generator = torch.Generator().manual_seed(0)

    def vector():
        whole = torch.randn(
            system.patches.grid.patches, system.patches.block, generator=generator
        ).double()
        return {d.index: whole[d.patches] for d in border.owned}

    def dot(a, b):
        return border.total({d: [v] for d, v in border.dot(a, b).items()})[0]

    u, v = vector(), vector()
    Mu, Mv = solved.preconditioned(u), solved.preconditioned(v)
    assert dot(u, Mv) == pytest.approx(dot(v, Mu), rel=1e-5)  # it travels in float32
    assert dot(u, Mu) > 0.0


def test_a_coarse_space_helps():
    system = poisson(cells=(8, 8), features=16)
    iterations = {}
    for degree in (0, 2):
        coarse = Polynomials(degree=degree)
        border, rows, cells, options = prepared(system, 4, tile=2, coarse=coarse)
        solved = Schwarz(system.patches, border, rows, cells, options)
        solved.solve(1e-6)
        iterations[degree] = solved.iterations
    assert iterations[2] < iterations[0]


def test_tiles_hold_every_patch_once():
    grid = Grid.uniform([(0, 1), (0, 1)], (6, 9))
    found = tiles(grid.patch_position(torch.arange(grid.patches)), 4)
    assert torch.cat(found).sort().values.tolist() == list(range(grid.patches))
    assert max(len(one) for one in found) <= 25


def test_levels_follow_the_patches_that_are_active():
    grid = Grid.uniform([(0, 1), (0, 1)], (6, 6))
    place = grid.patch_position(torch.arange(grid.patches))
    wide = (place[:, 0] < 2) & (place[:, 1] < 6)
    assert [len(one) for one in levels(grid, wide)] == [2] * 6


def test_other_problems_are_told():
    f = rotated_quadratic()
    theta = torch.zeros(f.layout.size, dtype=torch.float64)
    for problem in (f, Metered(f, Meter())):  # a wrapper is nothing that a user has made
        with pytest.raises(ValueError, match=r"needs a problem on patches.* and not Quadratic"):
            SchwarzGaussNewton().model(problem, f.at(theta))
    found, _ = linearised(PatchProblem(poisson()), theta.new_zeros(poisson_size()))
    assert list(found) == [0]


def poisson_size():
    return PatchProblem(poisson()).layout.size


@pytest.mark.ranks
def test_any_number_of_processes_gives_the_same_bits_and_sends_little():
    def solved(executor):
        system = poisson(cells=(8, 8), features=16)
        border, rows, cells, options = prepared(system, 4, executor, tile=2)
        step = Schwarz(system.patches, border, rows, cells, options)
        before = executor.bytes_sent
        y = step.solve(1e-6)
        sent = (executor.bytes_sent - before) / (step.iterations + 1)
        return step.from_basis(y), step.iterations, sent

    alone, iterations, _ = solved(Serial())
    for size in (2, 4):
        for weights, count, sent in run_ranks(solved, size):
            assert torch.equal(weights, alone)
            assert count == iterations
            assert sent < 8 * alone.numel()  # less than one vector an iteration


def test_a_run_on_two_processes_and_a_resumed_one_have_the_same_numbers(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(RUN_FILE)
    execute(load(path), Folder(tmp_path / "whole"))
    lines = record.read(tmp_path / "whole")
    assert lines[-1]["error"] < 1e-2
    assert lines[-1]["loss"] < 1e-2 * lines[0]["loss"]
    execute(load(path, ["stop.iterations=1"]), Folder(tmp_path / "part"))
    execute(
        load_again(tmp_path / "part", ["stop.iterations=4"]), Folder(tmp_path / "part"), resume=True
    )
    resumed = record.read(tmp_path / "part")
    assert [line["loss"] for line in resumed] == [line["loss"] for line in lines]

    def trained(executor):
        run = Run(load(path), executor, None)
        run.train()
        return run.theta

    run = Run(load(path), Serial(), None)
    run.train()
    for theta in run_ranks(trained, 2):
        assert torch.equal(theta, run.theta)
