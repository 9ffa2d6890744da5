"""Hessians with a defect, and what must be told."""

from __future__ import annotations

import math

import torch

import ddopt
from ddopt.hessian.lsr1 import LSR1
from ddopt.hessian.none import NoCurvature
from tests.planted.spoil import (
    BUFFER,
    RANDOM,
    RANKS,
    RESUMED,
    in_place,
    kept,
    raises,
    rank,
)


def model(product, gradient=None):
    """A Hessian whose model multiplies by another B."""

    class Wrong(ddopt.Model):
        def __init__(self, right):
            self.right = right
            self.gradient = right.gradient if gradient is None else gradient(right.gradient)

        def mv(self, vector):
            return product(self.right.mv(vector), vector, self)

    return {"model": lambda f, s, p, point: Wrong(f)}


class Dense(ddopt.Hessian):
    """B as a matrix, learnt by symmetric rank-one updates."""

    name = "odd"
    matrix = None

    def update(self, s, y):
        before = 0.0 if self.matrix is None else self.matrix
        rest = y if self.matrix is None else y - self.matrix @ s
        if float(rest @ s) != 0.0:
            self.matrix = before + torch.outer(rest, rest) / float(rest @ s)

    def model(self, problem, point):
        found = Multiplying()
        n = len(point.theta)
        found.gradient = point.gradient
        found.matrix = torch.zeros(n, n) if self.matrix is None else self.matrix
        return found

    def reset(self):
        self.matrix = None

    def state_dict(self):
        return {} if self.matrix is None else {"matrix": self.matrix}

    def load_state_dict(self, state):
        self.matrix = state.get("matrix")


class Multiplying(ddopt.Model):
    def mv(self, vector):
        return self.matrix.to(vector) @ vector


class Forgetful(LSR1):
    name = "odd"

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Loose(LSR1):
    """Keeps the pairs that it is given, and takes them in when a model is wanted."""

    name = "odd"

    def __init__(self, config=None, **options):
        super().__init__(config, **options)
        self.waiting = []

    def update(self, s, y):
        self.waiting.append((s, y))

    def model(self, problem, point):
        for pair in self.waiting:
            super().update(*pair)
        self.waiting = []
        return super().model(problem, point)


class Hoarder(NoCurvature):
    name = "odd"

    def __init__(self, config=None, **options):
        super().__init__(config, **options)
        self.points = []

    def model(self, problem, point):
        self.points.append(point)
        return super().model(problem, point)


class Flipped(Dense):
    name = "odd"

    def update(self, s, y):
        super().update(s, -y)


class Swapped(Dense):
    name = "odd"

    def update(self, s, y):
        super().update(y, s)


class Deaf(Dense):
    name = "odd"

    def update(self, s, y):
        pass


class Adding(LSR1):
    name = "odd"

    def update(self, s, y):
        s /= s.norm()
        super().update(s, y)


class Unforgetting(LSR1):
    name = "odd"

    def reset(self):
        pass


HESSIANS = {
    "forgets": (Forgetful, {}, RESUMED),
    "learns nothing": (Deaf, {}, "teaches it nothing"),
    "flips the secant": (Flipped, {}, "sign of y"),
    "swaps s and y": (Swapped, {}, "s and y are in each other's place"),
    "mutates s": (Adding, {}, r"update\(\) changed s in place"),
    "keeps points": (Hoarder, {}, "it keeps 8 of 8 points"),
    "keeps s and y": (Loose, {}, "keeps the tensors s and y"),
    "reset without effect": (Unforgetting, {}, r"after reset\(\) the model"),
    "is not symmetric": (LSR1, model(lambda b, v, m: b + v.roll(1)), "B must be symmetric"),
    "is not linear": (LSR1, model(lambda b, v, m: b * v.norm()), "B must be linear"),
    "another gradient": (
        LSR1,
        model(lambda b, v, m: b, lambda g: -g),
        "gradient must be the point's",
    ),
    "returns float32": (LSR1, model(lambda b, v, m: b.float()), "must give a tensor of shape"),
    "returns a matrix": (LSR1, model(lambda b, v, m: b[:, None]), "must give a tensor of shape"),
    "returns NaN": (LSR1, model(lambda b, v, m: b * math.nan), "NaN"),
    "mutates v": (
        LSR1,
        model(lambda b, v, m: [v.mul_(2.0), b][1]),
        r"mv\(\) changed vector in place",
    ),
    "no model": (LSR1, {"model": lambda f, s, p, point: None}, "must return a ddopt.Model"),
    "mutates θ": (
        LSR1,
        {"model": lambda f, s, p, point: in_place("theta", f, point)},
        r"model\(\) changed theta in place",
    ),
    "draws": (LSR1, model(lambda b, v, m: b * (1 + 1e-6 * torch.rand(()))), RANDOM),
    "differs by rank": (LSR1, model(lambda b, v, m: b * (1 + rank())), RANKS),
    "raises": (LSR1, {"model": raises}, "it raised KeyError"),
    "keeps a buffer": (
        LSR1,
        {"model": lambda f, s, p, point: Buffered(f, s)},
        BUFFER,
    ),
}


class Buffered(ddopt.Model):
    def __init__(self, right, owner):
        self.right, self.owner, self.gradient = right, owner, right.gradient

    def mv(self, vector):
        return kept(self.right.mv(vector), self.owner)


class Scalar(Dense):
    """B = (yᵀy / sᵀy) I, whatever sᵀy is."""

    name = "odd"

    def update(self, s, y):
        self.matrix = (y @ y / (s @ y)) * torch.eye(len(s), dtype=s.dtype)


class Replacing(LSR1):
    name = "odd"

    def model(self, problem, point):
        point.gradient.mul_(2.0)
        return super().model(problem, point)


HESSIANS |= {
    "divides by what may be 0": (Scalar, {}, r"along which f is flat \(y = 0 s\) mv"),
    "writes over the gradient": (Replacing, {}, r"model\(\) changed gradient in place"),
}
