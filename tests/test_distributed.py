"""One process or many: the same numbers, few bytes, and no hang when a process dies."""

import math
import os
import signal
import subprocess
import time
from dataclasses import replace
from datetime import timedelta

import pytest
import torch

from ddopt.acceptance import Verdict
from ddopt.acceptance.monotone import Monotone
from ddopt.decomposition import Subdomain
from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial, Split, distributed, pulse
from ddopt.executor.launch import connect
from ddopt.hessian.none import NoCurvature
from ddopt.method.engine import Engine
from ddopt.method.parts import GlobalPass, Parts, Preconditioner
from ddopt.numerics.space import Layout
from ddopt.radius.stepwise import Stepwise
from ddopt.recombination import Recombined
from ddopt.recombination.best import Best
from ddopt.recombination.mean import Mean
from ddopt.recombination.sum import Sum
from ddopt.solver.trust_region import TrustRegion
from ddopt.subproblem.cauchy import Cauchy
from ddopt.testing.ranks import RankFailedError, gather_ranks, run_ranks
from tests.faults.processes import Victim, free_port

pytestmark = pytest.mark.ranks
MOST = 9


def vector(d, n=37):
    generator = torch.Generator().manual_seed(d)
    scale = 10.0 ** (d % 4)
    return scale * torch.randn(n, generator=generator, dtype=torch.float32)


def bits(tensor):
    return tensor.view(torch.uint8).tolist()


def sums(executor):
    """Ordered sums, gathered vectors and numbers for N = 1..9."""
    found = []
    for count in range(1, MOST + 1):
        own = executor.owned(count)
        like = torch.zeros(37)
        sizes = [3 + d for d in range(count)]
        rows = {
            d: [0.1 * d, math.nan if d == 2 else -0.0, *map(float, range(count * 2))] for d in own
        }
        found.append(
            (
                bits(executor.sum({d: vector(d) for d in own}, count, like)),
                bits(torch.cat(executor.each({d: vector(d, 3 + d) for d in own}, sizes, like))),
                repr(executor.numbers(rows, count)),
            )
        )
    return found


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_reductions_have_the_same_bits_on_any_number_of_processes(world_size):
    expected = sums(Serial())
    assert run_ranks(sums, world_size) == [expected] * world_size


def test_fast_reduction_is_close():
    def close(executor):
        own = {d: vector(d) for d in executor.owned(5)}
        return executor.sum(own, 5, torch.zeros(37))

    expected = sum(vector(d) for d in range(5))
    for found in run_ranks(close, 3, reduction="fast"):
        torch.testing.assert_close(found, expected)


# A small regression problem: 21 samples, so that shares and parts are of unequal size.
LAYOUT = Layout(
    ("0.weight", "0.bias", "1.weight", "1.bias"),
    tuple(map(torch.Size, [(6, 2), (6,), (1, 6), (1,)])),
)
N = LAYOUT.size


def regression(samples=21, poison=None, phase=0.0):
    x = torch.linspace(-1.0, 1.0, samples, dtype=torch.float64)
    x = torch.stack([x, x.cos()], dim=1)
    y = (3.0 * x[:, 0]).sin() + phase

    def losses(p, chosen):
        (i,) = chosen.terms
        hidden = torch.tanh(x[i] @ p["0.weight"].T + p["0.bias"])
        out = (hidden @ p["1.weight"].T + p["1.bias"])[:, 0]
        loss = (out - y[i]).square().sum()
        return (loss * math.nan if poison is not None and poison(i) else loss,)

    return AutogradProblem(LAYOUT, losses, Samples.all(samples))


