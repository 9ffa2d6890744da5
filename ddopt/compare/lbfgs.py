"""torch.optim.LBFGS with strong Wolfe line search, usual for physics-informed networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field

from ddopt.compare.baseline import Baseline
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective


class LBFGS(Baseline):
    """torch.optim.LBFGS; it ends where its line search finds nothing better."""

    name = "lbfgs"
    look: ClassVar[int | None] = 7

    class Config(Settings):
        """The memory."""

        pairs: int = Field(100, ge=1, description="secant pairs that are kept")

    def minimise(self, f: Objective) -> str:
        """From the start."""
        return self.descend(f, f.start)

    def descend(self, f: Objective, start: torch.Tensor) -> str:
        """One iteration for each call, so that every iterate can be recorded.

        The first closure of a call repeats a point of the last line search, which costs nothing.
        """
        theta = torch.nn.Parameter(start.clone())
        optimizer = self._optimizer(theta)

        def closure() -> torch.Tensor:
            value, theta.grad = f.at(theta.detach(), known=True)
            return torch.tensor(value, dtype=theta.dtype)

        f.iterate(theta, float(closure()))
        fresh = True  # the memory is empty
        while True:
            before = theta.detach().clone()
            optimizer.step(closure)
            if not torch.equal(theta.detach(), before):
                fresh = f.iterate(theta, f.at(theta.detach(), known=True)[0])
            elif fresh:
                return "line_search"
            else:
                fresh = True  # once more, along the gradient
            if fresh:
                optimizer = self._optimizer(theta)

    def _optimizer(self, theta: torch.nn.Parameter) -> torch.optim.LBFGS:
        return torch.optim.LBFGS(
            [theta],
            max_iter=1,
            max_eval=1000,  # of one line search, which stops at 25 by itself
            history_size=self.config.pairs,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )
