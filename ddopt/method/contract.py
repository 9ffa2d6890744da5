"""What components must return, checked once, where the engine takes it from them.

A component is somebody else's code. What it returns is looked at before anything is made of it, so
that a mistake is one sentence with its name, and neither an error of torch nor a wrong model. The
checks are of types, shapes and one length each: a step on a hundred numbers costs thousands of
times more.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddopt.acceptance.acceptance import Acceptance, Verdict
from ddopt.decomposition.decomposition import Decomposition, Subdomain, validate
from ddopt.evaluation.problem import Point, Problem, Samples
from ddopt.evaluation.question import Question
from ddopt.method.blame import blamed, broken, called, described, number
from ddopt.method.parts import GlobalPass, Parts, Preconditioner
from ddopt.radius import RadiusRule
from ddopt.recombination.recombination import Recombination, Recombined
from ddopt.setup.component import Settings
from ddopt.solver.solver import Answer, Solver
from ddopt.subproblem.subproblem import Candidate

if TYPE_CHECKING:
    from ddopt.evaluation.question import Asking
    from ddopt.numerics.space import Layout
    from ddopt.setup.component import Component

PARTS = {
    "decomposition": Decomposition,
    "recombination": Recombination,
    "acceptance": Acceptance,
    "radius": RadiusRule,
}
SLACK = 1e-3  # of a radius: steps are differences of points, which are rounded


def parts(strategy: Component, found: Any) -> Parts:
    """What ``Strategy.parts`` returned."""
    if not isinstance(found, Parts):
        raise broken(strategy, "parts()", "ddopt.Parts(preconditioner, global_pass)", found)
    for part, kind in ((found.preconditioner, Preconditioner), (found.global_pass, GlobalPass)):
        if part is not None and not isinstance(part, kind):
            wanted = f"ddopt.Parts whose {kind.__name__} is one, or None"
            raise broken(strategy, "parts()", wanted, part)
    if found.preconditioner is None and found.global_pass is None:
        raise broken(strategy, "parts()", "ddopt.Parts with at least one part", "neither")
    if found.preconditioner is not None:
        _preconditioner(strategy, found.preconditioner)
    if found.global_pass is not None and not isinstance(found.global_pass.solver, Solver):
        wanted = "a ddopt.GlobalPass whose solver is a ddopt.Solver"
        raise broken(strategy, "parts()", wanted, found.global_pass.solver)
    return found


def _preconditioner(strategy: Component, found: Preconditioner) -> None:
    """Whether every part is one of its seam."""
    for name, kind in PARTS.items():
        part = getattr(found, name)
        if not isinstance(part, kind):
            wanted = f"a ddopt.Preconditioner whose {name} is a ddopt.{kind.__name__}"
            raise broken(strategy, "parts()", wanted, part)
    options = found.solver
    if not (isinstance(options, Settings) and issubclass(options.component, Solver)):
        wanted = "a ddopt.Preconditioner whose solver is the options of one, Mine.Config(...): "
        wanted += "each subdomain builds a solver of its own"
        raise broken(strategy, "parts()", wanted, options)
    if not (number(found.first_radius) and found.first_radius > 0.0 and found.iterations >= 1):
        wanted = "a ddopt.Preconditioner with a first_radius above 0 and at least one iteration"
        shown = f"{found.first_radius!r} and {found.iterations!r}"
        raise broken(strategy, "parts()", wanted, shown)


def subdomains(
    decomposition: Component, found: Any, n: int, sizes: list[int] | None
) -> list[Subdomain]:
    """What ``Decomposition.split`` returned: as many, and of the same ``sizes``, as before."""
    wanted = "a list of ddopt.Subdomain, numbered 0..N-1"
    if not isinstance(found, (list, tuple)) or not found:
        raise broken(decomposition, "split()", wanted, found)
    for place, subdomain in enumerate(found):
        if not isinstance(subdomain, Subdomain):
            raise broken(decomposition, "split()", wanted, f"a list with {described(subdomain)}")
        if subdomain.index != place:
            numbers = [one.index for one in found]
            raise broken(decomposition, "split()", wanted, f"the numbers {numbers}")
    if sizes is not None and (now := [one.size(n) for one in found]) != sizes:
        wanted = "as many subdomains, of the same sizes, in every iteration"
        raise broken(decomposition, "split()", wanted, f"{now} parameters, after {sizes}")
    return list(found)


def covered(decomposition: Component, found: list[Subdomain], problem: Problem) -> torch.Tensor:
    """Which parameters the first subdomains move, shape (n,), if all of them can be solved.

    Their indices are some of the parameters, their samples some of D, their weights shares of it.
    """
    try:
        moved = validate(found, problem.layout.size)
    except ValueError as error:
        raise ValueError(f"{called(decomposition)}: {error}") from None
    given, full = [one for one in found if one.samples is not None], problem.samples
    for one in given:
        own = one.samples
        wanted = "samples of the problem, as ddopt.Samples with a tensor for each of its terms"
        right = isinstance(own, Samples) and full is not None
        if not right or len(own.terms) != len(full.terms) or not len(own):  # type: ignore[union-attr,arg-type]
            raise broken(decomposition, "split()", wanted, own)
        for term, all_of_it in zip(own.terms, full.terms, strict=True):  # type: ignore[union-attr]
            if not bool(torch.isin(term, all_of_it).all()):
                raise broken(decomposition, "split()", wanted, f"others in subdomain {one.index}")
    for one in found:
        _prolonged(decomposition, one, problem.layout)
    weights = [one.weight for one in found]
    if not all(number(weight) and 0.0 < weight < math.inf for weight in weights):
        wanted = "subdomains whose weight is a positive number, a float"
        raise broken(decomposition, "split()", wanted, f"the weights {weights!r:.80}")
    everywhere = all(one.samples is not None and one.indices is None for one in found)
    if everywhere and set(weights) != {1.0} and abs(sum(weights) - 1.0) > 1e-6:
        wanted = "weights that add up to 1, the shares of D that the subdomains stand for"
        raise broken(decomposition, "split()", wanted, f"weights that add up to {sum(weights):g}")
    return moved


def _prolonged(decomposition: Component, subdomain: Subdomain, layout: Layout) -> None:
    """Whether an author's own ``prolong`` makes a step of a subdomain one of all parameters."""
    if type(subdomain).prolong is Subdomain.prolong:
        return
    n, method = layout.size, "prolong() of its subdomains"
    ones = torch.ones(subdomain.size(n), dtype=layout.dtype, device=layout.device)
    with blamed(decomposition, method):
        found = subdomain.prolong(ones, n)
    _vector(decomposition, method, "a step", found, layout)
    if not 0.0 < float(found.abs().max()) < math.inf:
        wanted = "the step at the places of its parameters, weighted or not"
        raise broken(decomposition, method, wanted, "zeros, or what is not finite, for ones")


