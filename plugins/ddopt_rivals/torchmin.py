"""Newton and quasi-Newton methods of the package pytorch-minimize.

Its tolerances are zero, so that it goes on as long as it finds a decrease; where it gives up before
the budget is spent it begins once more at its last iterate, and then the run ends. Every value with
its gradient is one evaluation. A product with the Hessian, which its methods for second derivatives
make behind our back, is seen by a step in the graph of θ that does nothing but count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from ddopt.compare.baseline import Baseline
from ddopt.compare.objective import REMEMBERED
from ddopt.evaluation.meter import PRODUCT
from ddopt.setup.component import Settings
from ddopt_rivals.packages import needed

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective

PACKAGE = "torchmin"
FOREVER = 10**9
TOLERANCES = {
    "bfgs": ("gtol", "xtol", "gtd_tol"),
    "l-bfgs": ("gtol", "xtol", "gtd_tol"),
    "cg": ("gtol",),
    "newton-cg": ("xtol",),
    "trust-ncg": ("gtol",),
}


class Doubled(torch.autograd.Function):
    """g ↦ g; calls ``seen`` whenever something is differentiated through it."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, seen: Callable[[], None]) -> torch.Tensor:
        """Nothing happens."""
        ctx.seen = seen
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """A product with the Hessian begins here."""
        ctx.seen()
        return gradient, None


class Watched(torch.autograd.Function):
    """θ ↦ θ; its gradient goes through :class:`Doubled`."""

    @staticmethod
    def forward(ctx: Any, theta: torch.Tensor, seen: Callable[[], None]) -> torch.Tensor:
        """Nothing happens."""
        ctx.seen = seen
        return theta.view_as(theta)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The gradient, which can be seen when it is differentiated."""
        return Doubled.apply(gradient, ctx.seen), None


class Counted:
    """f for the package: a tensor with a graph; keeps the last iterate and the products to pay."""

    def __init__(self, f: Objective) -> None:
        self.f, self.latest, self.renewed = f, f.start, False
        self._owed = 0.0
        self._values: deque[tuple[torch.Tensor, float]] = deque(maxlen=REMEMBERED)

    def __call__(self, theta: torch.Tensor) -> torch.Tensor:
        """f(θ)."""
        self.pay()
        found: torch.Tensor = self.f.loss(Watched.apply(theta, self._product))
        self._values.append((theta.detach().clone(), float(found.detach())))
        return found

    def _product(self) -> None:
        self._owed += PRODUCT * self.f.task.problem.cost

    def pay(self) -> None:
        """Charge the products since the last time: an exception may not pass through autograd."""
        owed, self._owed = self._owed, 0.0
        if owed:
            self.f.count(owed)

    def told(self, theta: torch.Tensor) -> bool:
        """An iterate; True, to stop, if f is another function from now on."""
        self.pay()
        self.latest = theta.detach().clone()
        known = (value for at, value in self._values if torch.equal(at, self.latest))
        value = next(known, None)
        if value is None:
            value = self.f.at(self.latest)[0]
        self.renewed = self.f.iterate(self.latest, value)
        if self.renewed:
            self._values.clear()
        return self.renewed


class TorchMin(Baseline):
    """A method of ``torchmin.minimize``."""

    name = "torchmin"

    class Config(Settings):
        """Which one."""

        method: Literal["bfgs", "l-bfgs", "cg", "newton-cg", "trust-ncg"] = Field(
            "bfgs", description="as the package names them"
        )

    def check(self) -> None:
        """Import pytorch-minimize."""
        needed(PACKAGE, self.name)

    def minimise(self, f: Objective) -> str:
        """Until the budget is spent, or nothing better is found twice in a row."""
        package, counted = needed(PACKAGE, self.name), Counted(f)
        f.iterate(f.start, f.at(f.start, known=True)[0])
        while True:
            before, counted.renewed = counted.latest, False
            package.minimize(
                counted,
                before,
                method=self.config.method,
                max_iter=FOREVER,
                options=dict.fromkeys(TOLERANCES[self.config.method], 0.0),
                callback=counted.told,
            )
            if not counted.renewed and torch.equal(counted.latest, before):
                return "line_search"
