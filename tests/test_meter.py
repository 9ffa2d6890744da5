"""Charged is computed: every strategy, solver, curvature, recombination and sampling there is.

A counting problem adds up what is evaluated, in full gradients over D, by whoever asks it; the
report must say the same, in all and on the longest path.
"""

from contextlib import contextmanager
from functools import cached_property
from itertools import cycle

import pytest
import torch

from ddopt.evaluation import meter
from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.jacobian import by_graph
from ddopt.evaluation.problem import Samples
from ddopt.evaluation.question import answered
from ddopt.executor import Serial, shared
from ddopt.method.engine import Engine
from ddopt.method.local import LocalSolves
from ddopt.numerics.space import Layout
from ddopt.pipeline.curvature import StagedCurvature
from ddopt.pipeline.stage import Stage
from ddopt.setup.component import chosen, lookup
from ddopt.setup.plugins import manager
from ddopt.setup.resolved import resolve
from ddopt.testing.ranks import run_ranks
from tests.relay_plugin import Relay

SAMPLES = 11  # no number of shares divides it
generator = torch.Generator().manual_seed(0)
X = torch.randn(SAMPLES, 2, generator=generator, dtype=torch.float64)
Y = X.prod(1).sin()


class Tally:
    """What has been evaluated: in all, on the longest path, and by subdomains on their own."""

    def __init__(self):
        self.total = 0.0
        self._alone = None
        self.begin()

    def begin(self):
        """Another longest path."""
        self.path, self.own = 0.0, {}
        self._pending = []

    @contextmanager
    def alone(self, d):
        """What is evaluated now is evaluated by one process, while the others do the same."""
        self._alone = d
        yield
        self._alone = None

    @property
    def by_itself(self):
        """Whether a subdomain is on its own."""
        return self._alone is not None

    def add(self, amount, part=1, whole=None, of=None):
        """``part`` of ``whole`` samples: one of several, which are evaluated in parallel.

        Those that are ``of`` one share, its chunks, are evaluated one after the other.
        """
        self.total += amount
        if self._alone is not None:
            self.own[self._alone] = self.own.get(self._alone, 0.0) + amount
        elif whole is None:
            self.path += amount
        else:
            self._pending.append((amount, part, of))
            if sum(own for _, own, _ in self._pending) == whole:  # the last of the shares
                shares = {share for _, _, share in self._pending}
                self.path += max(
                    sum(spent for spent, _, share in self._pending if share == one)
                    for one in shares
                )
                self._pending = []

    def longest(self):
        """The longest path."""
        assert not self._pending
        return self.path + max(self.own.values(), default=0.0)


class Counting(AutogradProblem):
    """Least squares with a small network; everything that is evaluated goes to a tally."""

    def __init__(self, tally, chunk=None):
        layout = Layout(
            ("0.weight", "0.bias", "1.weight", "1.bias"),
            tuple(map(torch.Size, ((2, 2), (2,), (1, 2), (1,)))),
            torch.float64,
        )
        super().__init__(layout, self._squares, Samples.all(SAMPLES), chunk=chunk)
        self.tally, self.of, self.name = tally, None, None
        self.piece = self.quiet = False

    def _errors(self, named, i):
        a, b, c, d = named.values()
        return ((X[i] @ a.T + b).tanh() @ c.T + d)[:, 0] - Y[i]

    def _squares(self, named, samples):
        return (self._errors(named, samples.terms[0]).square().sum(),)

    def _count(self, price):
        own = len(self.samples)
        self.tally.add(price * own / SAMPLES, own, self.of, self.name)

    @cached_property
    def _pieces(self):
        pieces = AutogradProblem._pieces.func(self)
        mine = {"of": self.of, "name": self.name, "piece": True}
        return [piece if piece is self else piece._but(**mine) for piece in pieces]

    def share(self, samples):
        return super().share(samples)._but(of=len(self.samples), name=samples.terms[0].tolist()[0])

    def part(self, samples):
        return super().part(samples)._but(of=None)

    def loss(self, theta):
        if not self.quiet:
            self._count(1.0)
        return super().loss(theta)

    def curvature(self, theta):
        self.quiet = self.piece  # counts with the product, which is made at once
        multiply = super().curvature(theta)
        self.quiet = False
        if self.graph_anew:
            return multiply  # its pieces count

        def product(v):
            self._count(meter.PRODUCT + meter.GRAPH * self.piece)
            return multiply(v)

        return product

    def _residuals(self, theta):
        return self._errors(self.named(theta), self.samples.terms[0]) / self._counts[0] ** 0.5

    def residuals(self, theta):
        self._count(meter.RESIDUALS)
        return self._residuals(theta)

    def jacobian(self, theta, dtype=None):
        self._count(meter.ROW * len(self.samples))
        return torch.func.jacrev(self._residuals)(theta.detach()).to(dtype or theta.dtype)

    def differential(self, theta):
        # A share of f in parallel: its graph is built for each product. A subdomain's is kept.
        anew = self.of is not None and not self.tally.by_itself
        if not anew:
            self._count(meter.GRAPH)
        product, pullback = by_graph(self._residuals, theta)

        def counted(multiply):
            def counting(v):
                self._count(meter.DIFFERENTIAL + meter.GRAPH * anew)
                return multiply(v)

            return counting

        return counted(product), counted(pullback)

    def coordinates(self, term):
        return X


