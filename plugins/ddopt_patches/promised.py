"""What the curvatures on patches have in common: a model that is minimised when it is made, and
the f that its step promised.

The minimiser of the model is the Gauss-Newton step p. In a smaller ball it is shortened along
itself, which is the minimiser in the model's own norm (Conn, Gould and Toint, Trust-Region Methods,
section 6.7).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.hessian.hessian import Ellipsoidal, Hessian
from ddopt.setup.component import Settings
from ddopt_patches.least_squares import DROP
from ddopt_patches.problem import PatchProblem
from ddopt_patches.system import as_promised

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem


class Minimised(Ellipsoidal):
    """m(p) = <g, p> + ‖J p‖² with its minimiser."""

    def __init__(self, gradient: torch.Tensor, newton: torch.Tensor) -> None:
        self.gradient, self._newton = gradient, newton
        self._length = float(newton.norm())

    @abstractmethod
    def decrease(self, share: float) -> float:
        """−m of this share of the step."""

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """Never asked for: the model is minimised in its own norm."""
        raise ValueError(
            "the model of a problem on patches is minimised in its own norm and does not multiply; "
            "choose the subproblem 'obs' for it"
        )

    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """The Gauss-Newton step, shortened to the radius; the decrease −m; its length."""
        share = self.share_of(min(radius, self._length))
        return share * self._newton, max(self.decrease(share), 0.0), share * self._length

    def share_of(self, length: float) -> float:
        """Which share of the Gauss-Newton step has this length."""
        return length / self._length if self._length > 0.0 else 0.0


class Reached(Ellipsoidal):
    """The model where nothing is left to gain."""

    def __init__(self, gradient: torch.Tensor) -> None:
        self.gradient = gradient

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """Zero: nothing is known that could be gained."""
        return torch.zeros_like(vector)

    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """No step."""
        return torch.zeros_like(self.gradient), 0.0, 0.0


class PromiseSettings(Settings):
    """Options of the least-squares step."""

    drop: float = Field(
        DROP, ge=0.0, lt=1.0, description="singular values of a patch below this share go"
    )
    exact: float = Field(
        1e-3,
        ge=0.0,
        lt=1.0,
        description="f within this share of what the model promised: the end is reached",
    )


class Promising(Hessian):
    """A curvature that knows where the run ends.

    Where f is what the last model promised, in each group of rows that it tells of, another step
    brings nothing: the next model is that of a stationary point, and the run ends without a last
    factorisation.
    """

    learns = False
    config: Any

    def __init__(self, config: Any = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._last: tuple[Point, Minimised] | None = None  # after a rejection it serves again
        self._promised: list[float] = []  # f where the last step should end, by groups of rows
        self._before = math.nan  # f where it began

    @abstractmethod
    def made(self, problem: Problem, point: Point) -> Minimised:
        """The model at a point where none has been made; ``ValueError`` for other problems."""

    def model(self, problem: Problem, point: Point) -> Ellipsoidal:
        """The linearised least-squares model at ``point``.

        Raises ``ValueError`` for a problem that is not on patches, and for hidden layers that move.
        """
        if self._last is None or self._last[0] is not point:
            self._last = None  # frees its memory before the next one is made
            _refuse_moving(problem)
            if self._kept(problem, point):
                return Reached(point.gradient)
            self._last = point, self.made(problem, point)
        return self._last[1]

    def groups(self, problem: Problem, point: Point) -> list[float]:
        """f by the groups of rows for which ``_promised`` has an entry each."""
        return [point.value]

    def _kept(self, problem: Problem, point: Point) -> bool:
        """Whether f is what the last step promised; groups are looked at if the sum is."""
        exact, promised = self.config.exact, self._promised
        if not promised or not as_promised([point.value], [sum(promised)], exact):
            return False
        return as_promised(self.groups(problem, point), promised, exact)

    def reset(self) -> None:
        """Forget the last model: the problem has changed."""
        self._last, self._promised, self._before = None, [], math.nan

    def state_dict(self) -> dict[str, Any]:
        """What the last step promised; the model itself is made anew."""
        return {"promised": self._promised, "before": self._before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._promised, self._before = list(state["promised"]), float(state["before"])
        self._last = None


def _refuse_moving(problem: Problem) -> None:
    """The first step sees no slope by hidden layers, and those after it need damping."""
    whole = problem.ability(PatchProblem)
    if whole is not None and whole.system.patches.moving:
        raise ValueError(
            "hidden layers that train make f far from quadratic, and this curvature takes whole "
            "Gauss-Newton steps; set solver.name = 'levenberg_marquardt' (in a script: "
            "ddopt_patches.compile without solver)"
        )
