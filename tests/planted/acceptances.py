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
    "ratio is a tensor": (Monotone, {"ratio": tensor_ratio}, "the ratio a number"),
    "ratio is None": (Monotone, {"ratio": lambda *a: None}, "it raised TypeError"),
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
