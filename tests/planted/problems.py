"""Problems with a defect, and what must be told."""

from __future__ import annotations

import os

import torch
from torch.func import functional_call

import ddopt
from ddopt.numerics.space import Parameters
from ddopt.testing.problems import network
from tests.planted.spoil import (
    RANDOM,
    raises,
)


class Sine(ddopt.Task):
    """A small network that learns sin 3x."""

    name = "odd"

    def prepare(self, setting):
        self.seen = 0
        kind = {"device": setting.device, "dtype": self.kind(setting)}
        self.net = network(width=5, inputs=1, seed=setting.seed).to(**kind)
        self.x = self.points(setting).to(**kind)
        self.y = torch.sin(3 * self.x)
        parameters = Parameters(self.net.named_parameters())
        samples = ddopt.Samples.all(len(self.x))
        self.problem = ddopt.AutogradProblem(parameters.layout, self.sums, samples)
        self.initial = self.first(parameters.read())

    def kind(self, setting):
        return setting.dtype

    def points(self, setting):
        return torch.linspace(-1, 1, 30)[:, None]

    def first(self, theta):
        return theta

    def sums(self, named, samples):
        i = samples.terms[0]
        u = functional_call(self.net, dict(named), (self.x[i],))
        return (((u - self.y[i]) ** 2).sum(),)


def counting(found, self, named, samples):
    self.seen += 1
    return (found[0] * (1 + 1e-9 * self.seen),)


def detached(found, self, named, samples):
    named = {key: value.detach() if "0." in key else value for key, value in named.items()}
    return Sine.sums(self, named, samples)


def of_module(found, self, named, samples):
    i = samples.terms[0]
    return (((self.net(self.x[i]) - self.y[i]) ** 2).sum(),)


class Growing(Sine):
    """Two problems, and no word in its state about which."""

    def proceed(self, theta):
        x = torch.linspace(-2, 2, 40, dtype=self.x.dtype)[:, None]
        self.x, self.y = x, torch.sin(3 * x)
        self.problem = ddopt.AutogradProblem(
            self.problem.layout, self.sums, ddopt.Samples.all(len(x))
        )
        return theta


TASKS = {
    "parameters without a seed": (
        Sine,
        {"first": lambda f, s, t: torch.rand_like(t)},
        "same first parameters; prepare.. draws",
    ),
    "samples without a seed": (
        Sine,
        {"points": lambda f, s, x: torch.rand(30, 1)},
        "same loss; prepare.. draws",
    ),
    "ignores dtype": (
        Sine,
        {"kind": lambda f, s, x: torch.float64},
        "setting.dtype is torch.float32, and layout",
    ),
    "initial of another dtype": (Sine, {"first": lambda f, s, t: t.float()}, "and initial has"),
    "initial of another shape": (Sine, {"first": lambda f, s, t: t[:3]}, "its layout has"),
    "the mean in the place of the sum": (
        Sine,
        {"sums": lambda f, s, n, samples: (f[0] * 30 / len(samples),)},
        "must return the sum",
    ),
    "a loss that counts": (Sine, {"sums": counting}, "function of theta alone"),
    "a gradient that is cut": (Sine, {"sums": detached}, "the gradient says"),
    "the module's parameters": (
        Sine,
        {"sums": of_module},
        "the loss does not depend on the parameters",
    ),
    "measures tensors": (
        Sine,
        {"measure": lambda f, s, t: {"error": t.norm()}},
        "convert it by float",
    ),
    "measures nothing": (Sine, {"measure": lambda f, s, t: None}, "must return a dict"),
    "measuring moves θ": (
        Sine,
        {"measure": lambda f, s, t: [t.add_(1.0), {}][1]},
        "changed theta in place",
    ),
    "differs by rank": (
        Sine,
        {"first": lambda f, s, t: t + 1e-9 * (os.getpid() % 7919)},
        "two processes",
    ),
    "draws in the loss": (
        Sine,
        {"sums": lambda f, s, n, samples: (f[0] * (1 + 1e-9 * torch.rand(())),)},
        RANDOM,
    ),
    "prepares nothing": (
        Sine,
        {"prepare": lambda f, s, x: delattr(s, "problem")},
        "it has not set problem",
    ),
    "does not say where it is": (Growing, {}, "load_state_dict.. must set the problem"),
    "raises": (Sine, {"sums": raises}, "it raised KeyError"),
}


class Silent(Sine):
    name = "odd"

    class Config(ddopt.Settings):
        width: int = 5


def summed(spoil):
    return Sine, {"sums": lambda found, self, named, samples: spoil(found[0], samples)}


TERMS = "a 0-d tensor of real numbers, for each of its 1 term"


TASKS |= {
    "a loss for each sample": (*summed(lambda f, i: (torch.stack([f, f]),)), TERMS),
    "no tuple": (*summed(lambda f, i: f), f"{TERMS}.* no tuple"),
    "a term too many": (*summed(lambda f, i: (f, f)), TERMS),
    "a float": (*summed(lambda f, i: (f.item(),)), f"{TERMS}.* a tuple .float."),
    "complex numbers": (*summed(lambda f, i: (f * 1j,)), TERMS),
    "detached": (*summed(lambda f, i: (f.detach(),)), "the loss does not depend on the param"),
    "NaN": (*summed(lambda f, i: (f * torch.nan,)), "must be a finite number; it is nan"),
    "turns the samples round": (
        *summed(lambda f, i: [i.terms[0].copy_(i.terms[0].flip(0)), (f,)][1]),
        r"changed samples.terms\[0\] in place",
    ),
    "initial wants a gradient": (
        Sine,
        {"first": lambda f, s, t: t.requires_grad_()},
        "must be a plain vector of numbers",
    ),
    "initial is a list": (Sine, {"first": lambda f, s, t: t.tolist()}, "self.initial is a list"),
    "initial is NaN": (Sine, {"first": lambda f, s, t: t * torch.nan}, "self.initial has NaN"),
    "measuring draws": (
        Sine,
        {"measure": lambda f, s, t: {"error": float(torch.rand(()))}},
        RANDOM,
    ),
    "an option without a word": (Silent, {}, "its option 'width' needs a default and a descr"),
}
