"""What components return is checked where it is taken: one sentence each, with the name."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import ddopt
from ddopt.acceptance.monotone import Monotone
from ddopt.decomposition import Subdomain
from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.evaluation.captured import arrays, digest
from ddopt.evaluation.problem import Samples
from ddopt.evaluation.question import Both, Curvature, Value, Work, answered
from ddopt.executor import Serial
from ddopt.method import contract
from ddopt.method.engine import Engine
from ddopt.method.parts import GlobalPass, Parts, Preconditioner
from ddopt.radius.stepwise import Stepwise
from ddopt.recombination import Recombined
from ddopt.recombination.mean import Mean
from ddopt.recombination.sum import Sum
from ddopt.run.execution import execute
from ddopt.sampling.batches import Batches
from ddopt.setup.config import load_given
from ddopt.setup.plugins import manager
from ddopt.solver.trust_region import TrustRegion
from ddopt.subproblem import Candidate
from ddopt.subproblem.cauchy import Cauchy
from ddopt.testing.regression import Regression

FIRST = TrustRegion.Config(hessian="none", subproblem="cauchy")
PARTS = Preconditioner(Data(subdomains=3), FIRST, Sum(), Monotone(), Stepwise(), first_radius=0.1)


def made(seam, name, method, returned):
    """A component whose ``method`` gives ``returned(what the parent's gives, its arguments)``."""
    above = {
        "decomposition": Layers,
        "recombination": Sum,
        "acceptance": Monotone,
        "radius": Stepwise,
        "solver": TrustRegion,
        "subproblem": Cauchy,
    }[seam]

    class Odd(above):
        pass

    def wrong(self, *arguments):
        return returned(getattr(above, method)(self, *arguments), *arguments)

    def asking(self, *arguments):
        found = yield from getattr(above, method)(self, *arguments)
        return returned(found, *arguments)

    setattr(Odd, method, asking if method == "iterate" else wrong)
    Odd.name = name
    return Odd


def step(problem, theta, seam, component):
    """Two outer iterations with a component in its place."""
    if seam == "solver":
        parts = replace(PARTS, solver=component.Config(hessian="none", subproblem="cauchy"))
    elif seam == "subproblem":
        parts = replace(PARTS, solver=TrustRegion.Config(hessian="none", subproblem=component()))
    else:
        parts = replace(PARTS, **{seam: component()})
    engine = Engine(Parts(parts, None), Serial())
    engine.start(problem, theta)
    for _ in range(2):
        engine.step(problem)


def in_place(answer, problem, start, ball, iterations):
    start.theta.add_(answer.step)
    return answer


def raises(*arguments):
    raise KeyError("weights")


WRONG = {
    ("decomposition", "split"): [
        (lambda found, p: None, "a list of ddopt.Subdomain.* it returned None"),
        (lambda found, p: [found], "a list with a list of 2"),
        (lambda found, p: [Subdomain(0, samples=Samples((torch.arange(40),)))], "samples of the"),
        (lambda found, p: [Subdomain(0, samples=torch.arange(3))], "samples of the problem"),
        (
            lambda found, p: [Subdomain(d, samples=p.samples, weight=0.9) for d in range(2)],
            "weights that add up to 1, .* 1.8",
        ),
        (raises, r"split\(\) raised KeyError: 'weights'"),
    ],
    ("recombination", "combine"): [
        (lambda found, c: None, r"ddopt.Recombined\(step, predicted\); it returned None"),
        (lambda found, c: found.step, "ddopt.Recombined.* a tensor of shape"),
        (lambda found, c: replace(found, step=found.step[:1]), r"tensor of shape \(113,\)"),
        (lambda found, c: replace(found, step=found.step.float()), "torch.float64 on cpu"),
        (lambda found, c: replace(found, step=found.step.tolist()), "a list of 113"),
        (lambda found, c: replace(found, step=found.step * math.nan), "one with NaN"),
        (lambda found, c: replace(found, step=None), "a step, or the point"),
        (lambda found, c: replace(found, predicted=None), "a number as Recombined.predicted"),
        (lambda found, c: Recombined(7.0 * found.step, found.predicted), r"ball\(\) says how far"),
    ],
    ("recombination", "ball"): [
        (lambda found, *given: math.nan, "a positive number; it returned nan"),
        (lambda found, *given: None, "a positive number; it returned None"),
        (lambda found, *given: 100.0, "its step is .* long, and the radius is 0.1"),
    ],
    ("acceptance", "consider"): [
        (lambda found, *given: True, "a ddopt.Verdict"),
        (lambda found, *given: replace(found, ratio=None), "the ratio a number"),
    ],
    ("radius", "update"): [
        (lambda found, trial: math.nan, "it returned nan"),
        (lambda found, trial: -1.0, "it returned -1.0"),
        (lambda found, trial: math.inf, "it returned inf"),
        (lambda found, trial: [1.0], "it returned a list of 1"),
        (lambda found, trial: None, "it returned None"),
        (lambda found, trial: torch.tensor(1.0), "it returned a tensor"),
    ],
    ("solver", "iterate"): [
        (lambda found, *given: (found.step, found.decrease), "a ddopt.Answer; it returned a tuple"),
        (lambda found, *given: None, "a ddopt.Answer; it returned None"),
        (lambda found, *given: replace(found, step=found.step.tolist()), "Answer.step as a tensor"),
        (lambda found, *given: replace(found, step=found.step.float()), "torch.float64 on cpu"),
        (lambda found, *given: replace(found, decrease=None), "a number as Answer.decrease"),
        (lambda found, *given: replace(found, end=found.step), "a ddopt.Point as Answer.end"),
        (lambda found, *given: replace(found, step=100.0 * found.step), "the ball that it was"),
        (lambda found, *given: replace(found, step=math.nan * found.step), "of length nan"),
        (in_place, r"changed start.theta in place"),
        (raises, r"iterate\(\) raised KeyError: 'weights'"),
    ],
    ("subproblem", "solve"): [
        (lambda found, model, radius: found.step, "a ddopt.Candidate; it returned a tensor"),
        (lambda found, model, radius: Candidate(found.step[:1], 1.0, 1e-3), "whose step is a"),
        (lambda found, model, radius: replace(found, norm=2.0 * radius), "of norm at most"),
        (lambda found, model, radius: replace(found, predicted=None), "numbers as Candidate"),
    ],
}
CASES = [(*where, *case) for where, cases in WRONG.items() for case in cases]


@pytest.mark.parametrize(("seam", "method", "returned", "message"), CASES)
def test_what_a_component_returns_is_told_in_a_sentence(
    seam, method, returned, message, small_regression
):
    problem, theta = small_regression
    component = made(seam, "odd", method, returned)
    with pytest.raises(ValueError, match=message) as error:
        step(problem, theta, seam, component)
    assert f"{seam} 'odd' (class Odd of module tests.test_contract)" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_solver_that_does_not_ask_is_told_in_a_sentence(small_regression):
    problem, theta = small_regression

    class Evaluating(TrustRegion):
        name = "evaluating"

        def iterate(self, problem, start, ball, iterations):
            return answered(super().iterate(problem, start, ball, iterations))

    with pytest.raises(ValueError, match=r"iterate\(\) must return a generator, which yields"):
        step(problem, theta, "solver", Evaluating)
    with pytest.raises(TypeError, match=r"defines solve\(\); a solver asks and does not evaluate"):

        class Old(TrustRegion):
            def solve(self, problem, start, ball, iterations):
                pass


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda problem, theta: theta, "such as Both.* yields a tensor of shape"),
        (lambda problem, theta: None, "such as Both.* yields None"),
        (lambda problem, theta: [Both(problem, theta)], "such as Both.* yields a list of 1"),
        (lambda problem, theta: Both, "such as Both"),
        (lambda problem, theta: Both(theta, theta), "Both is about a problem"),
        (lambda problem, theta: Work(None, len), "Work is about a problem.* asks about None"),
        (lambda problem, theta: Both(problem, theta[:1]), r"shape \(113,\).* shape \(1,\)"),
        (lambda problem, theta: Value(problem, theta.tolist()), "Value has a theta.* list of 113"),
        (lambda problem, theta: Curvature(problem, None), "Curvature has a theta.* with None"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_what_no_problem_can_answer_is_told_in_a_sentence(
    question, message, alone, small_regression
):
    """The first question or a later one, of a local solver or of the global pass."""
    problem, theta = small_regression

    class Mistaken(TrustRegion):
        name = "mistaken"

        def iterate(self, problem, start, ball, iterations):
            yield Both(problem, start.theta)
            yield question(problem, start.theta)

    if alone:
        parts = Parts(None, GlobalPass(Mistaken(), 1))
    else:
        parts = Parts(replace(PARTS, solver=Mistaken.Config()), None)
    engine = Engine(parts, Serial())
    engine.start(problem, theta)
    with pytest.raises(ValueError, match=message) as error:
        engine.step(problem)
    assert "solver 'mistaken' (class Mistaken of module tests.test_contract)" in str(error.value)


def test_numbers_of_numpy_are_numbers(small_regression):
    problem, theta = small_regression
    step(problem, theta, "radius", made("radius", "odd", "update", lambda f, t: np.float32(f)))


class Turns(ddopt.Decomposition):
    """Other sizes, or another number, in the second iteration."""

    name = "turns"
    seen = 0

    def __init__(self, later):
        super().__init__()
        self.later = later

    def split(self, problem):
        self.seen += 1
        cuts = [0, 50, 113] if self.seen == 1 else self.later
        return [Subdomain(d, slice(*cuts[d : d + 2])) for d in range(len(cuts) - 1)]


@pytest.mark.parametrize("later", [[0, 51, 113], [0, 50, 70, 113]])
def test_subdomains_keep_their_number_and_their_sizes(later, small_regression):
    problem, theta = small_regression
    engine = Engine(Parts(replace(PARTS, decomposition=Turns(later)), None), Serial())
    engine.start(problem, theta)
    engine.step(problem)
    with pytest.raises(ValueError, match=r"of the same sizes, in every iteration; .* \[50, 63\]"):
        engine.step(problem)


class Alone(ddopt.Recombination):
    """The sum of the steps, and no word about how long they may be."""

    name = "alone"

    def combine(self, corrections):
        return Recombined(corrections.sum(), sum(corrections.decreases))


@pytest.mark.parametrize("cut", [Data(subdomains=4), Layers(subdomains=3)])
@pytest.mark.parametrize("norm", ["2", "inf"])
def test_a_recombination_that_writes_combine_alone_stays_in_the_radius(cut, norm, small_regression):
    problem, theta = small_regression
    parts = replace(PARTS, decomposition=cut, recombination=Alone(), norm=norm)
    engine = Engine(Parts(parts, None), Serial())
    engine.start(problem, theta)
    for _ in range(10):
        radius = engine.radius
        assert engine.step(problem).step_norm <= radius * (1 + 1e-9)


class Halved(Subdomain):
    """Puts half of what it is given back."""

    def prolong(self, part, n):
        return 0.5 * super().prolong(part, n)


class Halves(ddopt.Decomposition):
    name = "halves"

    def split(self, problem):
        return [Halved(0, slice(0, 50)), Halved(1, slice(50, problem.layout.size))]


@pytest.mark.parametrize("recombination", [Sum(), Mean()])
def test_an_overridden_prolong_is_always_used(recombination, small_regression):
    problem, theta = small_regression
    norms = []
    for cut in (Halves(), Turns([0, 50, 113])):
        parts = replace(PARTS, decomposition=cut, recombination=recombination)
        engine = Engine(Parts(parts, None), Serial())
        engine.start(problem, theta)
        norms.append(engine.step(problem).step_norm)
    assert norms[0] == pytest.approx(0.5 * norms[1], rel=1e-12)


@pytest.mark.parametrize(
    ("prolong", "message"),
    [
        (lambda part, n: part.new_zeros(n), r"it returned zeros"),
        (lambda part, n: part.new_full((n,), torch.nan), r"it returned zeros, or what is not fini"),
        (
            lambda part, n: part,
            r"a step as a tensor of shape \(113,\).*it returned a tensor of sha",
        ),
        (lambda part, n: None, r"a step as a tensor .*it returned None"),
        (lambda part, n: part[n + 5], r"raised IndexError"),
    ],
)
def test_a_prolong_that_loses_the_step_is_told_before_it_is_taken(
    prolong, message, small_regression
):
    class Lost(Subdomain):
        def prolong(self, part, n):
            return prolong(part, n)

    class Loses(ddopt.Decomposition):
        name = "loses"

        def split(self, problem):
            return [Lost(0, slice(0, 50)), Lost(1, slice(50, problem.layout.size))]

    problem, theta = small_regression
    engine = Engine(Parts(replace(PARTS, decomposition=Loses()), None), Serial())
    engine.start(problem, theta)
    with pytest.raises(ValueError, match=r"decomposition 'loses' .*prolong\(\).*" + message):
        engine.step(problem)


@pytest.mark.parametrize("found", [None, PARTS, Parts(None, None), Parts(PARTS, PARTS)])
def test_a_strategy_returns_parts(found):
    class Odd(ddopt.Strategy):
        name = "odd"

        def parts(self, solver):
            return found

    with pytest.raises(ValueError, match=r"strategy 'odd' .*: parts\(\) must return ddopt.Parts"):
        contract.parts(Odd(), found)
    right = Parts(PARTS, GlobalPass(TrustRegion()))
    assert contract.parts(Odd(), right) is right


def test_the_data_of_a_function_are_found_where_it_keeps_them():
    class Holder:
        def __init__(self, x):
            self.x, self.scale = {"inner": [x]}, np.ones(3)
            self.net = torch.nn.Linear(2, 2)

        def loss(self, theta):
            return theta @ self.x["inner"][0]

    def around(holder, extra):
        return lambda theta: holder.loss(theta) + extra.sum()

    x, extra = torch.arange(4.0), torch.zeros(2)
    function = around(Holder(x), extra)
    assert {id(found) for found in arrays(function)} >= {id(x), id(extra)}
    assert len(arrays(function)) == 3  # the network's weights are θ
    assert digest(function) == digest(around(Holder(x.clone()), extra.clone()))
    assert digest(function) != digest(around(Holder(x + 1e-6), extra))
    assert digest(function) != digest(around(Holder(x), extra.double()))


@pytest.fixture
def spoilt(monkeypatch):
    """``made_wrong``, whose components are not there for other tests."""
    registry = manager().registry
    monkeypatch.setattr(registry, "_claims", {**registry._claims})
    return made_wrong


def made_wrong(above, method, found):
    """A registered component whose ``method`` gives ``found(what the right one gives)``."""
    name = f"spoilt_{method}_{len(list(manager().registry))}"
    wrong = staticmethod(found) if found is raises else None

    def replaced(self, *arguments):
        return found(getattr(above, method)(self, *arguments))

    manager().registry.add(
        type("Odd", (above,), {"name": name, method: wrong or replaced}),
        provider="odd (odd 1.0)",
        source="odd",
    )
    return name


OF_A_RUN = [
    (Batches, "samples", lambda f: None, "ddopt.Samples .*; it returned None"),
    (Batches, "samples", lambda f: list(f.terms), "ddopt.Samples .*; it returned a list of 1"),
    (Batches, "samples", lambda f: Samples((f.terms[0] + 37,)), "samples of D, 0 to 36"),
    (Batches, "samples", lambda f: Samples((f.terms[0] % 2 == 0,)), "integers .*torch.bool"),
    (Batches, "samples", lambda f: Samples((f.terms[0][:0],)), "at least one; .* none of a term"),
    (Batches, "samples", raises, r"samples\(\) raised KeyError: 'weights'"),
    (Batches, "draw", lambda f: None, "a whole number from 0; it returned None"),
    (Batches, "draw", lambda f: f / 2, "a whole number from 0; it returned 0.0"),
    (Batches, "observe", raises, r"observe\(\) raised KeyError: 'weights'"),
    (Regression, "measure", lambda f: None, "a dict of numbers by their names; it returned None"),
    (Regression, "measure", lambda f: {"error": torch.ones(())}, r"float\(...\) for 'error'; it"),
    (Regression, "measure", lambda f: {"error": "small"}, "for 'error'; it returned a str"),
    (Regression, "measure", raises, r"measure\(\) raised KeyError: 'weights'"),
    (Regression, "prepare", raises, r"prepare\(\) raised KeyError: 'weights'"),
    (Serial, "carry_out", lambda f: None, "what each asking returns, by subdomain; it returned No"),
    (Serial, "carry_out", lambda f: None if len(f) > 1 else f, "to its end, .*; it returned None"),
    (Serial, "carry_out", lambda f: {0: f[0]}, "to its end, .*; it returned a Answer for 0"),
    (Serial, "carry_out", lambda f: dict.fromkeys(f, 1.0) if len(f) > 1 else f, "returned 1.0 for"),
]


@pytest.mark.parametrize(("above", "method", "found", "message"), OF_A_RUN)
def test_what_a_run_is_given_is_told_in_a_sentence(spoilt, above, method, found, message):
    name = spoilt(above, method, found)
    table = {"problem": "regression", "stop": {"iterations": 2}, "output": {"figures": False}}
    chosen = {"name": name, "size": 15} if above is Batches else name
    table |= {"strategy": {"name": "sapts_d", "subdomains": 3}, above.seam: chosen}
    config = load_given(table, {})
    with pytest.raises(ValueError, match=message) as error:
        execute(config, None)
    assert f"{above.seam} '{name}' (class Odd of odd (odd 1.0))" in str(error.value)


class Seeded(Layers):
    """Takes note of its seed."""

    name = "seeded"
    seen = []  # noqa: RUF012

    def split(self, problem):
        self.seen.append(self.seed)
        return super().split(problem)


def test_a_decomposition_has_the_seed_of_the_run():
    manager().registry.add(Seeded, provider="odd (odd 1.0)", source="odd")
    for cut in ("seeded", {"name": "product", "samples": "data", "parameters": "seeded"}):
        Seeded.seen.clear()
        method = {"name": "sapts", "decomposition": cut, "recombination": "mean"}
        table = {"problem": "regression", "strategy": method, "seed": 5}
        table |= {"stop": {"iterations": 1}, "output": {"figures": False}}
        execute(load_given(table, {}), None)
        assert set(Seeded.seen) == {5}
