"""Strategies with a defect, and what must be told."""

from __future__ import annotations

import dataclasses
import random

from pydantic import Field

import ddopt
from ddopt.acceptance.monotone import Monotone
from ddopt.decomposition.layers import Layers
from ddopt.method.parts import GlobalPass, Parts, Preconditioner
from ddopt.radius.stepwise import Stepwise
from ddopt.recombination.sum import Sum
from ddopt.solver.trust_region import TrustRegion
from tests.planted.spoil import (
    made,
    raises,
    rank,
)


class Parity(ddopt.Strategy):
    """Layers and their sum."""

    name = "odd"

    class Config(ddopt.Settings):
        subdomains: int = Field(2, ge=1, description="number of subdomains N")

    recombination: ddopt.Recombination | None = None

    def parts(self, solver):
        cut = Layers(subdomains=self.config.subdomains)
        sum_ = self.recombination or Sum()
        return Parts(
            Preconditioner(cut, solver, sum_, Monotone(), Stepwise(), first_radius=0.1),
            GlobalPass(TrustRegion()),
        )


def preconditioner(**changed):
    def spoil(found, self, solver):
        return dataclasses.replace(
            found, preconditioner=dataclasses.replace(found.preconditioner, **changed)
        )

    return {"parts": spoil}


class Frozen(Monotone):
    """Takes nothing."""

    name = "frozen"

    def ratio(self, value, trial, predicted):
        return 0.0


STRATEGIES = {
    "returns None": (Parity, {"parts": lambda f, s, x: None}, r"must return ddopt.Parts"),
    "returns a preconditioner": (
        Parity,
        {"parts": lambda f, s, x: f.preconditioner},
        "must return ddopt.Parts",
    ),
    "no part": (Parity, {"parts": lambda f, s, x: Parts(None, None)}, "at least one part"),
    "shares its parts": (
        Parity,
        preconditioner(recombination=Sum()),
        "the recombination is one object for two runs",
    ),
    "gets nowhere": (
        Parity,
        {
            "parts": lambda f, s, x: Parts(
                dataclasses.replace(f.preconditioner, acceptance=Frozen()), None
            )
        },
        "after 8 iterations on a small regression f is",
    ),
    "another number": (
        Parity,
        {
            "parts": lambda f, s, x: dataclasses.replace(
                f,
                preconditioner=dataclasses.replace(
                    f.preconditioner, decomposition=Layers(subdomains=3)
                ),
            )
        },
        "gives 3 subdomains, and the property subdomains says 2",
    ),
    "draws": (
        Parity,
        {
            "parts": lambda f, s, x: dataclasses.replace(
                f,
                preconditioner=dataclasses.replace(
                    f.preconditioner, first_radius=0.1 * random.random()
                ),
            )
        },
        "the same parts each time",
    ),
    "raises": (Parity, {"parts": raises}, "raised KeyError"),
    "parts that forget": (
        Parity,
        {
            "parts": lambda f, s, x: dataclasses.replace(
                f,
                preconditioner=dataclasses.replace(
                    f.preconditioner,
                    radius=made(Stepwise, update=lambda f, s, t: f * (1 + 0.1 * (s.calls % 3)))(),
                ),
            )
        },
        "resumed in the middle goes on differently",
    ),
}


ONE = TrustRegion()


class Bare(Parity):
    name = "odd"

    class Config(ddopt.Settings):
        subdomains: int = 2


STRATEGIES |= {
    "a class for an object": (
        Parity,
        preconditioner(decomposition=Layers),
        "decomposition is a ddopt.Decomposition; it returned the class Layers",
    ),
    "a solver for its options": (
        Parity,
        preconditioner(solver=TrustRegion()),
        r"the options of one, Mine.Config\(...\)",
    ),
    "no acceptance": (Parity, preconditioner(acceptance=None), "acceptance is a ddopt.Acceptance"),
    "a negative radius": (Parity, preconditioner(first_radius=-1.0), "a first_radius above 0"),
    "no iterations": (Parity, preconditioner(iterations=0), "at least one iteration"),
    "shares its global solver": (
        Parity,
        {"parts": lambda f, s, x: dataclasses.replace(f, global_pass=GlobalPass(ONE))},
        "the solver of the global pass is one object for two runs",
    ),
    "a global pass that is a solver": (
        Parity,
        {"parts": lambda f, s, x: dataclasses.replace(f, global_pass=TrustRegion())},
        "whose GlobalPass is one, or None",
    ),
    "differs by rank": (
        Parity,
        {
            "parts": lambda f, s, x: dataclasses.replace(
                f,
                preconditioner=dataclasses.replace(
                    f.preconditioner, first_radius=0.1 * (1 + rank())
                ),
            )
        },
        "two processes",
    ),
    "an option without a word": (Bare, {}, "its option 'subdomains' needs a default and a descr"),
}
