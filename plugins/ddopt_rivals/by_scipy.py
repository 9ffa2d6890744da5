"""SciPy's minimisers: BFGS, L-BFGS-B and the Newton method with conjugate gradients in a ball.

Their tolerances are zero, so that they go on as long as they find a decrease. Where one gives up
although the budget is not spent, it begins once more at its last iterate with nothing remembered;
if that does not move it either, the run ends.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field

from ddopt.compare.baseline import Baseline
from ddopt.evaluation.meter import PRODUCT
from ddopt.setup.component import Settings
from ddopt_rivals.packages import needed

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective

FOREVER = 10**9


class Renewed(Exception):  # noqa: N818 - f has become another function, no error
    """SciPy must begin anew."""


class Counted:
    """f for SciPy: arrays of float64 in and out; keeps the last iterate."""

    def __init__(self, f: Objective) -> None:
        self.f, self.latest = f, f.start
        self._graph: tuple[np.ndarray, torch.Tensor, torch.Tensor] | None = None

    def tensor(self, x: np.ndarray) -> torch.Tensor:
        """An array in the numbers of the parameters."""
        return torch.from_numpy(x.copy()).to(self.f.start)

    def both(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """f and ∇f; of a point that was just visited they cost nothing."""
        value, gradient = self.f.at(self.tensor(x), known=True)
        return value, gradient.detach().double().cpu().numpy()

    def product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The Hessian times ``v``; the graph at a new point is an evaluation of its own."""
        if self._graph is None or not np.array_equal(self._graph[0], x):
            theta = self.tensor(x).requires_grad_()
            (g,) = torch.autograd.grad(self.f.loss(theta), theta, create_graph=True)
            self._graph = (x.copy(), theta, g)
        _, theta, g = self._graph
        self.f.count(PRODUCT * self.f.task.problem.cost)
        (found,) = torch.autograd.grad(g, theta, self.tensor(v), retain_graph=True)
        return np.asarray(found.double().cpu().numpy())

    def told(self, x: np.ndarray) -> None:
        """An iterate."""
        self.latest = self.tensor(x)
        if self.f.iterate(self.latest, self.both(x)[0]):
            raise Renewed


class ByScipy(Baseline):
    """A method of ``scipy.optimize.minimize``."""

    def check(self) -> None:
        """Import SciPy."""
        needed("scipy.optimize", self.name)

    @abstractmethod
    def arguments(self, f: Counted, x: np.ndarray) -> dict[str, Any]:
        """The method and its options, for a beginning at ``x``."""

    def minimise(self, f: Objective) -> str:
        """Until the budget is spent, or nothing better is found twice in a row."""
        scipy, counted = needed("scipy.optimize", self.name), Counted(f)
        counted.both(f.start.double().cpu().numpy())
        f.iterate(f.start, f.at(f.start, known=True)[0])
        while True:
            before = counted.latest
            try:
                x = before.double().cpu().numpy()
                with np.errstate(all="ignore"):
                    scipy.minimize(
                        counted.both,
                        x,
                        jac=True,
                        callback=counted.told,
                        **self.arguments(counted, x),
                    )
            except Renewed:
                continue
            if torch.equal(counted.latest, before):
                return "line_search"


class BFGS(ByScipy):
    """SciPy's BFGS: a dense inverse Hessian and a Wolfe line search."""

    name = "bfgs"

    def arguments(self, f: Counted, x: np.ndarray) -> dict[str, Any]:
        """The first matrix is that of the first step's length, by Nocedal and Wright's advice."""
        size = float(np.linalg.norm(f.both(x)[1])) or 1.0
        first = np.eye(len(x)) / size
        return {"method": "BFGS", "options": {"gtol": 0.0, "maxiter": FOREVER, "hess_inv0": first}}


class LBFGSB(ByScipy):
    """SciPy's L-BFGS-B without bounds."""

    name = "lbfgsb"

    class Config(Settings):
        """The memory."""

        pairs: int = Field(100, ge=1, description="secant pairs that are kept")

    def arguments(self, f: Counted, x: np.ndarray) -> dict[str, Any]:
        """No end but the budget."""
        limits = {"maxiter": FOREVER, "maxfun": FOREVER, "maxcor": self.config.pairs}
        return {"method": "L-BFGS-B", "options": {"ftol": 0.0, "gtol": 0.0, **limits}}


class TrustNCG(ByScipy):
    """SciPy's trust-ncg: products with the Hessian, conjugate gradients in a ball."""

    name = "trust_ncg"

    def arguments(self, f: Counted, x: np.ndarray) -> dict[str, Any]:
        """Products in place of a matrix."""
        options = {"gtol": 0.0, "maxiter": FOREVER}
        return {"method": "trust-ncg", "hessp": f.product, "options": options}
