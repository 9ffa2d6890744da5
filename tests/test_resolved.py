"""What runs, from what was asked for: one function decides, and nothing that was given changes."""

import ast
import math
from pathlib import Path

import pytest

from ddopt.sampling.batches import Batches
from ddopt.setup.component import chosen
from ddopt.setup.config import dumps, load_given
from ddopt.setup.plugins import manager
from ddopt.setup.resolved import resolve
from ddopt.solver.trust_region import TrustRegion
from ddopt_sapts.data import SaptsD
from ddopt_sapts.layers import SaptsP

ROOT = Path(__file__).parent.parent

# strategy: N, and the Hessian approximation of a trust region that leaves it open
STRATEGIES = {
    "apts": (2, "lsr1"),
    "hybrid": (4, "lsr1"),
    "napts": (2, "lsr1"),
    "patches": (1, "block_gauss_newton"),
    "sapts": (2, "lsr1"),
    "sapts_d": (2, "quasi_newton"),
    "sapts_ip": (2, "lsr1"),
    "sapts_m": (1, "lsr1"),
    "sapts_p": (2, "lsr1"),
    "sapts_pinn": (2, "lsr1"),
    "schwarz": (2, "schwarz"),
    "trust_region": (1, "quasi_newton"),
}
FREE = ("patches", "schwarz")  # their first steps are taken whole, whatever f does
AROUND = ("__setattr__", "__delattr__", "model_construct", "__pydantic_fields_set__")
NEEDED = {"sapts": {"decomposition": "data"}}


def options(name, **given):
    return chosen("strategy", {"name": name, **NEEDED.get(name, {}), **given})


def solvers(strategy):
    """The options of ``strategy`` that name a solver."""
    fields = type(strategy).model_fields
    return [key for key in ("local_solver", "global_solver") if key in fields]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_decides_what_is_left_open(name):
    count, curvature = STRATEGIES[name]
    given = options(name, **dict.fromkeys(solvers(options(name)), "trust_region"))
    strategy, solver = resolve(given, TrustRegion.Config())
    assert strategy.subdomains == count
    own = [getattr(strategy.config, key) for key in solvers(given)]
    assert [one.hessian.component.name for one in [solver, *own]] == [curvature] * (1 + len(own))
    others = (solver.first_radius, solver.acceptance.component.name)
    assert others == ((math.inf, "free_start") if name in FREE else (None, "monotone"))


def test_the_table_has_every_strategy():
    manager().find("strategy", "sapts_d")  # loads the plugins
    ours = {
        name
        for seam, name, source in manager().registry
        if seam == "strategy" and "(ddopt " in source
    }
    assert set(STRATEGIES) == ours


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_was_given_stays(name):
    given = TrustRegion.Config(hessian="lbfgs", acceptance="toint", first_radius=2.0)
    assert resolve(options(name), given)[1] == given


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("sampling", [None, Batches.Config()])
def test_what_is_resolved_is_resolved_to_itself(name, sampling):
    given = options(name, **dict.fromkeys(solvers(options(name)), "trust_region"))
    strategy, solver = resolve(given, TrustRegion.Config(), sampling)
    again, same = resolve(strategy, solver, sampling)
    assert (again.config, same) == (strategy.config, solver)


def test_nothing_that_was_given_is_changed():
    given = SaptsD.Config(subdomains=64, local_solver="trust_region")
    solver, before = TrustRegion.Config(), given.model_dump()
    strategy, settled = resolve(given, solver, Batches.Config())
    assert given.model_dump() == before
    assert solver == TrustRegion.Config()
    assert strategy.config != given
    assert settled != solver


def test_mini_batches_choose_the_options_that_were_not_given():
    strategy, _ = resolve(SaptsD.Config(overlap=0.25), TrustRegion.Config(), Batches.Config())
    assert (strategy.config.overlap, strategy.config.local_iterations) == (0.25, 8)
    assert strategy.config.recombination.component.name == "mean"


@pytest.mark.parametrize(
    ("solver", "curvature"),
    [
        ("lssr1", "lsr1"),  # the pairs that its name promises
        ({"name": "trust_region", "subproblem": "steihaug"}, "lsr1"),  # it multiplies by B
        ({"name": "trust_region", "subproblem": "steihaug", "hessian": "exact"}, "exact"),
    ],
)
def test_a_solver_says_which_curvature_it_can_use(solver, curvature):
    _, settled = resolve(options("sapts_d"), chosen("solver", solver))
    assert settled.hessian.component.name == curvature


@pytest.mark.parametrize("solver", ["levenberg_marquardt", "least_squares", "adam"])
def test_solvers_that_leave_nothing_open_are_not_touched(solver):
    given = chosen("solver", solver)
    assert resolve(options("sapts_d"), given)[1] is given


def test_a_run_file_shows_what_runs():
    table = {"problem": "poisson2d", "stop": {"iterations": 1}, "strategy": "trust_region"}
    config = load_given(table, {})
    assert config.solver.hessian.component.name == "quasi_newton"
    assert 'name = "quasi_newton"' in dumps(config)
    patterns = [["linears.0*"], ["linears.1*"], ["*"]]
    config = load_given(table, {"strategy": {"name": "sapts_p", "patterns": patterns}})
    assert config.strategy.subdomains == 3
    assert SaptsP.Config(patterns=patterns).subdomains == 3


@pytest.mark.parametrize("folder", ["ddopt", "plugins"])
def test_no_frozen_options_are_written_to(folder):
    """``object.__setattr__`` and its like go round what ``frozen`` promises."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr
        in ("__setattr__", "__delattr__", "model_construct", "__pydantic_fields_set__")
    ]
    assert not wrong
