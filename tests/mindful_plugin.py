"""Components of every seam that remember how often they were asked, and let it change the run."""

from __future__ import annotations

import torch

import ddopt
from ddopt.acceptance.monotone import Monotone
from ddopt.evaluation.problem import Samples
from ddopt.hessian.none import NoCurvature
from ddopt.recombination.sum import Sum
from ddopt.sampling import Sampling
from ddopt.solver.trust_region import TrustRegion
from ddopt.subproblem.cauchy import Cauchy
from ddopt_sapts.sapts import Sapts
from tests.bowl_plugin import Bowl


class Counts:
    """A number that is the state; to be derived from beside a component."""

    def __init__(self, config=None, **options):
        super().__init__(config, **options)
        self.count = 0

    def ask(self):
        self.count += 1
        return self.count

    def state_dict(self):
        return {**super().state_dict(), "count": self.count}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.count = state["count"]


class Rotating(Counts, ddopt.Decomposition):
    """Two halves of the parameters, dealt anew in every iteration."""

    name = "rotating"

    def split(self, problem):
        n = problem.layout.size
        order = torch.randperm(n, generator=torch.Generator().manual_seed(self.ask()))
        halves = order[: n // 2].sort().values, order[n // 2 :].sort().values
        return [ddopt.Subdomain(d, half) for d, half in enumerate(halves)]


class Smooth(Counts, ddopt.RadiusRule):
    """Another factor at every trial."""

    name = "smooth"

    def update(self, trial):
        return trial.radius * (1.0 + 0.1 * (self.ask() % 3 - 1))


class Strict(Counts, Monotone):
    """Takes two trials of three."""

    name = "strict"

    def ratio(self, value, trial, predicted):
        return super().ratio(value, trial, predicted) if self.ask() % 3 else 0.0


class Fading(Counts, Sum):
    """Shortens the sum, more and more."""

    name = "fading"

    def combine(self, corrections):
        whole = super().combine(corrections)
        scale = 1.0 / (1.0 + 0.05 * self.ask())
        return ddopt.Recombined(scale * whole.step, scale * whole.predicted)


class Growing(Counts, Cauchy):
    """Steps that come closer to the Cauchy step."""

    name = "growing"

    def solve(self, model, radius):
        found = super().solve(model, radius)
        scale = 1.0 - 0.5 / self.ask()
        return ddopt.Candidate(scale * found.step, scale * found.predicted, scale * found.norm)


class Tired(Counts, NoCurvature):
    """Counts the pairs that it does not keep."""

    name = "tired"
    learns = True

    def update(self, s, y):
        self.ask()

    def refine(self, problem, point, candidate, room):
        scale = 1.0 / (1.0 + 0.01 * self.count)
        return ddopt.Candidate(
            scale * candidate.step, scale * candidate.predicted, scale * candidate.norm
        )


class Short(Counts, TrustRegion):
    """Walks a shorter way at every call."""

    name = "short"

    def iterate(self, problem, start, ball, iterations):
        shorter = min(ball, 1.0) / (1.0 + 0.1 * self.ask())
        return super().iterate(problem, start, shorter, iterations)


class Shifting(Counts, Sampling):
    """Fifty of the samples; others where the last loss was observed."""

    name = "shifting"

    def samples(self, full, iteration):
        (term,) = full.terms
        order = torch.randperm(len(term), generator=torch.Generator().manual_seed(self.count))
        return Samples((term[order[:50].sort().values],))

    def observe(self, report):
        self.ask()


class Counted(Counts, Bowl):
    """Another f in every third iteration."""

    name = "counted"

    def renew(self, theta, status):
        if self.ask() % 3:
            return None
        self.problem = self.problem._but(_counts=(60 + self.count,))
        return 0.0

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.problem = self.problem._but(_counts=(60 + self.count // 3 * 3,))


class Whole(Counts, Sapts):
    """A strategy that keeps parts of its own making."""

    name = "whole"

    def parts(self, solver):
        self.ask()
        return super().parts(solver)


CALLS = {"after_step": 0}


@ddopt.hookimpl
def ddopt_register(register):
    seams = (Rotating, Smooth, Strict, Fading, Growing, Tired, Short, Shifting, Counted, Whole)
    for component in seams:
        register(component)


@ddopt.hookimpl
def ddopt_before_run(run):
    CALLS["after_step"] = 0


@ddopt.hookimpl
def ddopt_after_step(run):
    """Shorten the radius of every third step, where the seed says so."""
    CALLS["after_step"] += 1
    if run.config.seed == 1 and CALLS["after_step"] % 3 == 0:
        run.engine.radius *= 0.5


def state_dict():
    return dict(CALLS)


def load_state_dict(state):
    CALLS.update(state)