def initial():
    return torch.randn(N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def solver(**options):
    return TrustRegion.Config(
        hessian=NoCurvature(),
        subproblem=Cauchy(),
        acceptance=Monotone(),
        radius=Stepwise(),
        first_radius=0.5,
        **options,
    )


METHODS = {
    "data": lambda: (Data(subdomains=4), Mean()),
    "best": lambda: (Data(subdomains=4, overlap=0.25), Best()),
    "data, sum": lambda: (Data(subdomains=4, overlap=0.3), Sum()),
    "layers": lambda: (Layers(subdomains=2), Sum()),
    "whole": lambda: (Data(subdomains=1), Sum()),
}


class Fickle(Monotone):
    """Rejects every second trial."""

    name = "fickle"
    trials = 0

    def judge(self, value, trial, predicted):
        self.trials += 1
        verdict = super().judge(value, trial, predicted)
        return Verdict(verdict.accepted and self.trials % 2 == 1, verdict.ratio)


def engine(executor, method, *, global_pass=False, acceptance=Monotone):
    decomposition, recombination = METHODS[method]()
    preconditioner = Preconditioner(
        decomposition=decomposition,
        solver=solver(),
        recombination=recombination,
        acceptance=acceptance(),
        radius=Stepwise(),
    )
    parts = Parts(preconditioner, GlobalPass(solver().build()) if global_pass else None)
    made = Engine(parts, executor, shares=4)
    made.prepare(LAYOUT)
    return made


def train(executor, method, steps=6, **options):
    """The reports of a few outer iterations, less the traffic, and the parameters they end with."""
    running = engine(executor, method, **options)
    problem = Split(regression(), 4, executor)
    running.start(problem, initial())
    reports = [vars(running.step(problem)) for _ in range(steps)]
    for report in reports:
        del report["bytes_sent"], report["collectives"]
    return repr(reports), bits(running.point.theta)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_an_engine_has_the_same_bits_on_any_number_of_processes(world_size):
    def all_methods(executor):
        return [train(executor, m, global_pass=g) for m in METHODS for g in (False, True)]

    expected = all_methods(Serial())
    assert "accepted': True" in expected[0][0]
    assert run_ranks(all_methods, world_size) == [expected] * world_size


@pytest.mark.parametrize("world_size", [2, 4])
def test_an_outer_iteration_moves_two_vectors_and_a_rejected_one_no_gradient(world_size):
    def traffic(executor):
        running = engine(executor, "data", acceptance=Fickle)
        problem = Split(regression(), 4, executor)
        running.start(problem, initial())
        return [running.step(problem) for _ in range(12)]

    full = 2 * N * 8 * (world_size - 1) / world_size  # what an all-reduce of one vector costs
    numbers = 400.0 * world_size  # the scalars: a few rows of 16 float64 to every other
    for reports in run_ranks(traffic, world_size):
        known = False  # whether the gradient of the iterate has travelled before
        assert [report.accepted for report in reports] == [True, False] * 6
        for report in reports:
            vectors = 1 if known else 2
            once = 0 if report.iteration else 256 * world_size  # is it the same step everywhere?
            assert report.bytes_sent <= vectors * (full + 64 * world_size) + numbers + once
            known = not report.accepted


class EveryThird(Monotone):
    """Accepts, rejects, rejects."""

    name = "every_third"
    trials = 0

    def judge(self, value, trial, predicted):
        self.trials += 1
        verdict = super().judge(value, trial, predicted)
        return Verdict(verdict.accepted and self.trials % 3 == 1, verdict.ratio)


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_best_end_travels_only_when_it_is_accepted(world_size):
    def traffic(executor):
        running = engine(executor, "best", acceptance=EveryThird)
        problem = Split(regression(), 4, executor)
        running.start(problem, initial())
        running.step(problem)
        return [running.step(problem) for _ in range(8)]

    ranks = run_ranks(traffic, world_size)
    rows = 16 * 8 * (world_size - 1) * world_size  # of one gathering of scalars, by all processes
    vector = N * 8 * (world_size - 1)  # of one broadcast
    for k, reports in enumerate(zip(*ranks, strict=True)):
        accepted, calls = reports[0].accepted, reports[0].collectives
        assert accepted == (k % 3 == 2)
        assert reports[0].step_norm > 0.0  # the trial was judged, by its length and slope too
        moved = sum(report.bytes_sent for report in reports)
        if accepted:  # the end, and the gradient there: it is looked at, and used from then on
            assert moved == rows * (calls - 2) + 2 * vector
        else:  # scalars only
            assert moved == rows * calls


@pytest.mark.parametrize("where", ["trial", "part"])
def test_nan_on_one_rank_is_a_rejected_step_on_all(where):
    def poisoned(executor):
        visits = []

        def poison(i):  # shares of 2 are longer than parts of 4; the first visit is at the start
            counted = (len(i) > 8) == (where == "trial")
            visits.extend([0] * counted)
            return executor.rank == 1 and counted and len(visits) == 2

        running = engine(executor, "data")
        problem = Split(regression(poison=poison), 2, executor)
        running.start(problem, initial())
        before = running.point.theta.clone()
        reports = [running.step(problem)]
        reports.append(torch.equal(running.point.theta, before))
        reports.append(running.step(problem).accepted)
        return reports[0].accepted, reports[0].ratio, *reports[1:], bits(running.point.theta)

    outcomes = run_ranks(poisoned, 2)
    assert outcomes[0] == outcomes[1]
    if where == "trial":
        assert outcomes[0][:4] == (False, -math.inf, True, True)


class Uneven(Layers):
    """Two groups of coordinates, that differ where one asks for it."""

    name = "uneven"

    def __init__(self, shifted=False, more=False):
        super().__init__()
        self.cut, self.count = N // 2 + shifted, 2 + more

    def split(self, problem):
        edges = [0, self.cut, N] if self.count == 2 else [0, 1, self.cut, N]
        return [Subdomain(d, slice(*edges[d : d + 2])) for d in range(self.count)]


class Longer(Sum):
    """A sum that is longer by a bit, where one asks for it."""

    name = "longer"

    def __init__(self, odd=False):
        super().__init__()
        self.factor = 1.0 + 1e-12 * odd

    def combine(self, corrections):
        found = super().combine(corrections)
        return Recombined(self.factor * found.step, found.predicted)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("samples", "sample counts of rank 1"),
        ("data", "data of rank 1"),
        ("subdomains", "subdomains of Uneven of rank 1"),
        ("number", "subdomains of Uneven of rank 1"),
        ("step", "step of Longer of rank 1"),
        ("model", "parameters of rank 1"),
        ("theta", "initial values of rank 1"),
        ("method", "method of rank 1"),
    ],
)
def test_ranks_that_were_given_different_things_are_told_apart(changed, named):
    def mismatched(executor):
        odd = executor.rank == 1
        before = initial()
        running = engine(executor, "layers" if odd and changed == "method" else "data")
        if changed in ("subdomains", "number", "step"):
            cut = Uneven(odd and changed == "subdomains", odd and changed == "number")
            made = replace(
                running.parts.preconditioner,
                decomposition=cut,
                recombination=Longer(odd and changed == "step"),
            )
            running = Engine(Parts(made, None), executor, shares=4)
        data = odd and changed == "data"
        count = 22 if odd and changed == "samples" else 21
        inner = regression(count, phase=1e-15 if data else 0.0)
        theta = initial() + (1e-15 if odd and changed == "theta" else 0.0)
        if odd and changed == "model":
            theta = torch.zeros(5, dtype=torch.float64)
            inner.layout = Layout(("only",), (torch.Size([5]),))
        problem = Split(inner, 4, executor)
        running.start(problem, theta)
        try:
            running.step(problem)
        finally:
            assert torch.equal(running.point.theta, before), "no step may have been taken"

    for outcome in gather_ranks(mismatched, 3):
        assert isinstance(outcome, RankFailedError)
        assert named in str(outcome)


