"""Self-scaled Broyden with a Wolfe line search, as published for physics-informed networks.

Source: Urbán, Stefanou and Pons, Journal of Computational Physics 523 (2025), arXiv 2405.04230. The
update is that of ``ddopt.hessian.ssbroyden``; here it has a line search (SciPy's, c₁ = 1e-4 and
c₂ = 0.9, as there) where ddopt has a ball.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field

from ddopt.compare.baseline import Baseline
from ddopt.evaluation.problem import Point
from ddopt.hessian.ssbroyden import NewtonDirection
from ddopt.hessian.ssbroyden import SSBroyden as Matrix
from ddopt.setup.component import Settings
from ddopt_rivals.by_scipy import Counted
from ddopt_rivals.packages import needed

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective

C1, C2 = 1e-4, 0.9  # sufficient decrease, and curvature
SHORTER, SHORTEST = 1e-2, 1e-7  # along the gradient: a factor, and the length that is given up at


class SSBroyden(Baseline):
    """A dense inverse Hessian, updated by the best scaled member of Broyden's class."""

    name = "ssbroyden"
    look = 10

    class Config(Settings):
        """Which member of the family."""

        update: Literal["ssbroyden", "ssbfgs", "bfgs"] = Field(
            "ssbroyden", description="both factors by formula; φ = 1; φ = τ = 1"
        )
        trials: int = Field(25, ge=1, description="of one line search, at most")

    def check(self) -> None:
        """Import SciPy."""
        needed("scipy.optimize", self.name)

    def minimise(self, f: Objective) -> str:
        """Until the budget is spent, or no step is found, with what was learnt nor without."""
        counted, matrix = Counted(f), Matrix(update=self.config.update)
        theta, fresh = f.start.clone(), True
        before: float | None = None
        f.iterate(theta, f.at(theta)[0])
        while True:
            point = Point(theta, *f.at(theta, known=True))
            model, g = matrix.model(f.task.problem, point), point.gradient
            if not bool(g.any()):
                return "stationary"
            newton = model if isinstance(model, NewtonDirection) else None
            direction = newton.direction if newton is not None else -g / torch.linalg.norm(g)
            alpha = self._search(counted, point, direction, before)
            while alpha is None and fresh and float(torch.linalg.norm(direction)) > SHORTEST:
                direction = SHORTER * direction  # one search looks at few lengths
                alpha = self._search(counted, point, direction, before)
            if alpha is None and fresh:
                return "line_search"
            if alpha is None:
                matrix.reset()
                fresh, before = True, None
                continue
            step = alpha * direction
            if newton is not None:  # the update wants to know how far along −Hg it was
                newton.fraction, newton.step = alpha, step
            theta = theta + step
            value, gradient = f.at(theta, known=True)
            matrix.update(step, gradient - g)
            before, fresh = point.value, False
            if f.iterate(theta, value):
                matrix.reset()
                fresh, before = True, None

    def _search(
        self, f: Counted, point: Any, direction: torch.Tensor, before: float | None
    ) -> float | None:
        """A step length by the strong Wolfe conditions that lowers f; None if none is found."""
        x, p = (v.double().cpu().numpy() for v in (point.theta, direction))
        g = point.gradient.double().cpu().numpy()
        scipy = needed("scipy.optimize", self.name)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where it finds nothing, and says so, too
            found = scipy.line_search(
                *(lambda z: f.both(z)[0], lambda z: f.both(z)[1], x, p, g),
                *(point.value, before),
                c1=C1,
                c2=C2,
                maxiter=self.config.trials,
            )
        # Near the end of double precision it finds steps that gain nothing.
        return float(found[0]) if found[0] and found[3] < point.value else None
