"""Any problem with a differential equation, solved on patches: ``problem = "patches"``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field, field_validator

from ddopt.numerics.randomness import key
from ddopt.setup.component import Chosen, Settings
from ddopt_patches.conditions import periodic_axes
from ddopt_patches.fit import fit
from ddopt_patches.inverse import InverseProblem
from ddopt_patches.network import FBPINN
from ddopt_patches.options import PatchSettings
from ddopt_patches.refine import Refine, finer
from ddopt_patches.slabs import InTime, Slabs
from ddopt_patches.weights import FACTOR
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
        self,
        system: System,
        solution: Callable[[torch.Tensor], InTime],
        equation: Any,
        unknown: dict[str, torch.Tensor],
    ) -> None:
        super().__init__(system, unknown)
        self.solution, self._equation = solution, equation

    def named(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """The output weights by their name."""
        return {self.layout.names[0]: self._weights(theta)}

    def equations_at(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The residuals of the equations at any points, shape (points, equations), detached."""
        forward = self.solution(theta)
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
        slabs: int = Field(
            1, ge=1, description="time slabs that are solved one after the other; cells are shared"
        )
        refine: Refine = Field(Refine(), description="how far cells are split after a solution")
        rows: float = Field(2.0, ge=1.0, description="residuals for each unknown, at least")
        condition_weight: float | None = Field(
            None,
            gt=0.0,
            allow_inf_nan=False,
            description="factor of the residuals of the conditions; chosen by default",
        )
        observed: float = Field(
            FACTOR,
            gt=0.0,
            description="of values at points where weights are chosen; conditions have 3; 0.03 for "
            "noisy ones",
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
            self._transform = self._of.network()._output_transform
        self._periodic = periodic_axes(conditions)
        self._nodes = self.config.nodes(self.bounds.tolist())
        self._unknown = {
            name: torch.tensor(start, dtype=torch.float64) for name, start in self.unknowns.items()
        }
        if self._unknown and (self.config.slabs > 1 or self.config.refine.rounds):
            raise ValueError(
                f"the unknowns {', '.join(self._unknown)} belong to the whole domain, and slabs "
                "and refined grids are solved one after the other; set slabs = 1 and leave refine"
            )
        if self.config.train_hidden and (self.config.slabs > 1 or self.config.refine.rounds):
            raise ValueError(
                "hidden layers that train belong to the cells that they began in, and slabs and "
                "refined grids begin with fits of random features; set slabs = 1 and leave refine, "
                "or leave train_hidden"
            )
        if self.config.coarse and (self.config.slabs > 1 or self.config.refine.rounds):
            raise ValueError(
                "a coarse network covers the whole domain, and slabs and refined grids are solved "
                "one after the other; set slabs = 1 and leave refine, or leave coarse"
            )
        self._slabs = Slabs(
            self._geometry,
            self._posed,
            conditions,
            self._nodes[-1],
            self.config.slabs,
            self._transform,
        )
        self._fits: list[tuple[float, float]] = []  # of each slab: the sum of squares, the volume
        self._round = 0  # how often the cells of this slab have been split
        self.initial = self._begin([*self._nodes[:-1], self._slabs.current])

    def _posed(self, x: Any, u: Any) -> Any:
        """The equation with the unknowns as they are now."""
        return self.equation(x, u, **self._unknown)

    def _network(self, nodes: Sequence[torch.Tensor]) -> FBPINN:
        """Patches on these nodes, their features by the seed."""
        patches = self.config.on(nodes, len(self.outputs), self._periodic, self._setting.seed)
        net = FBPINN(patches)
        net.apply_output_transform(self._transform)
        return net.requires_grad_(False)

    def _begin(self, nodes: Sequence[torch.Tensor], coarse: FBPINN | None = None) -> torch.Tensor:
        """Pose the problem of a slab on these nodes; returns its first parameters.

        They are those of a solution on coarser ones, where there is one.
        """
        self._net = net = self._network(nodes)
        with building(self._setting.seed, self._setting.dtype):
            self._stated = self._slabs.statement(net.patches)
            system = self._stated.system(
                net.patches, self.config.rows, self.config.condition_weight, self.config.observed
            )
            if coarse is None:
                start = self._slabs.start(net.patches, self._stated)
            else:
                start = fit(net.patches, coarse.blended)  # hidden layers at rest
        named = {UNKNOWN + name: one for name, one in self._unknown.items()}
        self.problem = StatedProblem(system, self._solution, self._posed, named)
        return torch.cat([start.flatten(), *(one.flatten() for one in self._unknown.values())])

    def _solution(self, theta: torch.Tensor) -> InTime:
        """u on all slabs, where ``theta`` is of the one whose turn it is."""
        return self._slabs.solution(network_at(self._net, self.problem.named(theta)))

    def proceed(self, theta: torch.Tensor) -> torch.Tensor | None:
        """The same slab on smaller cells, or the next one; None after the last one.

        A finer grid starts from the coarser solution; a slab begins as the last one ends, on the
        cells in space that this one needed.
        """
        net, nodes = self._net, self._finer(theta)
        net.weights.copy_(theta.view(net.weights.shape))
        if nodes is not None:
            self._round += 1
            return self._begin(nodes, net)
        if self._slabs.last:
            return None
        self._fits.append(self._fit(theta))
        self._slabs.finished.append(net)
        self._round = 0
        return self._begin([*net.grid.nodes[:-1], self._slabs.current])

    def _finer(self, theta: torch.Tensor) -> list[torch.Tensor] | None:
        """The nodes of the next round of refinement, if there is one."""
        options, patches = self.config.refine, self._net.patches
        if self._round >= options.rounds:
            return None
        weights = theta.view(self.problem.layout.shapes[0])
        equation = self.problem.system.rows[0].equation
        seed = key(self._setting.seed, "refine", len(self._slabs.finished), self._round)
        return finer(patches, weights, equation, self._stated.inside, options, seed)[0]

    def state_dict(self) -> dict[str, Any]:
        """The nodes and output weights of the slabs so far, and the nodes of the present one."""
        finished = [(list(one.grid.nodes), one.weights.clone()) for one in self._slabs.finished]
        nodes = list(self._net.grid.nodes)
        own = {"finished": finished, "nodes": nodes, "fits": self._fits, "round": self._round}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the slab and the cells that a run was at."""
        super().load_state_dict(state)
        if not (state["finished"] or state["round"]):
            return
        self._slabs.finished.clear()
        for nodes, weights in state["finished"]:
            net = self._network(nodes)
            net.weights.copy_(weights)
            self._slabs.finished.append(net)
        self._fits = [(float(a), float(b)) for a, b in state["fits"]]
        self._round = int(state["round"])
        self._begin(state["nodes"])

    def _fresh(self) -> np.ndarray:
        """Points for validation in the slabs so far, by the seed."""
        points = self._random(VALIDATION, key(self._setting.seed, "validation"))
        return points[points[:, -1] <= float(self._net.grid.bounds[-1, 1])]

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        """``error``, and ``validation_loss``: the mean squared residual at random points.

        Where that is far above ``fit_loss``, the mean at the points of the fit, the features fit
        the points and not the solution: more rows an unknown, or smaller patches there. Where slabs
        are to come, u stays for the error what it is at the end of the last one.
        """
        found = super().measure(theta)
        found["validation_loss"] = float(np.mean(self._residuals(theta, self._fresh()) ** 2))
        sums, volumes = zip(*self._fits, self._fit(theta), strict=True)
        found["fit_loss"] = sum(sums) / sum(volumes)
        values = theta[self.problem.layout.sizes[0] :].tolist()
        for name, value in zip(self.unknowns, values, strict=True):
            found[name] = value
            if name in self.truth:
                found[f"{name}_error"] = abs(value / self.truth[name] - 1.0)
        return found

    def _fit(self, theta: torch.Tensor) -> tuple[float, float]:
        """‖r‖² of the equation at the points of the fit, and the volume that they stand for."""
        every = self.problem.system.rows
        inside = [one for one in every if one.equation is every[0].equation]
        (weights,) = self.problem.named(theta).values()
        pieces = (piece for one in inside for piece in one.pieces())
        total = sum(float(one.residuals(weights).square().sum()) for one in pieces)
        return total, sum(float(one.roots.square().sum()) for one in inside)

    @torch.no_grad()
    def predict(self, theta: torch.Tensor, points: np.ndarray) -> np.ndarray:
        """u at points (points, dimensions), shape (points, outputs)."""
        return self._solution(theta)(torch.from_numpy(points)).numpy()

    @property
    def title(self) -> str:
        """The problem's, and the patches."""
        grid = self._net.grid
        shape = " × ".join(str(n) for n in grid.patch_shape)
        slabs = "" if self.config.slabs == 1 else f"{self.config.slabs} slabs of "
        return f"{self._of.title}; {slabs}{shape} patches of {self.config.features} features"

    counted = ("iteration", "Gauss-Newton steps")

    def decorate(self, panel: Any, axes: tuple[str, ...]) -> None:
        """The cells: a patch is the up to four around a node."""
        for net in (*self._slabs.finished, self._net):
            nodes = (net.grid.nodes[self.axes.index(axis)].tolist() for axis in axes)
            across, up = nodes
            panel.vlines(across, up[0], up[-1], **LINE)
            panel.hlines(up, across[0], across[-1], **LINE)