def solved(
    solver: Solver, problem: Problem, start: Point, ball: float, iterations: int, norm: str = "2"
) -> Asking[Answer]:
    """Ask what ``Solver.iterate`` asks, and look at its answer; it leaves its start where it is."""
    before = start.theta._version
    with blamed(solver, "iterate()"):
        asking = solver.iterate(problem, start, ball, iterations)
        if not isinstance(asking, Generator):
            wanted = "a generator, which yields questions and returns a ddopt.Answer"
            raise broken(solver, "iterate()", wanted, asking)
        found = yield from _questions(solver, asking)
    if start.theta._version != before:
        raise ValueError(
            f"{called(solver)}: iterate() changed start.theta in place; θ is the engine's, which "
            "may have to come back to it: make a new vector, theta + step"
        )
    return answer(solver, found, problem, ball, norm)


def answers(executor: Component, found: Any, wanted: list[int]) -> dict[int, Answer]:
    """What ``Executor.carry_out`` returned for the local solves of these subdomains."""
    right = isinstance(found, dict) and sorted(found) == sorted(wanted)
    if not right or not all(isinstance(one, Answer) for one in found.values()):
        shown = found
        if isinstance(found, dict):
            shown = ", ".join(f"{described(one)} for {d}" for d, one in found.items()) or "none"
        asked = f"what each asking of the subdomains {wanted} returns when it has been answered"
        raise broken(executor, "carry_out()", f"{asked} to its end, by subdomain", shown)
    return dict(found)


def _questions(solver: Component, asking: Asking[Any]) -> Asking[Any]:
    """Hand on what a solver asks, if a problem can answer it: an executor cannot tell who asked."""
    told = None
    while True:
        try:
            question = asking.send(told)
        except StopIteration as end:
            return end.value
        if not isinstance(question, Question):
            wanted = "a generator of questions, such as Both(problem, theta)"
            raise broken(solver, "iterate()", wanted, f"one that yields {described(question)}")
        problem, theta = question.problem, getattr(question, "theta", None)
        kind = type(question).__name__
        if not isinstance(problem, Problem):
            wanted = f"a generator whose {kind} is about a problem, its own or a part of it"
            raise broken(solver, "iterate()", wanted, f"one that asks about {described(problem)}")
        shape = (problem.layout.size,)
        if hasattr(question, "theta") and (
            not isinstance(theta, torch.Tensor) or theta.shape != shape
        ):
            wanted = f"a generator whose {kind} has a theta of shape {shape}"
            raise broken(solver, "iterate()", wanted, f"one with {described(theta)}")
        told = yield question


