"""Any problem with a differential equation, solved on patches: ``problem = "patches"``."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field, field_validator

from ddopt.component import Chosen, Settings
from ddopt.randomness import key
from ddopt_patches.conditions import periodic_axes
from ddopt_patches.inverse import InverseProblem
from ddopt_patches.network import FBPINN
from ddopt_patches.options import PatchSettings
from ddopt_patches.statement import Statement
from ddopt_pinn.collocation import network_at
from ddopt_pinn.differential import DifferentialTask
from ddopt_pinn.library import building, dde, numbers
from ddopt_pinn.problem import UNKNOWN
from ddopt_pinn.task import PDETask

if TYPE_CHECKING:
    from ddopt.task import Setting
    from ddopt_patches.system import System

VALIDATION = 2000  # points
LINE = {"color": "black", "lw": 0.4, "alpha": 0.45}


class StatedProblem(InverseProblem):
    """A problem on patches that gives its network and its equation anywhere."""

    def __init__(
        self, system: System, net: FBPINN, equation: Any, unknown: dict[str, torch.Tensor]
    ) -> None:
        super().__init__(system, unknown)
        self._net, self._equation = net, equation

    def named(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """The output weights by their name."""
        return {self.layout.names[0]: self._weights(theta)}

    def equations_at(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The residuals of the equations at any points, shape (points, equations), detached."""
        forward = network_at(self._net, self.named(theta.detach()))
        with torch.enable_grad(), numbers(x.dtype, x.device):
            x = x.detach().requires_grad_()
            try:
                found = self._equation(x, forward(x))
            finally:
                dde.grad.clear()
        several = found if isinstance(found, (list, tuple)) else [found]
        return torch.cat([r[:, None] if r.ndim == 1 else r for r in several], 1).detach()


class PatchTask(DifferentialTask):
    """Another problem, its solution made of local networks on overlapping patches."""

    name = "patches"

    class Config(PatchSettings):
        """The problem, the patches and the points."""

        of: Annotated[Settings, Chosen("problem")] = Field(
            description="the problem with a differential equation that is solved"
        )
        rows: float = Field(2.0, ge=1.0, description="residuals for each unknown, at least")
        condition_weight: float = Field(
            100.0, gt=0.0, description="factor of the residuals of the conditions"
        )

        @field_validator("of")
        @classmethod
        def _equation(cls, of: Settings) -> Settings:
            kind: Any = of.component
            if not issubclass(kind, PDETask):
                raise ValueError(
                    f"{kind.name!r} is no problem with a differential equation; choose one that is "
                    "(multiscale, burgers, ...), or derive one from ddopt_pinn.PDETask"
                )
            return of

    problem: StatedProblem

    def __init__(self, config: Any = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._of: Any = self.config.of.build()
        for name in ("axes", "outputs", "resolution", "unknowns", "truth"):
            setattr(self, name, getattr(self._of, name))

    def geometry(self) -> Any:
        """That of the problem."""
        return self._of.geometry()

    def equation(self, x: Any, u: Any, *args: Any, **kwargs: Any) -> Any:
        """That of the problem."""
        return self._of.equation(x, u, *args, **kwargs)

    def conditions(self, geometry: Any) -> list[Any]:
        """Those of the problem."""
        return list(self._of.conditions(geometry))

    def solution(self, points: np.ndarray) -> np.ndarray | None:
        """That of the problem."""
        found: np.ndarray | None = self._of.solution(points)
        return found

    def prepare(self, setting: Setting) -> None:
        """Lay the patches, draw the features by the seed, and ask for rows.

        Raises ``ValueError`` for float32, for a GPU, and for patches that do not cover the domain.
        """
        self._setting = setting
        if setting.dtype != torch.float64 or setting.device.type != "cpu":
            raise ValueError(
                "patches are solved in float64 on the CPU (the factorisation needs the digits); "
                "set dtype = 'float64' and device = 'cpu'"
            )
        with building(setting.seed, setting.dtype):
            self._geometry = self.geometry()
            conditions = self.conditions(self._geometry)
            transform = self._of.network()._output_transform
        unknown = {
            name: torch.tensor(start, dtype=torch.float64) for name, start in self.unknowns.items()
        }

        def equation(x: Any, u: Any) -> Any:
            return self.equation(x, u, **unknown)

        stated = Statement(self._geometry, equation, conditions, transform)
        patches = self.config.patches(
            stated.bounds.tolist(), len(self.outputs), periodic_axes(conditions), setting.seed
        )
        system = stated.system(patches, self.config.rows, self.config.condition_weight)
        self._net = FBPINN(patches)
        self._net.apply_output_transform(transform)
        named = {UNKNOWN + name: one for name, one in unknown.items()}
        self.problem = StatedProblem(system, self._net, equation, named)
        first = [one.flatten() for one in unknown.values()]
        self.initial = torch.cat([stated.start(patches).flatten(), *first])

    @cached_property
    def _fresh(self) -> np.ndarray:
        """Points for validation, by the seed."""
        return self._random(VALIDATION, key(self._setting.seed, "validation"))

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        """``error``, and ``validation_loss``: the mean squared residual at random points.

        Where that is far above ``fit_loss``, the mean at the points of the fit, the features fit
        the points and not the solution: more rows an unknown, or smaller patches there.
        """
        found = super().measure(theta)
        found["validation_loss"] = float(np.mean(self._residuals(theta, self._fresh) ** 2))
        every = self.problem.system.rows
        inside = [one for one in every if one.equation is every[0].equation]
        (weights,) = self.problem.named(theta).values()
        total = sum(float(one.residuals(weights).square().sum()) for one in inside)
        for name, value in zip(self.unknowns, theta[weights.numel() :].tolist(), strict=True):
            found[name] = value
            if name in self.truth:
                found[f"{name}_error"] = abs(value / self.truth[name] - 1.0)
        found["fit_loss"] = total / sum(float(one.roots.square().sum()) for one in inside)
        return found

    @torch.no_grad()
    def predict(self, theta: torch.Tensor, points: np.ndarray) -> np.ndarray:
        """u at points (points, dimensions), shape (points, outputs)."""
        forward = network_at(self._net, self.problem.named(theta))
        return forward(torch.from_numpy(points)).numpy()

    @property
    def title(self) -> str:
        """The problem's, and the patches."""
        grid = self._net.grid
        shape = " × ".join(str(n) for n in grid.patch_shape)
        return f"{self._of.title}; {shape} patches of {self.config.features} features"

    counted = ("iteration", "Gauss-Newton steps")

    def decorate(self, panel: Any, axes: tuple[str, ...]) -> None:
        """The cells: a patch is the up to four around a node."""
        across, up = (self._net.grid.nodes[self.axes.index(axis)].tolist() for axis in axes)
        panel.vlines(across, up[0], up[-1], **LINE)
        panel.hlines(up, across[0], across[-1], **LINE)