class Alone(LocalSolves):
    """Local solves that tell the tally when a subdomain is on its own."""

    def __init__(self, parts, executor, engine):
        improving = engine.parts.global_pass is not None
        super().__init__(parts, executor, blind=engine.blind, improving=improving)
        self.engine = engine

    def _asking(self, solver, subdomain, problem, point, ball):
        asking = super()._asking(solver, subdomain, problem, point, ball)
        if subdomain.whole:
            return (yield from asking)
        if not self.engine.blind:
            assert len(point.gradient)  # f's own, which all evaluate together
        with self.engine.tally.alone(subdomain.index):
            return answered(asking)


class Watched(Engine):
    """An engine that tells the tally when a subdomain is on its own."""

    tally = None

    def __init__(self, parts, executor, shares):
        super().__init__(parts, executor, shares)
        if self.local is not None:
            self.local = Alone(parts.preconditioner, executor, self)

    def step(self, problem):
        parts = self.parts.preconditioner
        if parts is None or parts.recombination.name != "best":
            return super().step(problem)
        combine = parts.recombination.combine

        def combined(corrections):
            tally = self.tally
            with tally.alone("ends"):
                found = combine(corrections)
            tally.path += tally.own.pop("ends") / len(corrections.subdomains)
            return found

        parts.recombination.combine = combined
        report = super().step(problem)
        del parts.recombination.combine
        return report


def names(seam):
    return manager().registry.names(seam)


def solvers():
    """Every solver, and those that have a model with every curvature."""
    for name in names("solver"):
        fields = lookup("solver", name).Config.model_fields
        yield {"name": name}
        if "dense" in fields:  # by products, from models that are kept for a later step
            yield {"name": name, "dense": 0}
        if "subproblem" in fields:
            for hessian in names("hessian"):
                yield {"name": name, "hessian": hessian, "subproblem": "steihaug"}


def strategies(name):
    """A strategy with every recombination; over every decomposition, where it has a choice."""
    fields = lookup("strategy", name).Config.model_fields
    sizes = {"subdomains": 2, "parts": 2, "groups": 2, "local_iterations": 2}
    given = {"name": name, **{key: value for key, value in sizes.items() if key in fields}}
    recombinations = names("recombination") if "recombination" in fields else []
    if "decomposition" in fields:
        pairs = zip(names("decomposition"), cycle(recombinations), strict=False)
        return [given | {"decomposition": d, "recombination": r} for d, r in pairs]
    return [given | {"recombination": r} for r in recombinations] or [given]


def combinations(name):
    """(strategy, solver, sampling): the solvers other than ``trust_region`` with one curvature,
    but for the first recombination; samplings in turn, so that each meets each of the others.
    """
    draws = cycle(names("sampling"))
    for number, options in enumerate(strategies(name)):
        for solver in solvers():
            if number == 0 or solver["name"] == "trust_region" or "hessian" not in solver:
                yield options, solver, next(draws)


SAMPLINGS = {"batches": {"size": 6}, "adaptive": {"size": 5, "extra": 2}}


def engine(options, solver, sampling, executor=None):
    """An engine of these parts; ValueError where they do not fit together."""
    fields = lookup("strategy", options["name"]).Config.model_fields
    stochastic = lookup("solver", solver["name"]).stochastic
    if sampling == "adaptive":
        if "acceptance" in fields:
            options = options | {"acceptance": "asntr"}
        if "acceptance" in lookup("solver", solver["name"]).Config.model_fields:
            solver = solver | {"acceptance": "asntr"}
    if "local_solver" in fields:
        options = options | {"local_solver": solver, "judged": 0.3 if stochastic else 0.0}
        options |= {"global_iterations": 0} if stochastic else {}
    strategy, solver = resolve(chosen("strategy", options), chosen("solver", solver))
    parts = strategy.parts(solver)
    return Watched(parts, executor or Serial(), strategy.shares), strategy.shares


