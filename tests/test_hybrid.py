"""The hybrid: consistent on every pair of a part and a group, and its factors at the borders."""

import pytest
import torch

from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.decomposition.product import Product
from ddopt.decomposition.stages import Stages
from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial, Split
from ddopt.testing.ranks import run_ranks
from ddopt_sapts.data import APTS
from ddopt_sapts.hybrid import Hybrid
from ddopt_sapts.layers import SaptsP
from tests.relay_plugin import Relay
from tests.test_variants import RELAY, RUN_FILE, lines, record_of


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text(RUN_FILE.format(relay=RELAY.as_posix()))
    return path


def test_every_pair_begins_with_its_piece_of_the_global_gradient():
    problem = Split(Relay().staged(2, 3, Serial()), 3, Serial())
    theta = problem.problem.initial()
    point = problem.at(theta)
    shares = [Samples((torch.arange(i, 37, 3),)) for i in range(3)]
    subdomains = Product(samples=Data(subdomains=3, overlap=0.1), parameters=Stages.Config()).split(
        problem
    )
    assert len(subdomains) == 6
    for subdomain in subdomains:
        local = subdomain.objective(problem, point)
        start = local.at(subdomain.restrict(theta))
        part = problem.part(subdomain.samples).at(theta)
        assert start.value == part.value  # f_d(θ_k) is the loss on part i, whatever the group
        assert torch.equal(start.gradient, subdomain.restrict(part.gradient))
        wanted = subdomain.restrict(point.gradient)
        consistent = Consistent(local, start, wanted)
        found = consistent.at(subdomain.restrict(theta)).gradient
        torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-15)
    added = sum(problem.share(share).at(theta).gradient for share in shares)
    torch.testing.assert_close(point.gradient, added, rtol=1e-13, atol=1e-15)


# Three parts, their mean and a global step: what a hybrid does with its parts.
DISJOINT = [
    "subdomains=3",
    "overlap=0.0",
    "recombination=mean",
    "local_iterations=5",
    "radius=stepwise",
    "global_iterations=1",
]


@pytest.mark.parametrize(
    ("border", "factor"),
    [
        (["parts=1", "groups=3"], ["sapts_p", "subdomains=3", "recombination=mean"]),
        (["parts=3", "groups=1"], ["sapts_d", *DISJOINT]),
        (["parts=1", "groups=3", "cut=stages"], ["sapts_ip", "recombination=mean", "subdomains=3"]),
    ],
    ids=["layers", "samples", "stages"],
)
def test_with_one_part_or_one_group_it_is_the_other_factor(border, factor, file, tmp_path):
    name, *options = factor
    hybrid = ["strategy=hybrid", *(f"strategy.{option}" for option in border)]
    other = [f"strategy={name}", *(f"strategy.{option}" for option in options)]
    pairs = [*hybrid, "solver.hessian=lsr1"], [*other, "solver.hessian=lsr1"]
    first, second = (lines(Serial(), file, c, tmp_path / c[0]) for c in pairs)
    assert first == second


@pytest.mark.ranks
def test_local_iterations_on_a_grid_of_processes_send_nothing(file, tmp_path):
    def traffic(executor):
        found = []
        for count in (1, 7):
            before = executor.bytes_sent
            options = ["cut=stages", "global_iterations=0", f"local_iterations={count}"]
            changes = ["strategy=hybrid", *(f"strategy.{option}" for option in options)]
            record_of(executor, file, [*changes, "stop.iterations=1"], tmp_path / str(count))
            found.append(executor.bytes_sent - before)
        return found

    for few, many in run_ranks(traffic, 4):
        assert few == many


def test_mistakes_are_named(small_regression):
    problem, _ = small_regression
    with pytest.raises(ValueError, match=r"'layers' cuts parameters.*for example 'data'"):
        Product(samples=Layers.Config()).split(problem)
    with pytest.raises(ValueError, match=r"'data' cuts samples.*for example 'layers'"):
        Product(parameters=Data.Config()).split(problem)
    assert Hybrid(patterns=[["0*"], ["*"], ["2*"]]).subdomains == 6
    assert SaptsP(patterns=[["0*"], ["*"], ["2*"]]).subdomains == 3
    with pytest.raises(ValueError, match=r"subdomains = 2, and patterns has 1 group.*leave"):
        SaptsP(subdomains=2, patterns=[["*"]])
    assert APTS(subdomains=4).shares == 4


@pytest.mark.ranks
def test_a_grid_that_does_not_fit_is_named():
    def odd(executor):
        with pytest.raises(ValueError, match="divides 2, or a multiple of 2"):
            executor.grid(2)

    run_ranks(odd, 3)