@pytest.mark.parametrize("how", ["killed", "raised"])
def test_a_rank_that_dies_is_named_by_the_others(how, monkeypatch):
    monkeypatch.setattr(pulse, "BROKEN", 3.0)

    def dying(executor):
        running = engine(executor, "data")
        problem = Split(regression(), 4, executor)
        running.start(problem, initial())
        running.step(problem)
        if executor.rank == 2:
            if how == "raised":
                raise ValueError("bad luck")
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(1000):
            running.step(problem)

    outcomes = gather_ranks(dying, 4)
    for rank in (0, 1, 3):
        assert "rank 2 " in str(outcomes[rank])
        assert "RankLostError" in str(outcomes[rank])
    assert ("bad luck" if how == "raised" else "died") in str(outcomes[2])


def test_a_rank_that_hangs_ends_the_test():
    def hanging(executor):
        if executor.rank == 0:
            time.sleep(60.0)

    with pytest.raises(RankFailedError, match="not done after 2 s"):
        run_ranks(hanging, 2, timeout=2.0)


def relayed(executor, delay):
    """Each rank is sent a vector by the one before it, and waits for one that is late."""
    rank, others = executor.rank, executor.size
    found = []
    for number in range(4):
        tensors = (torch.full((300_000,), float(10 * rank + number)), torch.arange(3))
        if rank == 1 and number == 1:
            delay()
        executor.send(tensors, rank, (rank + 1) % others)
        floats, numbers = executor.receive((rank - 1) % others, rank, torch.device("cpu"))
        executor.settle()
        found.append((float(floats[0]), numbers.tolist()))
    total = executor.numbers({rank: [float(rank)]}, others)
    return found, total


