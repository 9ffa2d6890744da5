"""NysNewton-CG as a baseline: DeepXDE's second-order optimizer for physics-informed networks.

Reference: Rathore et al., Challenges in Training PINNs: A Loss Landscape Perspective, ICML 2024.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.compare.baseline import Baseline
from ddopt.evaluation.meter import PRODUCT
from ddopt.setup.component import Settings
from ddopt_pinn.library import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddopt.compare.objective import Objective


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let nothing be printed, and no warning be shown."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class NNCG(Baseline):
    """DeepXDE's NNCG with Armijo line search; products with the Hessian have ddopt's price."""

    name = "nncg"
    look = 9

    class Config(Settings):
        """DeepXDE's defaults, but for the number of inner iterations.

        Its own 1,000 would spend a usual budget on a single direction.
        """

        rank: int = Field(50, ge=1, description="rank of the preconditioner")
        damping: float = Field(0.1, gt=0.0, description="added to the Hessian")
        every: int = Field(20, ge=1, description="iterations between two preconditioners")
        inner: int = Field(20, ge=1, description="iterations of conjugate gradients")

    def minimise(self, f: Objective) -> str:
        """Newton steps until the budget is spent.

        ``breakdown`` where the optimizer gives up: its preconditioner needs a Cholesky factor, and
        a Hessian is not always positive definite, nor after the shift that is meant to make it so.
        """
        load()
        library: Any = import_module("deepxde.optimizers.pytorch.nncg")
        f.iterate(f.start, f.at(f.start)[0])
        theta = torch.nn.Parameter(f.start.clone())
        cost = f.task.problem.cost

        def product(
            own: Any, grad: torch.Tensor, params: list[torch.Tensor], v: torch.Tensor
        ) -> torch.Tensor:
            f.count(PRODUCT * cost)
            found: torch.Tensor = library.NNCG._hvp(own, grad, params, v)
            return found

        c = self.config
        optimizer = library.NNCG(
            [theta],
            rank=min(c.rank, theta.numel()),
            mu=c.damping,
            update_freq=c.every,
            cg_max_iters=c.inner,
            line_search_fn="armijo",
        )
        optimizer._hvp = partial(product, optimizer)
        default = torch.get_default_dtype()
        torch.set_default_dtype(theta.dtype)  # it makes its vectors without asking for a type
        try:
            while True:
                with quiet():  # it says when CG is not done, and how it converts tensors
                    before = theta.detach().clone()
                    value = float(optimizer.step(lambda: f.loss(theta)).detach())
                f.iterate(before, value)
        except torch.linalg.LinAlgError:
            return "breakdown"
        finally:
            torch.set_default_dtype(default)
