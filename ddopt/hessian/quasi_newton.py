"""Quasi-Newton curvature of the size that the problem allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ddopt.component import Settings
from ddopt.hessian.hessian import Hessian, Model
from ddopt.hessian.lsr1 import LSR1
from ddopt.hessian.ssbroyden import SSBroyden

if TYPE_CHECKING:
    import torch

    from ddopt.problem import Point, Problem
    from ddopt.vectors import Geometry


class QuasiNewton(Hessian):
    """A dense matrix for some hundreds or thousands of parameters, otherwise secant pairs.

    Up to some thousand parameters the matrix costs no more than a hundred pairs, and it forgets
    nothing (docs/design/curvature.md). Where a hundred pairs span the whole space they are exact on
    a quadratic after as many steps; where vectors lie in pieces, pairs are all there is.
    """

    name = "quasi_newton"

    class Config(Settings):
        """Where the one ends and the other begins."""

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
            dense = self.config.memory is None and LSR1.Config().memory < n <= self.config.dense
            self._choose(whole and dense)
        assert self._chosen is not None
        return self._chosen

    def _choose(self, dense: bool) -> None:
        pairs = {} if self.config.memory is None else {"memory": self.config.memory}
        self._chosen = SSBroyden(largest=self.config.dense) if dense else LSR1(**pairs)
        if self._geometry is not None:
            self._chosen.measure(self._geometry)

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
        return {"name": self._chosen.name, **self._chosen.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        if not state:
            self._chosen = None
            return
        if self._chosen is None or self._chosen.name != state["name"]:
            self._choose(state["name"] == SSBroyden.name)
        assert self._chosen is not None
        self._chosen.load_state_dict({key: state[key] for key in state if key != "name"})
