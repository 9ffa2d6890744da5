"""The damping of a Levenberg-Marquardt method, and the precision that it leaves to be needed."""

from __future__ import annotations

from typing import Any

import torch

from ddopt.hessian.normal_equations import FLOOR

SLOWEST = 1.0 / 3.0  # the least factor on the damping after a good step; Nielsen's
FLOOR_SINGLE = FLOOR[torch.float32]
PATIENCE = 2  # rejections in a row in float32 before its round-off is suspected,
NEAR = 100.0  # if the damping is within this factor of what float32 can tell from none


class Nielsen:
    """μ grows faster and faster on rejections, and falls smoothly with the ratio otherwise.

    μ⁺ = μ max(1/3, 1 − (2ρ − 1)³) after a step with ratio ρ that was taken; μ⁺ = ν μ, ν⁺ = 2ν
    otherwise, with ν = 2 after each taken one. Source: Nielsen, Damping parameter in Marquardt's
    method, IMM-REP-1999-05, section 3.

    ``single`` says whether float32 is still enough: until the damping falls below what float32 can
    tell from none, a factorisation fails, or steps with a damping near that are rejected in a row.
    """

    def __init__(self, share: float, single: bool) -> None:
        self.share = share  # μ, in units of the largest diagonal element of JᵀJ
        self.single = single
        self._growth = 2.0  # ν
        self._rejections = 0  # in a row

    @property
    def trusted(self) -> bool:
        """Whether the last step was taken, or none has been tried: it may well be too large."""
        return self._rejections == 0

    def accepted(self, used: float, ratio: float) -> None:
        """The step with damping μ = ``used`` was taken; its ratio may exceed 1."""
        self.share = used * max(SLOWEST, 1.0 - (2.0 * min(ratio, 1.0) - 1.0) ** 3)
        self._growth, self._rejections = 2.0, 0
        self._outgrow(self.share < FLOOR_SINGLE)

    def rejected(self, used: float) -> None:
        """It was not taken."""
        self.share = used * self._growth
        self._growth *= 2.0
        self._rejections += 1
        self._outgrow(self._rejections >= PATIENCE and used < NEAR * FLOOR_SINGLE)

    def drowned(self) -> None:
        """A matrix with this damping had no factorisation: it drowns in round-off."""
        self._outgrow(True)

    def _outgrow(self, evidence: bool) -> None:
        if evidence and self.single:
            self.single = False
            self._growth, self._rejections = 2.0, 0

    def renew(self) -> None:
        """f has changed: what was rejected says nothing about the next steps."""
        self._growth, self._rejections = 2.0, 0

    def state_dict(self) -> dict[str, Any]:
        """μ, ν, the rejections, and the precision."""
        return {
            "share": self.share,
            "growth": self._growth,
            "rejections": self._rejections,
            "single": self.single,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.share, self._growth = float(state["share"]), float(state["growth"])
        self._rejections, self.single = int(state["rejections"]), bool(state["single"])
