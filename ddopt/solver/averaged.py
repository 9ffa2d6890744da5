"""A walk on micro-batches without a learning rate, and the mean of its path."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.evaluation.question import Both
from ddopt.setup.component import Settings
from ddopt.solver.course import Course
from ddopt.solver.decay import Decay
from ddopt.solver.distance import EVERY, Distance, copied
from ddopt.solver.micro import micro_batches
from ddopt.solver.solver import Answer, Solver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.evaluation.question import Asking
    from ddopt.numerics.reading import Number
    from ddopt.numerics.space import Layout


class WalkSettings(Settings):
    """Micro-batches, momentum, and the mean."""

    batch: int = Field(32, ge=1, description="samples of a micro-batch")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="decay of the mean gradient")
    first_length: float = Field(
        1e-4, gt=0.0, description="root mean square of the first step; it grows by itself"
    )
    averaging: float = Field(
        9.0, ge=0.0, description="p: the larger, the shorter the mean over the path"
    )
    decay: float = Field(
        0.0,
        ge=0.0,
        description="weight decay holds each matrix in a ball, whose radius is that of the first "
        "weights (root mean square) over this; 0: none; 0.5 for many passes over few images",
    )


class AveragedWalk(Solver):
    """x ← x − d·O(g), θ ← θ + c_j (x − θ): a direction O, its adapted length d, the mean path θ.

    One iteration is a pass over the samples in micro-batches; ``decrease`` is what the gradients
    promised. The answer is the mean θ of the fast iterates x, with weights that grow with j as
    c_j = (p + 1)/(j + p) has them (Shamir and Zhang, ICML 2013, section 4): a mean over about the
    last j/p steps takes the place of a learning rate that decays. x is kept for the next call, as
    its distance to the end, and forgotten when the end was rejected, or when x has gone where f or
    its gradient is not finite; d is then halved. A walk whose values say that it is lost, or goes
    round and round (`Course`), begins again at its mean with half of d.
    """

    stochastic = True
    distance: Distance
    course: Course
    decay: Decay
    ahead: torch.Tensor | None = None  # x − θ, shape: (n_d,)
    steps: int
    passes: int
    lost = False  # whether the last walk ended where f, or its gradient, is not finite

    def __init__(self, config: Any = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.reset()

    @abstractmethod
    def direction(self, layout: Layout, g: torch.Tensor) -> torch.Tensor:
        """O(g), shape (n_d,), of root mean square about 1; may remember g."""

    @abstractmethod
    def steepest(self, layout: Layout, u: torch.Tensor) -> torch.Tensor:
        """The step of length 1, in the norm of the directions, along which <u, .> grows most."""

    @property
    def radius(self) -> float:
        """The length of the steps."""
        return self.distance.d

    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int
    ) -> Asking[Answer]:
        """Walk; length, momentum and fast iterate are kept for the next call."""
        x = start.theta.clone()  # it moves in place, and so does θ: nothing is allocated on the way
        if self.ahead is not None:
            x += self.ahead
        self.decay.begin(problem.layout, x)
        theta, taken = start.theta.clone(), 0
        promises: list[tuple[float, Number]] = []  # of every tenth step: 10 d, and <g, O(g)>
        good, gained = theta.clone(), 0  # the mean path at the lowest values, after so many
        self.lost = False
        for f in self._functions(problem, iterations):
            point: Point = yield Both(f, x)
            g, layout, geometry = point.gradient, f.layout, f.geometry
            reach = self.distance.reach(x, g, geometry)  # read with the value
            if not math.isfinite(point.value):
                self.lost = True
                break
            found = self.course.passed(point.value)
            if found == "lost":
                theta.copy_(good)
                del promises[gained:]
            if found in ("lost", "stalled"):
                x.copy_(theta)
                self._begin_again()
                continue
            if found == "lowest":
                good.copy_(theta)
                gained = len(promises)
            if not self.distance.update(g, reach(), geometry, partial(self.steepest, layout)):
                self.lost = True
                break
            along = self.direction(layout, g)
            if taken % EVERY == 0:
                promises.append((EVERY * self.distance.d, geometry.estimate(g, along)))
                self.decay.shrink(layout, x, self.distance.d, EVERY)
            x.sub_(along, alpha=self.distance.d)
            taken += 1
            self.steps += 1
            theta.lerp_(x, (self.config.averaging + 1.0) / (self.steps + self.config.averaging))
        self.ahead = x - theta
        step = theta - start.theta
        if math.isfinite(ball) and (length := problem.geometry.norm(step)) > ball:
            step = step * (ball / length)
        # Nobody has evaluated the end; the judge will.
        promised, least = 0.0, math.ulp(0.0)
        for d, promise in promises:
            promised += d * promise()
        return Answer(step, max(promised, least), start, taken)

    def _functions(self, problem: Problem, iterations: int) -> Iterator[Problem]:
        for _ in range(iterations):
            yield from micro_batches(problem, self.config.batch, self.passes)
            self.passes += 1

    def judged(self, accepted: bool) -> None:
        """After a rejected end or a lost way: shorter steps, from where the walk ended or began."""
        if accepted and not self.lost:
            return
        if self.lost:
            self._begin_again()
        else:  # the few samples of a judge may err, so the bound may raise the length again
            self.distance.d *= 0.5
            self.forget()
        self.ahead = None

    def _begin_again(self) -> None:
        """With shorter steps, and without momentum."""
        self.distance.shorten()
        self.course.change()
        self.forget()

    @abstractmethod
    def forget(self) -> None:
        """Drop the momentum."""

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the vectors."""
        self.distance.prepare(like)
        self.ahead = torch.zeros_like(like)

    def reset(self) -> None:
        """Forget everything: the problem has changed."""
        self.distance = Distance(self.config.first_length)
        self.course = Course()
        self.decay = Decay(self.config.decay)
        self.ahead = None
        self.steps = self.passes = 0
        self.forget()

    def state_dict(self) -> dict[str, Any]:
        """Length, fast iterate, and their counts."""
        state = {"distance": self.distance.state_dict(), "steps": self.steps, "passes": self.passes}
        state["course"] = self.course.state_dict()
        state["decay"] = self.decay.state_dict()
        return state if self.ahead is None else {**state, "ahead": self.ahead}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.distance.load_state_dict(state["distance"])
        self.course.load_state_dict(state["course"])
        self.decay.load_state_dict(state["decay"])
        self.steps, self.passes = int(state["steps"]), int(state["passes"])
        self.ahead = copied(state, "ahead")
