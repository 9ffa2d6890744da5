"""Values and gradients that are none, once or more, in every method: rejected, and forgotten."""

from __future__ import annotations

import math

import torch

from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.problem import Samples
from ddopt.numerics.space import Layout
from tests.test_not_finite import COUNT, ROWS, SIZE, SOLVERS, STRATEGIES, TARGET, engine

ABSURD = (math.nan, math.inf, -math.inf, 1e30, -1e30, 1e100, 1e150, 1e200, -1e250, 1e300)


class Spoiled(torch.autograd.Function):
    """A value times a factor, and a gradient of which entries are replaced."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, entry, bad):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.entry, ctx.bad = inputs

    @staticmethod
    def backward(ctx, g):
        at = torch.arange(g.shape[-1]) == ctx.entry
        return torch.where(at | (ctx.entry < 0), torch.full_like(g, ctx.bad), g), None, None


class Faulty(AutogradProblem):
    """Mean squares in which chosen evaluations, counted over all parts, go wrong."""

    def __init__(self, when, where: str, entry: int, bad: float) -> None:
        self.when, self.where, self.entry, self.bad = when, where, entry, bad
        self.calls = [0]
        layout = Layout(("a", "b"), (torch.Size([SIZE // 2]),) * 2)
        super().__init__(layout, self._squares, Samples.all(COUNT))

    def _errors(self, named, index):
        self.calls[0] += 1
        x, wrong = torch.cat([named["a"], named["b"]]), self.calls[0] in self.when
        if wrong and self.where == "gradient":
            x = Spoiled.apply(x, self.entry, self.bad)
        found = torch.tanh(ROWS[index] @ x) - TARGET[index]
        if wrong and self.where == "residual":
            found = torch.where(
                torch.arange(len(found)) == self.entry % len(found), self.bad, found
            )
        return found

    def _squares(self, named, samples):
        errors = self._errors(named, samples.terms[0])
        return (errors.square().sum(),)

    def residuals(self, theta):
        index = self.samples.terms[0]
        return self._errors(self.named(theta), index) / len(index) ** 0.5


def attempt(random, place, references) -> None:
    """A few faulty evaluations in a run of 15 iterations; the loss falls all the same."""
    strategy, solver = random.choice(list(STRATEGIES)), random.choice(list(SOLVERS))
    where, bad = random.choice(["gradient", "residual"]), random.choice(ABSURD)
    first = random.randrange(4, 60)
    when = {first + k for k in range(random.choice([1, 1, 1, 2, 5]))}
    entry = random.choice([-1, *range(SIZE)]) if where == "gradient" else random.randrange(COUNT)
    told = f"{strategy}, {solver}: {bad} in the {where}, entry {entry}, evaluations {sorted(when)}"
    clean = Faulty((), where, entry, bad)
    problem = Faulty(when, where, entry, bad)
    made = engine(problem, STRATEGIES[strategy], solver)
    before = clean.at(made.point.theta)
    try:
        for _ in range(15):
            made.step(problem)
    except Exception as error:
        raise AssertionError(f"{told}: {type(error).__name__}: {error}") from error
    theta = made.point.theta
    assert bool(theta.isfinite().all()), f"{told}: the parameters are not finite"
    value = clean.at(theta).value
    assert value == made.point.value, f"{told}: {made.point.value} is kept for {value}"
    assert value < 0.9 * before.value, f"{told}: {before.value} has only come to {value}"
