"""The identities of one outer iteration, on processes whose subdomains have unequal data.

Legend: f̃_d the local objective of subdomain d, g the global gradient, R_d g its part in C_d, s_d
the local steps, Δ the radius. Three processes hold four subdomains of 21 samples.
"""

import math

import pytest
import torch

from ddopt.acceptance.monotone import Monotone
from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.executor import Split
from ddopt.method.engine import Engine
from ddopt.method.parts import Parts, Preconditioner
from ddopt.radius.stepwise import Stepwise
from ddopt.recombination.mean import Mean
from ddopt.recombination.sum import Sum
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.ranks import run_ranks
from tests.test_distributed import LAYOUT, initial, regression

pytestmark = pytest.mark.ranks
PROCESSES, STEPS = 3, 8
METHODS = {  # decomposition, recombination, Δ/Δ_d, and what pred divides the sum of decreases by
    "data, sum": (lambda: Data(subdomains=4), Sum, 4.0, 1.0),
    "data, overlap, sum": (lambda: Data(subdomains=4, overlap=0.3), Sum, 4.0, 1.0),
    "data, mean": (lambda: Data(subdomains=4), Mean, 1.0, 4.0),
    "layers, sum": (lambda: Layers(subdomains=2), Sum, math.sqrt(2.0), 1.0),
}
SEEN = []  # what the local solvers and the judge of this process have seen, iteration by iteration


class Witness(TrustRegion):
    """A local solver that writes down what it was given and what it did."""

    name = "witness"

    def iterate(self, problem, start, ball, iterations):
        local = problem.at(start.theta)
        v = torch.linspace(-1.0, 1.0, len(start.theta), dtype=torch.float64)
        values = [problem.at(start.theta + h * v).value for h in (1e-5, -1e-5)]
        answer = yield from super().iterate(problem, start, ball, iterations)
        entry = {
            "ball": ball,
            "step": answer.step,
            "decrease": local.value - problem.at(start.theta + answer.step).value,
            "gradient": local.gradient,
            "slope": float(local.gradient @ v),
            "difference": (values[0] - values[1]) / 2e-5,
        }
        own = getattr(problem, "problem", None)  # f_d, where f̃_d is another function
        if own is not None and hasattr(problem, "residual"):
            entry["uncorrected"] = own.at(start.theta).gradient
        SEEN[-1]["local"].append(entry)
        return answer


class Judge(Monotone):
    """Writes down the prediction."""

    name = "judge"

    def judge(self, value, trial, predicted):
        verdict = super().judge(value, trial, predicted)
        SEEN[-1] |= {"values": (value, trial), "predicted": predicted, "ratio": verdict.ratio}
        return verdict


def watch(executor, method):
    """A few outer iterations, with what everybody saw and the parameters before each."""
    decomposition, recombination, _, _ = METHODS[method]
    solver = Witness.Config(hessian={"name": "lsr1", "memory": 5}, first_radius=0.5)
    parts = Preconditioner(
        decomposition(), solver, recombination(), Judge(), Stepwise(), first_radius=0.05
    )
    engine = Engine(Parts(parts, None), executor, shares=4)
    engine.prepare(LAYOUT)
    problem = Split(regression(), 4, executor)
    engine.start(problem, initial())
    SEEN.clear()
    for _ in range(STEPS):
        SEEN.append({"theta": engine.point.theta, "radius": engine.radius, "local": []})
        report = engine.step(problem)
        SEEN[-1] |= {"norm": report.step_norm, "accepted": report.accepted, "after": engine.radius}
    return list(SEEN)


@pytest.fixture(scope="module", params=METHODS)
def watched(request):
    """What was seen: for each iteration the common facts, and the locals in subdomain order."""
    ranks = run_ranks(watch, PROCESSES, request.param)
    subdomains = METHODS[request.param][0]().split(regression())
    iterations = []
    for rows in zip(*ranks, strict=True):
        owned = [iter(row["local"]) for row in rows]
        found = [next(owned[d % PROCESSES]) for d in range(len(subdomains))]
        iterations.append(rows[0] | {"local": found})
    return request.param, subdomains, iterations


def test_the_local_gradient_is_the_global_one(watched):
    method, subdomains, iterations = watched
    for seen in iterations:
        g = regression().at(seen["theta"]).gradient
        for subdomain, local in zip(subdomains, seen["local"], strict=True):
            torch.testing.assert_close(
                local["gradient"], subdomain.restrict(g), rtol=1e-12, atol=1e-13
            )
            assert local["difference"] == pytest.approx(local["slope"], rel=1e-6, abs=1e-8)
            if "data" in method:  # the correction is there, and each f_d has one of its own
                assert (local["uncorrected"] - g).norm() > 1e-3 * g.norm()


def test_the_prediction_is_the_sum_of_the_local_decreases(watched):
    method, _, iterations = watched
    divisor = METHODS[method][3]
    for seen in iterations:
        decreases = [local["decrease"] for local in seen["local"]]
        assert seen["predicted"] == pytest.approx(math.fsum(decreases) / divisor, rel=1e-10)
        before, trial = seen["values"]
        assert seen["ratio"] == pytest.approx((before - trial) / seen["predicted"])
        whole = regression()
        assert before == pytest.approx(whole.at(seen["theta"]).value, rel=1e-12)


def test_the_steps_and_the_radii_keep_their_bounds(watched):
    method, _, iterations = watched
    share, rule = METHODS[method][2], Stepwise().config
    for seen in iterations:
        radius, after, ratio = seen["radius"], seen["after"], seen["ratio"]
        for local in seen["local"]:
            assert local["ball"] == pytest.approx(radius / share)
            assert local["step"].norm() <= local["ball"] * (1.0 + 1e-12)
        assert seen["norm"] <= radius * (1.0 + 1e-12)
        assert seen["accepted"] == (ratio >= Judge().config.threshold)
        if ratio > rule.good:
            assert after in (radius, rule.grow * radius)
        elif ratio < rule.bad:
            assert after <= rule.shrink * radius
        else:
            assert after == radius
    assert any(seen["after"] > seen["radius"] for seen in iterations)


def test_the_data_are_unequal():
    assert [len(s.samples) for s in Data(subdomains=4).split(regression())] == [6, 5, 5, 5]
