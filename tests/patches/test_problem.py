"""f on patches: its gradient, its parts, and the methods that run on it."""

from itertools import pairwise

import pytest
import torch

import ddopt
from ddopt.evaluation.derived import held
from ddopt.evaluation.problem import Point
from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.setup.component import chosen
from ddopt.setup.resolved import resolve
from ddopt.testing import check_acceptance, check_decomposition
from ddopt.testing.problems import rotated_quadratic
from ddopt.testing.ranks import run_ranks
from ddopt_patches.block_gauss_newton import BlockGaussNewton
from ddopt_patches.decomposition import ByPatches
from ddopt_patches.free_start import FreeStart
from ddopt_patches.problem import LocalProblem, PatchProblem
from ddopt_patches.strategy import OnPatches
from tests.patches.test_least_squares import SHAPES, poisson


def problem(shape="plane"):
    return PatchProblem(poisson(*SHAPES[shape]))


def some_theta(f, seed=5):
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(f.layout.size, generator=chance, dtype=torch.float64)


@pytest.mark.parametrize("shape", ["line", "plane", "periodic across", "space"])
def test_the_gradient_is_the_slope_of_f(shape):
    f = problem(shape)
    theta, along = some_theta(f), some_theta(f, 6)
    h = 1e-6
    slope = (f.at(theta + h * along).value - f.at(theta - h * along).value) / (2 * h)
    assert float(f.at(theta).gradient @ along) == pytest.approx(slope, rel=1e-6)
    assert torch.equal(f.both(theta).gradient, f.at(theta).gradient)
    assert f.both(theta).value == f.at(theta).value


def test_the_gradient_is_twice_the_jacobian_times_the_residuals():
    f = problem()
    theta = some_theta(f)
    r, J = f.residuals(theta), f.jacobian(theta)
    assert torch.allclose(f.at(theta).gradient, 2 * J.T @ r, rtol=1e-9, atol=1e-9)
    assert f.at(theta).value == pytest.approx(float(r @ r))


@pytest.mark.parametrize("shape", ["line", "plane", "periodic across", "space"])
@pytest.mark.parametrize("options", [{}, {"coloured": True}, {"overlap": 1}])
def test_the_objective_of_patches_is_f_at_their_share_of_the_cost(shape, options):
    f = problem(shape)
    theta = some_theta(f)
    point = f.at(theta)
    for subdomain in ByPatches(**options).split(f):
        local = subdomain.objective(f, point)
        assert isinstance(local, LocalProblem)
        own = subdomain.restrict(theta)
        moved = own + 0.1 * torch.randn_like(own)
        full = theta + subdomain.prolong(moved - own, len(theta))
        there = f.at(full)
        assert local.at(moved).value == pytest.approx(there.value, rel=1e-12)
        assert torch.allclose(
            local.at(moved).gradient, subdomain.restrict(there.gradient), rtol=1e-9, atol=1e-9
        )
        J, indices = f.jacobian(full), subdomain.indices
        touched = (J[:, indices] != 0).any(1)
        # zero entries are rows of other equations, or of patches that do not move
        assert torch.allclose(
            local.jacobian(moved).T @ local.residuals(moved), J[:, indices].T @ f.residuals(full)
        )
        assert local.cost <= 1.0
        assert local.cost >= float(touched.double().mean()) - 1e-12


def test_one_patch_costs_the_rows_that_touch_it():
    f = problem("line")  # nine cells, ten patches, twelve points a cell and one at each end
    point = f.at(some_theta(f))
    B = f.system.patches.block
    assert held(f, point, slice(4 * B, 5 * B)).cost == pytest.approx(24 / 110)


def test_parameters_that_are_no_whole_patches_are_frozen_like_any_others():
    f = problem()
    theta = some_theta(f)
    point = f.at(theta)
    indices = torch.tensor([1, 2, 9])
    part = held(f, point, indices)
    assert not isinstance(part, LocalProblem)
    assert part.at(theta[indices]).value == pytest.approx(point.value)


@pytest.mark.parametrize("shape", ["plane", "periodic along", "torus"])
def test_patches_of_one_colour_share_no_cell(shape):
    f = problem(shape)
    for subdomain in ByPatches(coloured=True).split(f):
        own = (subdomain.indices[:: f.system.patches.block]) // f.system.patches.block
        for rows in f.system.rows:
            assert int(torch.isin(rows.touched, own).sum(1).max()) <= 1


def test_the_decomposition_conforms():
    check_decomposition(ByPatches(subdomains=2), problem())


def test_every_parameter_is_moved_once_without_overlap():
    f = problem()
    moved = torch.cat([s.indices for s in ByPatches(splits=[2, 3]).split(f)])
    assert sorted(moved.tolist()) == list(range(f.layout.size))


def test_more_boxes_than_patches_and_other_problems_are_told():
    with pytest.raises(ValueError, match=r"splits = \[9, 1\] cannot cut \[4, 5\] patches"):
        ByPatches(splits=[9, 1]).split(problem())
    with pytest.raises(ValueError, match="needs a problem on patches"):
        ByPatches().split(rotated_quadratic())
    with pytest.raises(ValueError, match="needs a problem on patches"):
        BlockGaussNewton().model(rotated_quadratic(), None)


def test_the_best_of_complementary_steps_is_refused():
    given = {"name": "sapts", "decomposition": "patches", "recombination": "best"}
    strategy = chosen("strategy", given).build()
    with pytest.raises(ValueError, match=r"'best' keeps what one.*'patches'.*'sum', or 'coarse'"):
        strategy.parts(chosen("solver", "trust_region"))


