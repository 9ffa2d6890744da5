"""Quasi-Newton curvature of the size that the problem allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ddopt.hessian.hessian import Hessian, Model
from ddopt.hessian.lsr1 import LSR1
from ddopt.hessian.ssbroyden import SSBroyden
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.numerics.vectors import Geometry


class QuasiNewton(Hessian):
    """A dense matrix for some hundreds or thousands of parameters, otherwise secant pairs.

    Up to some thousand parameters the matrix costs no more than a hundred pairs, and it forgets
    nothing. On small problems pairs with an adaptive seed take fewer evaluations, and where they
    span the whole space they are exact on a quadratic after as many steps; where vectors lie in
    pieces, pairs are all there is. What was compared: docs/design/curvature.md.
    """

    name = "quasi_newton"

    class Config(Settings):
        """Where the one ends and the other begins."""

        small: int = Field(
            100, ge=0, description="the most parameters with pairs, 'lsr1', and an adaptive seed"
        )
        dense: int = Field(
            6_000, ge=0, description="the most parameters with a dense matrix, 'ssbroyden'"
        )
        memory: int | None = Field(
            None,
            ge=1,
            le=100_000,
            description="secant pairs of 'lsr1'; given, there is no dense matrix",
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._geometry: Geometry | None = None
        self._chosen: Hessian | None = None

    def chosen(self, n: int) -> Hessian:
        """The approximation for ``n`` parameters."""
        if self._chosen is None:
            whole = self._geometry is None or not self._geometry.sharded
            own = whole and self.config.memory is None
            if own and n <= self.config.small:
                self._choose(LSR1(adaptive=True))
            elif own and n <= self.config.dense:
                self._choose(SSBroyden(largest=self.config.dense))
            else:
                self._choose(self._pairs())
        assert self._chosen is not None
        return self._chosen

    def _pairs(self) -> LSR1:
        return LSR1() if self.config.memory is None else LSR1(memory=self.config.memory)

    def _choose(self, hessian: Hessian) -> None:
        self._chosen = hessian
        if self._geometry is not None:
            hessian.measure(self._geometry)

    def prepare(self, like: torch.Tensor) -> None:
        """Choose, and allocate the memory."""
        self.chosen(len(like)).prepare(like)

    def measure(self, geometry: Geometry) -> None:
        """Take inner products in ``geometry``."""
        self._geometry = geometry
        if geometry.sharded and isinstance(self._chosen, SSBroyden):
            self._chosen = None  # it was prepared before this was known
        elif self._chosen is not None:
            self._chosen.measure(geometry)

    def model(self, problem: Problem, point: Point) -> Model:
        """The quadratic model of ``problem`` at ``point``."""
        return self.chosen(len(point.theta)).model(problem, point)

    def expect(self, gradient: torch.Tensor) -> None:
        """Hear which gradient the next model will probably have."""
        self.chosen(len(gradient)).expect(gradient)

    def update(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Learn a pair."""
        self.chosen(len(s)).update(s, y)

    def reset(self) -> None:
        """Forget everything."""
        if self._chosen is not None:
            self._chosen.reset()

    def state_dict(self) -> dict[str, Any]:
        """The state of what was chosen, and which it is."""
        if self._chosen is None:
            return {}
        return {
            "name": self._chosen.name,
            "adaptive": bool(getattr(self._chosen.config, "adaptive", False)),
            **self._chosen.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        if not state:
            self._chosen = None
            return
        own = ("name", "adaptive")
        if self._chosen is None or any(self.state_dict()[key] != state[key] for key in own):
            dense = state["name"] == SSBroyden.name
            pairs = LSR1(adaptive=True) if state["adaptive"] else self._pairs()
            self._choose(SSBroyden(largest=self.config.dense) if dense else pairs)
        assert self._chosen is not None
        self._chosen.load_state_dict({key: state[key] for key in state if key not in own})
