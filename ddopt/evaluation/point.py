"""Points and samples: a visited θ with f(θ), and the samples that f is a mean over."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ddopt.numerics.reading import Number
from ddopt.numerics.vectors import LOCAL, Geometry


class Point:
    """A visited θ with f(θ), and with ∇f(θ) from the moment somebody asks for it.

    A rejected trial is decided on its value alone, so its gradient need never be computed, nor
    travel between processes.

    Args:
        theta: θ, shape (n,).
        value: f(θ), or what reads it when it is asked for.
        gradient: ∇f(θ), shape (n,), or what computes it.
        epsilon: relative round-off of the value, that of the number type in which the loss came;
            where it is not given, that of ``theta``.
        trace: what the evaluation left in a module's buffers and in the random state; only
            closures leave anything.
    """

    def __init__(
        self,
        theta: torch.Tensor,
        value: float | Number,
        gradient: torch.Tensor | Callable[[], torch.Tensor],
        epsilon: float | None = None,
        trace: list[torch.Tensor] | None = None,
    ) -> None:
        self.theta = theta  # shape: (n,)
        self._value = value
        self._gradient = gradient
        self.epsilon = torch.finfo(theta.dtype).eps if epsilon is None else epsilon
        self.trace = trace
        self._sound: bool | None = None  # once it has been asked for
        self._largest: Number | None = None  # once it is on its way

    @property
    def value(self) -> float:
        """f(θ)."""
        if callable(self._value):
            self._value = self._value()
        return self._value

    @value.setter
    def value(self, value: float) -> None:
        self._value = value

    @property
    def gradient(self) -> torch.Tensor:
        """∇f(θ), shape (n,)."""
        if not isinstance(self._gradient, torch.Tensor):
            self._gradient = self._gradient()
        return self._gradient

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and pickles, which cannot hold a gradient that is still to be computed."""
        return Point, (self.theta, self.value, self.gradient, self.epsilon)

    def vouch(self) -> None:
        """Say that f and ∇f are finite here; who has the Jacobian need not ask for ∇f to know."""
        self._sound = True

    def sound(self, geometry: Geometry = LOCAL) -> bool:
        """Whether f and ∇f are finite here, so that a step can lead on; asks for the gradient.

        In stages or pieces it is a collective, with one answer for all processes.
        """
        if self._sound is None:
            self._sound = math.isfinite(self.value) and self._finite(geometry)
        return self._sound

    def _finite(self, geometry: Geometry) -> bool:
        """Whether all entries of ∇f are; of whole vectors the largest one tells."""
        if geometry.sharded:
            return geometry.finite(self.gradient)
        return math.isfinite(self.largest(geometry))

    def foresee(self, geometry: Geometry = LOCAL) -> None:
        """Compute ∇f and its size now, which will be asked for: it is read with other numbers."""
        if self._largest is None:
            self._largest = geometry.length_later(self.gradient, "inf")

    def largest(self, geometry: Geometry = LOCAL) -> float:
        """‖∇f‖_∞; asks for the gradient. In stages or pieces it is a collective."""
        self.foresee(geometry)
        assert self._largest is not None
        return self._largest()

    def seen(
        self,
        theta: torch.Tensor,
        value: float | Number,
        gradient: torch.Tensor | Callable[[], torch.Tensor],
    ) -> Point:
        """The same evaluation as a wrapper sees it: other vectors, another value, one round-off."""
        return Point(theta, value, gradient, self.epsilon, self.trace)


@dataclass(frozen=True)
class Samples:
    """A set of samples: one index tensor per term of the loss.

    A classifier has one term; a physics-informed loss has one for the interior points and one for
    each boundary condition, each a mean over its own points.
    """

    terms: tuple[torch.Tensor, ...]

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """The number of samples of each term."""
        return tuple(len(term) for term in self.terms)

    def __len__(self) -> int:
        """The number of samples of all terms together."""
        return sum(self.counts)

    def chunks(self, size: int) -> list[Samples]:
        """Consecutive pieces of about ``size`` samples, each with its share of every term."""
        pieces = -(-len(self) // size)
        return [
            Samples(
                tuple(
                    term[i * len(term) // pieces : (i + 1) * len(term) // pieces]
                    for term in self.terms
                )
            )
            for i in range(pieces)
        ]

    @classmethod
    def all(cls, *counts: int) -> Samples:
        """Every sample of terms with that many samples."""
        return cls(tuple(torch.arange(count) for count in counts))
