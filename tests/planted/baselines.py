"""Baselines with a defect, and what must be told."""

from __future__ import annotations

import numpy as np
from pydantic import Field

import ddopt
from ddopt.compare.baseline import Baseline
from ddopt.compare.descent import SGD


class Silent(Baseline):
    name = "odd"

    def minimise(self, f):
        f.at(f.start)
        return "done"


class Stuck(Baseline):
    name = "odd"

    def minimise(self, f):
        theta = f.start
        while True:
            f.iterate(theta, f.at(theta)[0])


class Elsewhere(SGD):
    name = "odd"

    def minimise(self, f):
        theta = f.start + 0.01
        while True:
            value, g = f.at(theta)
            f.iterate(theta, value)
            theta = theta - 0.01 * g


class Liar(Baseline):
    name = "odd"

    def minimise(self, f):
        theta, value = f.start.clone(), f.at(f.start)[0]
        for k in range(5):
            f.iterate(theta, value / (1 + k))
        return "done"


class Writing(Baseline):
    name = "odd"

    def minimise(self, f):
        while True:
            value, g = f.at(f.start)
            f.iterate(f.start, value)
            f.start -= 0.01 * g


class Wordless(Baseline):
    name = "odd"

    def minimise(self, f):
        theta = f.start
        for _ in range(5):
            value, g = f.at(theta)
            f.iterate(theta, value)
            theta = theta - 0.01 * g


class Dicing(Baseline):
    name = "odd"

    def minimise(self, f):
        theta, chance = f.start, np.random.default_rng()
        while True:
            value, g = f.at(theta)
            f.iterate(theta, value)
            theta = theta - 0.01 * chance.random() * g


class Rateless(Wordless):
    name = "odd"
    tuned = True

    def minimise(self, f):
        super().minimise(f)
        return "done"


BASELINES = {
    "tells nobody": (Silent, {}, "has told 0 iterates"),
    "stands still": (Stuck, {}, "f has not fallen"),
    "begins elsewhere": (Elsewhere, {}, "the first iterate must be f.start"),
    "tells other values": (Liar, {}, r"was told f\(θ\) ="),
    "writes over the start": (Writing, {}, "changed f.start in place"),
    "ends without a word": (Wordless, {}, "must say why"),
    "throws dice": (Dicing, {}, "other iterates the second time"),
    "has no rate": (Rateless, {}, "needs an option 'rate'"),
}


class Descent(Baseline):
    """Gradient descent, which derived classes get wrong."""

    name = "odd"

    def minimise(self, f):
        theta = self.first(f.start)
        for _ in range(10**4):
            value, g = self.evaluated(f, theta)
            f.iterate(theta, value)
            theta = theta - self.rate() * g
        return self.reason

    reason = "done"

    def first(self, theta):
        return theta

    def evaluated(self, f, theta):
        return f.at(theta)

    def rate(self):
        return 0.01


class Free(Descent):
    """Evaluates where nobody counts."""

    def evaluated(self, f, theta):
        point = f.task.problem.at(theta)
        return point.value, point.gradient


class Stubborn(Descent):
    """Catches whatever ends it."""

    def minimise(self, f):
        theta = f.start
        while True:
            try:
                value, g = f.at(theta)
                f.iterate(theta, value)
                theta = theta - 0.01 * g
            except Exception:
                continue


class Single(Descent):
    def first(self, theta):
        return theta.float()


class Mindful(Descent):
    """Remembers the runs before on its class."""

    runs = 0

    def minimise(self, f):
        Mindful.runs += 1
        return super().minimise(f)

    def rate(self):
        return 0.01 / self.runs


class Deaf(Descent):
    """Says that it has a rate, and takes another."""

    tuned = True

    class Config(ddopt.Settings):
        rate: float = Field(0.01, gt=0.0, description="learning rate")


class Mute(Descent):
    reason = ""

    def minimise(self, f):
        for theta in (f.start, f.start - 0.01 * f.at(f.start)[1]):
            f.iterate(theta, f.at(theta)[0])
        return self.reason


BASELINES |= {
    "evaluates for nothing": (Free, {}, "by f.task, for which nobody is charged"),
    "does not end": (Stubborn, {}, "goes on after f has raised Spent"),
    "in float32": (Single, {}, "takes a tensor like f.start, .* torch.float64; it was given"),
    "remembers on its class": (Mindful, {}, "other iterates the second time"),
    "makes no use of its rate": (Deaf, {}, "half the rate gives the same iterates"),
    "ends with an empty word": (Mute, {}, "must say why; it returned ''"),
}