def answer(solver: Component, found: Any, problem: Problem, ball: float, norm: str) -> Answer:
    """What ``Solver.iterate`` returned for a problem, in a ball."""
    if not isinstance(found, Answer):
        raise broken(solver, "iterate()", "a ddopt.Answer", found)
    _vector(solver, "iterate()", "Answer.step", found.step, problem.layout)
    if not number(found.decrease):
        raise broken(solver, "iterate()", "a number as Answer.decrease", repr(found.decrease))
    if not isinstance(found.end, Point):
        raise broken(solver, "iterate()", "a ddopt.Point as Answer.end", found.end)
    counts = (found.accepted, found.rejected)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        wanted = "Answer.accepted and Answer.rejected as counts of iterations"
        raise broken(solver, "iterate()", wanted, f"{counts}")
    if math.isfinite(ball) and not problem.geometry.sharded:
        known = found.length if norm == "2" else None
        length = problem.geometry.length(found.step, norm) if known is None else known()
        reach = (1.0 + SLACK) * ball
        if not length <= reach and not length <= reach + rounding(problem.layout, found.end.theta):
            wanted = f"a step that is at most {ball:g} long, the ball that it was given"
            raise broken(solver, "iterate()", wanted, f"one of length {length:g}")
    return found


def rounding(layout: Layout, theta: torch.Tensor) -> float:
    """How far the rounding of points moves a step that is the difference of two of them."""
    largest = float(theta.abs().max()) if theta.numel() else 0.0
    return 4.0 * torch.finfo(layout.dtype).eps * math.sqrt(layout.size) * largest


def candidate(
    subproblem: Component, found: Any, gradient: torch.Tensor, radius: float
) -> Candidate:
    """What ``Subproblem.solve`` returned for a model with this gradient (n,)."""
    if not isinstance(found, Candidate):
        raise broken(subproblem, "solve()", "a ddopt.Candidate", found)
    step = found.step
    right = isinstance(step, torch.Tensor) and step.shape == gradient.shape
    if not right or step.dtype != gradient.dtype:
        shape = tuple(gradient.shape)
        wanted = f"a Candidate whose step is a tensor of shape {shape} and {gradient.dtype}"
        raise broken(subproblem, "solve()", wanted, step)
    if not (number(found.predicted) and number(found.norm)):
        wanted = "numbers as Candidate.predicted and Candidate.norm"
        raise broken(subproblem, "solve()", wanted, f"{found.predicted!r}, {found.norm!r}")
    if found.norm > (1.0 + SLACK) * radius:
        wanted = f"a step of norm at most {radius:g}, the radius that it was given"
        raise broken(subproblem, "solve()", wanted, f"one of norm {found.norm:g}")
    return found


def recombined(recombination: Component, found: Any, layout: Layout) -> Recombined:
    """What ``Recombination.combine`` returned for vectors of a ``layout``."""
    if not isinstance(found, Recombined):
        raise broken(recombination, "combine()", "ddopt.Recombined(step, predicted)", found)
    if not number(found.predicted):
        wanted = "a number as Recombined.predicted"
        raise broken(recombination, "combine()", wanted, found.predicted)
    if found.step is not None:
        _vector(recombination, "combine()", "Recombined.step", found.step, layout)
    elif found.found is None:
        wanted = "a step, or the point that it has found"
        raise broken(recombination, "combine()", wanted, "neither")
    return found


def contained(
    recombination: Component, length: float, radius: float, layout: Layout, theta: torch.Tensor
) -> None:
    """Whether the recombined step, of a ``length``, from θ (n,), stays in the radius."""
    if length <= (1.0 + SLACK) * radius:
        return
    if math.isnan(length):
        raise broken(recombination, "combine()", "a step of finite numbers", "one with NaN")
    if not length <= (1.0 + SLACK) * radius + rounding(layout, theta):
        raise ValueError(
            f"{called(recombination)}: its step is {length:g} long, and the radius is {radius:g}. "
            "Its method ball() says how far each subdomain may go so that combine() stays in the "
            "radius: Δ/N for a sum of N steps; write it, or let combine() shorten the step"
        )


def ball(recombination: Component, found: Any) -> float:
    """What ``Recombination.ball`` returned."""
    if not (number(found) and found > 0.0):
        raise broken(recombination, "ball()", "a positive number", found)
    return float(found)


def verdict(acceptance: Component, found: Any) -> Verdict:
    """What ``Acceptance.consider`` returned."""
    wanted = "a ddopt.Verdict(accepted, ratio), the ratio a number"
    if not isinstance(found, Verdict) or not number(found.ratio):
        raise broken(acceptance, "consider()", wanted, getattr(found, "ratio", found))
    if not isinstance(found.accepted, (bool, np.bool_)):
        raise broken(acceptance, "consider()", f"{wanted}, accepted a bool", found.accepted)
    return found


def radius(rule: Component, found: Any, before: float) -> float:
    """What ``RadiusRule.update`` returned; no bound on steps (infinity) may stay one."""
    if not (number(found) and found >= 0.0 and (found < math.inf or before == math.inf)):
        raise broken(
            rule,
            "update()",
            "the next radius, a finite number that is not negative",
            described(found),
        )
    return float(found)


def _vector(component: Component, method: str, what: str, found: Any, layout: Layout) -> None:
    shape = (layout.size,)
    right = isinstance(found, torch.Tensor) and found.shape == shape
    if not right or found.dtype != layout.dtype or found.device.type != layout.device.type:
        wanted = f"{what} as a tensor of shape {shape} and {layout.dtype} on {layout.device}"
        raise broken(component, method, wanted, found)