def late():
    time.sleep(1.5)


def stopped():
    """Stop this process, as a debugger or a job system does, until another one lets it go on."""
    subprocess.Popen(["sh", "-c", f"sleep 1.5; kill -CONT {os.getpid()}"])
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("delay", [late, stopped])
def test_a_message_is_waited_for_beyond_every_look_at_the_others(delay, monkeypatch):
    monkeypatch.setattr(distributed, "LOOK", timedelta(seconds=0.1))
    ranks = run_ranks(relayed, 3, delay)
    for rank, (found, total) in enumerate(ranks):
        assert found == [(10.0 * ((rank - 1) % 3) + k, [0, 1, 2]) for k in range(4)]
        assert total == [[0.0], [1.0], [2.0]]


def test_a_rank_that_dies_is_named_by_those_that_wait_for_its_message(monkeypatch):
    monkeypatch.setattr(pulse, "BROKEN", 3.0)
    outcomes = gather_ranks(relayed, 3, lambda: os.kill(os.getpid(), signal.SIGKILL))
    for rank in (0, 2):
        assert "rank 1 " in str(outcomes[rank])
        assert "RankLostError" in str(outcomes[rank])


def test_a_rank_that_stays_silent_is_named(monkeypatch):
    monkeypatch.setattr(distributed, "STUCK", 4.0)
    outcomes = gather_ranks(relayed, 3, lambda: os.kill(os.getpid(), signal.SIGSTOP), timeout=14.0)
    for rank in (0, 2):
        assert "rank 1 gave no sign of life for 4 s" in str(outcomes[rank])


def keeping(executor):
    """Rank 0, which keeps the store, is stopped once all have met; the others wait for it."""
    executor.numbers({executor.rank: [1.0]}, executor.size)
    if executor.rank == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    executor.numbers({executor.rank: [1.0]}, executor.size)


def test_a_keeper_of_the_store_that_stays_silent_is_named(tmp_path):
    port = free_port()

    def come(rank):
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        os.environ |= {"LOCAL_WORLD_SIZE": "2", "MASTER_PORT": str(port)}
        distributed.STUCK = 4.0
        with connect() as executor:
            keeping(executor)

    victims = [Victim(lambda rank=rank: come(rank), tmp_path / f"{rank}") for rank in range(2)]
    try:
        assert victims[1].wait() == 1
        assert "which keeps the store, gave no sign of life for 4 s" in victims[1].said()
    finally:
        victims[0].kill()
