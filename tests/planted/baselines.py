"""Baselines with a defect, and what must be told."""

from __future__ import annotations

import numpy as np

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