def check(options, solver, sampling, chunk=None):
    """The start and two iterations: what is reported is what is evaluated.

    The second may use what the first has made; on batches each is on another draw.
    """
    running, shares = engine(options, solver, sampling)
    draws = chosen("sampling", {"name": sampling, **SAMPLINGS.get(sampling, {})}).build()
    draws.prepare(0)
    tally = running.tally = Tally()
    whole = Counting(tally, chunk)
    for k in range(3):
        before = tally.total
        tally.begin()
        theta = torch.linspace(-1.0, 1.0, whole.layout.size, dtype=torch.float64)
        problem, _ = shared(draws.problem(whole, k), shares, running.executor)
        if k:
            report = running.step(problem)
        else:
            running.start(problem, theta)
            report = running.meter
        said = f"{options} {solver} {sampling}, iteration {k}"
        assert report.total == pytest.approx(tally.total - before, abs=1e-9), said
        assert report.parallel == pytest.approx(tally.longest(), abs=1e-9), said


@pytest.mark.parametrize("strategy", sorted(set(names("strategy")) - {"sapts_ip"}))
def test_charged_is_computed(strategy):
    """What does not fit together, such as a walk as the global solver, is told by a ValueError."""
    tried = fitted = 0
    for combination in combinations(strategy):
        tried += 1
        try:
            check(*combination)
        except ValueError as error:
            refused = error
        else:
            fitted += 1
    assert fitted >= 0.5 * tried, refused


@pytest.mark.parametrize("strategy", sorted(set(names("strategy")) - {"sapts_ip"}))
def test_charged_is_computed_in_chunks(strategy):
    """A loss in three passes: with a late gradient, or a product, nothing is evaluated again."""
    fitted = 0
    for number, combination in enumerate(combinations(strategy)):
        if number % 3 == 0 or combination[1].get("hessian") == "exact":
            try:
                check(*combination, chunk=4)
            except ValueError as error:
                refused = error
            else:
                fitted += 1
    assert fitted > 1, refused


def charges(executor):
    """What three iterations of some methods report, on the processes of an executor."""
    found = []
    for options in (
        {"name": "sapts_d", "subdomains": 3},
        {"name": "napts", "subdomains": 2},
        {"name": "hybrid"},
        {"name": "sapts_m", "subdomains": 3},
        {"name": "trust_region", "subdomains": 3},
    ):
        solver = {"name": "prodigy" if options["name"] == "sapts_m" else "trust_region"}
        running, shares = engine(options, solver, "full", executor)
        whole = Counting(Tally())
        running.tally = whole.tally
        problem, _ = shared(whole, shares, executor)
        theta = torch.linspace(-1.0, 1.0, whole.layout.size, dtype=torch.float64)
        running.start(problem, theta)
        reports = [running.meter, *(running.step(problem) for _ in range(3))]
        found += [(report.total, report.parallel) for report in reports]
    return found


@pytest.mark.ranks
def test_a_charge_does_not_depend_on_who_evaluates():
    alone = charges(Serial())
    assert run_ranks(charges, 2) == [alone, alone]


@pytest.fixture
def staged(monkeypatch):
    """A tally of what the stages of a network evaluate, by the parameters of each."""
    tally, quiet = Tally(), []
    problem = Relay().staged(2, 3, Serial())
    call, product = Stage.__call__, StagedCurvature.__call__

    def called(stage, theta, inputs):
        if not quiet:
            tally.add(len(theta) / sum(problem.sizes) * len(inputs[0]) / len(problem.samples))
        return call(stage, theta, inputs)

    def multiplied(curvature, v):
        quiet.append(True)
        found = product(curvature, v)
        quiet.pop()
        tally.add(meter.PRODUCT * curvature.problem.cost)
        return found

    monkeypatch.setattr(Stage, "__call__", called)
    monkeypatch.setattr(StagedCurvature, "__call__", multiplied)
    return problem, tally


@pytest.mark.parametrize(
    "options",
    [
        {"name": "sapts_ip"},
        {"name": "sapts_ip", "recombination": "coarse"},
        {"name": "napts", "cut": "stages"},
        {"name": "hybrid", "cut": "stages"},
        {"name": "hybrid", "cut": "stages", "overlap": 0.1, "consistency": False},
    ],
    ids=lambda options: ", ".join(map(str, options.values())),
)
def test_charged_is_computed_by_stages(options, staged):
    problem, tally = staged
    running, shares = engine(options, {"name": "trust_region"}, "full")
    running.tally = tally
    split, _ = shared(problem, shares, Serial())
    running.start(split, problem.initial())
    charged = running.meter.total
    tally.begin()
    for _ in range(3):
        report = running.step(split)
        charged += report.total
        assert charged == pytest.approx(tally.total)
        if shares == 1:  # else a pass through the stages of a part is the first one's in the tally
            assert report.parallel == pytest.approx(tally.longest())
        tally.begin()
