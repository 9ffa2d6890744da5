"""Acceptance policies with a defect, and what must be told."""

from __future__ import annotations

import time

import torch

import ddopt
from ddopt.acceptance.monotone import Monotone
from ddopt.acceptance.window import Window
from tests.planted.spoil import (
    RANDOM,
    RANKS,
    RESUMED,
    UNSEEDED,
    raises,
    rank,
)


class Vague(Window):
    """A window that does not take its state back."""

    name = "odd"

    def load_state_dict(self, state):
        pass


def tensor_ratio(found, self, value, trial, predicted):
    return torch.tensor(found)


ACCEPTANCES = {
    "ratio is a tensor": (
        Monotone,
        {"ratio": tensor_ratio},
        r"ratio\(\) must return a number; it returned a tensor",
    ),
    "ratio is None": (
        Monotone,
        {"ratio": lambda *a: None},
        r"ratio\(\) must return a number; it returned None",
    ),
    "takes everything": (Monotone, {"ratio": lambda *a: 1.0}, "a thousand times as high"),
    "takes nothing": (Monotone, {"ratio": lambda *a: 0.0}, "must be taken; it got the ratio 0"),
    "flips the sign": (Monotone, {"ratio": lambda f, s, *a: -f}, "must be taken"),
    "takes NaN": (
        Monotone,
        {"judge": lambda f, s, v, t, p: ddopt.Verdict(not t > 100 * v, f.ratio)},
        "a trial of nan must be refused",
    ),
    "returns a bool": (Monotone, {"judge": lambda f, s, *a: f.accepted}, "ddopt.Verdict"),
    "takes points without a gradient": (
        Monotone,
        {
            "consider": lambda f, s, p, point, trial, pred, r: s.judge(
                point.value, trial.value, pred
            )
        },
        "whose gradient is not finite must be refused",
    ),
    "draws": (
        Monotone,
        {"ratio": lambda f, s, *a: f * float(1 + 1e-9 * torch.rand(()))},
        RANDOM,
    ),
    "follows the clock": (
        Monotone,
        {"ratio": lambda f, s, *a: f * (1 + 1e-9 * (time.perf_counter_ns() % 997))},
        UNSEEDED,
    ),
    "forgets": (Vague, {}, RESUMED),
    "raises": (Monotone, {"ratio": raises}, "it raised KeyError"),
    "differs by rank": (Monotone, {"ratio": lambda f, s, *a: f * (1 + 1e-9 * rank())}, RANKS),
}


class Stubborn(Window):
    """A window whose reset does nothing."""

    name = "odd"

    def reset(self):
        pass


ACCEPTANCES["reset without effect"] = (Stubborn, {}, "after reset")


class Chosen(Monotone):
    """A verdict of the author's own."""

    name = "odd"

    def judge(self, value, trial, predicted):
        return self.verdict(value, trial, (value - trial) / predicted)


class Boolean(Chosen):
    @staticmethod
    def verdict(value, trial, ratio):
        return ddopt.Verdict(torch.tensor(ratio > 0.1), ratio)


class Simple(Chosen):
    @staticmethod
    def verdict(value, trial, ratio):
        return ddopt.Verdict(trial <= value, ratio)


ACCEPTANCES |= {
    "accepted is a tensor": (Boolean, {}, "accepted a bool; it returned a tensor"),
    "ignores its threshold": (Simple, {}, "and its option threshold is 0.0001"),
    "a ratio with a unit": (
        Monotone,
        {"ratio": lambda f, s, value, trial, predicted: value - trial},
        "where f is 1024 times as large",
    ),
    "a ratio in words": (Monotone, {"ratio": lambda *a: "good"}, "a number; it returned a str"),
}