def test_a_box_of_patches_outside_the_domain_is_told():
    f = problem()
    f.system.active[:5] = False  # as where a domain has a corner cut away
    with pytest.raises(ValueError, match=r"subdomain 0 of 4 has 5 patches.*fewer subdomains"):
        ByPatches(splits=[4, 1]).split(f)


def test_the_acceptance_conforms():
    check_acceptance(FreeStart(free=0))


def test_free_steps_are_taken_and_later_ones_must_decrease():
    policy, f = FreeStart(free=2), problem()
    here, worse = Point(some_theta(f), 1.0, some_theta(f)), Point(some_theta(f), 5.0, some_theta(f))
    nowhere = Point(some_theta(f), float("inf"), some_theta(f))
    assert not policy.consider(f, here, nowhere, 0.5, 1.0).accepted
    assert [policy.consider(f, here, worse, 0.5, 1.0).accepted for _ in range(3)] == [1, 1, 0]


def test_a_free_step_beyond_all_bounds_is_none():
    """Where |∇u|² does not feel u at u = 0, the linear model leads anywhere."""
    policy, f = FreeStart(free=2), problem()
    here, beyond = (Point(some_theta(f), value, some_theta(f)) for value in (1.0, 1e12))
    assert not policy.consider(f, here, beyond, 0.5, 1.0).accepted


def test_one_step_solves_a_linear_problem_and_the_next_ends_the_run():
    f = problem()
    strategy, solver = resolve(OnPatches(), chosen("solver", "trust_region"))
    engine = Engine(strategy.parts(solver), Serial())
    theta = torch.zeros(f.layout.size, dtype=torch.float64)
    engine.start(f, theta)
    first = engine.step(f)
    J, r = f.jacobian(theta), f.residuals(theta)
    least = torch.linalg.lstsq(J, -r[:, None], driver="gelsd").solution
    assert first.loss == pytest.approx(float((J @ least + r[:, None]).square().sum()), rel=1e-6)
    second = engine.step(f)
    assert second.global_accepted == second.global_rejected == 0


def test_a_whole_problem_in_one_subdomain_takes_the_same_step():
    f = problem()
    theta = some_theta(f)
    point = f.at(theta)
    local = held(f, point, slice(0, f.layout.size))
    steps = [
        BlockGaussNewton().model(one, one.at(theta)).minimise(float("inf"))[0] for one in (f, local)
    ]
    assert torch.allclose(*steps, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("options", [{"coloured": True}, {"subdomains": 3, "overlap": 1}])
def test_local_solves_bring_f_down(options):
    f = problem()
    strategy = chosen(
        "strategy",
        {
            "name": "sapts",
            "decomposition": {"name": "patches", **options},
            "recombination": "sum",
            "local_iterations": 1,
            "global_iterations": 0,
            "first_radius": 1e9,
        },
    ).build()
    solver = chosen("solver", {"name": "trust_region", "hessian": "block_gauss_newton"})
    engine = Engine(strategy.parts(solver), Serial())
    theta = torch.zeros(f.layout.size, dtype=torch.float64)
    engine.start(f, theta)
    values = [engine.step(f).loss for _ in range(12)]
    J, r = f.jacobian(theta), f.residuals(theta)
    least = torch.linalg.lstsq(J, -r[:, None], driver="gelsd").solution
    bottom = float((J @ least + r[:, None]).square().sum())
    assert values[-1] - bottom < 0.75 * (f.at(theta).value - bottom)
    assert all(a >= b for a, b in pairwise(values))


def test_the_package_registers_its_parts():
    for seam, name in (
        ("hessian", "block_gauss_newton"),
        ("acceptance", "free_start"),
        ("strategy", "patches"),
        ("decomposition", "patches"),
    ):
        assert chosen(seam, name)
    assert ddopt.__version__


def test_shares_add_up_and_parts_are_means():
    f = problem()
    theta = some_theta(f)
    halves = [
        ddopt.Samples(tuple(index[start::2] for index in f.samples.terms)) for start in (0, 1)
    ]
    whole = f.at(theta)
    shares = [f.share(half).at(theta) for half in halves]
    assert sum(one.value for one in shares) == pytest.approx(whole.value)
    assert torch.allclose(sum(one.gradient for one in shares), whole.gradient)
    parts = [f.part(half).at(theta).value for half in halves]
    assert sum(parts) / 2 == pytest.approx(whole.value)
    again = f.share(halves[0]).share(halves[0]).at(theta)
    assert again.value == shares[0].value


def test_samples_lie_at_their_points():
    f = problem()
    for term, count in enumerate(f.samples.counts):
        assert f.coordinates(term).shape == (count, 2)


@pytest.mark.ranks
def test_boxes_of_patches_give_the_same_bits_on_any_number_of_processes():
    def train(executor):
        torch.set_num_threads(1)
        f = problem()
        strategy = chosen(
            "strategy",
            {
                "name": "sapts",
                "decomposition": {"name": "patches", "subdomains": 3, "overlap": 1},
                "recombination": "sum",
                "local_iterations": 1,
                "first_radius": 1e9,
            },
        ).build()
        solver = chosen("solver", {"name": "trust_region", "hessian": "block_gauss_newton"})
        engine = Engine(strategy.parts(solver), executor)
        engine.start(f, torch.zeros(f.layout.size, dtype=torch.float64))
        for _ in range(3):
            engine.step(f)
        return engine.point.theta

    alone = train(Serial())
    for theta in run_ranks(train, 2):
        assert torch.equal(theta, alone)
