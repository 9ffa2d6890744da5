"""Tasks with a partial differential equation: what a problem is made of, in DeepXDE's words."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from ddopt.evaluation.problem import Samples
from ddopt.numerics.randomness import generator, key
from ddopt.numerics.space import Layout
from ddopt.setup.component import Chosen, Settings
from ddopt.task import Setting, Status, filled
from ddopt_pinn.collocation import Collocation, network_at
from ddopt_pinn.differential import DifferentialTask
from ddopt_pinn.library import building, check_activation, dde
from ddopt_pinn.problem import UNKNOWN, PDEProblem
from ddopt_pinn.resampling import Drawn, Known
from ddopt_pinn.stages import CHECKED, cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.executor import Executor
    from ddopt.pipeline import StagedProblem

BATCH = 20_000  # points of one forward pass when a solution is looked at
Width = Annotated[int, Field(ge=1, le=100_000)]  # of a hidden layer
Depth = Annotated[int, Field(ge=1, le=1_000)]  # hidden layers

Distribution = Literal["pseudo", "uniform", "LHS", "Halton", "Hammersley", "Sobol"]


class PDETask(DifferentialTask):
    """A network that satisfies a differential equation and conditions at points."""

    class Config(Settings):
        """Points and network."""

        interior: int = Field(1000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(80, ge=0, description="points on the boundary")
        initial: int = Field(0, ge=0, description="points at the initial time")
        distribution: Distribution = Field(
            "pseudo", description="how the points are chosen; pseudo: uniformly at random"
        )
        condition_weight: float = Field(
            1.0, gt=0.0, description="weight of each boundary or initial condition in the loss"
        )
        width: Width = Field(20, description="width of the hidden layers")
        depth: Depth = Field(8, description="number of hidden layers")
        activation: str = Field("tanh", description="activation function, by DeepXDE's name")
        resampling: Annotated[Settings, Chosen("resampling")] = Field(
            "none",
            validate_default=True,
            description="where the interior points go during the run: none, rad, rar, rar-d",
        )

    problem: PDEProblem
    _changes, _changed = 0, 0.0  # how often the points have moved, and when last

    def network(self) -> Any:
        """The network; override it for output transforms, Fourier features, ..."""
        c = self.config
        sizes = [len(self.axes), *[c.width] * c.depth, len(self.outputs)]
        return dde.nn.FNN(sizes, c.activation, "Glorot normal")

    def data(self, geometry: Any) -> Any:
        """Points and conditions as a ``dde.data.PDE``."""
        c = self.config
        counts = {"num_domain": c.interior, "num_boundary": c.boundary}
        kind = dde.data.PDE
        if hasattr(geometry, "timedomain"):
            kind, counts = dde.data.TimePDE, counts | {"num_initial": c.initial}
        conditions = self.conditions(geometry)
        return kind(
            geometry, self.equation, conditions, train_distribution=c.distribution, **counts
        )

    def prepare(self, setting: Setting) -> None:
        """Choose points and first parameters by the seed, and nothing else."""
        self._setting = setting
        check_activation(self.config.activation)
        with building(setting.seed, setting.dtype):
            self._geometry = self.geometry()
            data = self.data(self._geometry)
            self._net = self.network()
        self._net.to(setting.device, setting.dtype)
        points = data.train_x_all
        inside = ~np.asarray(self._geometry.on_boundary(points), dtype=bool)
        if hasattr(self._geometry, "on_initial"):
            inside &= ~np.asarray(self._geometry.on_initial(points), dtype=bool)
        collocation = Collocation(
            data, points[inside], self.config.condition_weight, setting.dtype, setting.device
        )
        first = dict(self._net.named_parameters())
        for name, start in self.unknowns.items():
            first[UNKNOWN + name] = torch.tensor(start, dtype=setting.dtype, device=setting.device)
        shapes = tuple(tensor.shape for tensor in first.values())
        layout = Layout(tuple(first), shapes, setting.dtype, setting.device)
        self.initial = torch.cat([tensor.detach().reshape(-1) for tensor in first.values()])
        self.problem = PDEProblem(layout, self._net, self.equation, collocation)
        self.resampling: Any = self.config.resampling.build()
        self.keeps_curvature = getattr(self.resampling.config, "keep_curvature", False)
        self._first = collocation.counts[0]

    def renew(self, theta: torch.Tensor, status: Status) -> float | None:
        """Move the interior points, where that is due; residuals at candidates are its cost."""
        resampling = self.resampling
        drawn = Drawn(len(self.problem.coordinates(0)), self._first, self._changed)
        if not resampling.due(status, drawn):
            return None
        points = self.problem.coordinates(0).cpu().numpy()
        purpose = (self._setting.seed, "resampling", self._changes)
        target = resampling.count(status, drawn)
        count = round(resampling.config.candidates * target)
        candidates = self._random(count, key(*purpose))
        residuals = self._residuals(theta, candidates)
        known = Known(points, candidates, residuals, generator(*purpose))
        cost = count / len(self.problem.samples or ())
        self._changes, self._changed = self._changes + 1, status.evaluations
        self.problem = self.problem.moved(resampling.choose(known, target))
        return cost

    @cached_property
    def _fresh(self) -> np.ndarray:
        """Points for validation, as many as the run starts with; by the seed."""
        return self._random(self._first, key(self._setting.seed, "validation"))

    def state_dict(self) -> dict[str, Any]:
        """The interior points, where they move, and what their resampling remembers."""
        state = super().state_dict()
        if self._changes == 0:
            return state
        points = self.problem.coordinates(0).cpu()
        return {**state, "points": points, "changes": self._changes, "changed": self._changed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the interior points where they were."""
        super().load_state_dict(state)
        if "points" in state:
            self._changes, self._changed = int(state["changes"]), float(state["changed"])
            self.problem = self.problem.moved(state["points"].numpy())

    def staged(self, stages: int, chunks: int, executor: Executor) -> StagedProblem:
        """The network cut between its layers, which hand on derivatives by the coordinates.

        Raises ``ValueError`` for a network other than ``dde.nn.FNN``, for more stages than layers,
        for derivatives above the second, and for points that move.
        """
        if self.resampling.name != "none":
            raise ValueError(
                f"problem {self.name!r} cannot be cut into stages while its points move: no "
                "process knows the residual; set problem.resampling = 'none'"
            )
        from ddopt.pipeline import StagedProblem

        named = self.problem.named(self.initial)
        unknowns = {name: named[UNKNOWN + name] for name in self.unknowns}
        self._ends = self.problem.ends(list(unknowns))
        pieces = cut(self._net, stages, unknowns)
        x = self.problem.coordinates(0)[:CHECKED]
        self._ends.check(pieces, self.problem.equations_at(self.initial, x), x)
        setting = self._setting
        self._cut = StagedProblem(
            pieces,
            self._ends.feed,
            self._ends.loss,
            Samples.all(self._ends.count),
            executor,
            chunks=chunks,
            dtype=setting.dtype,
            device=setting.device,
        )
        return self._cut

    _cut: StagedProblem | None = None

    def module(self, theta: torch.Tensor) -> torch.nn.Module:
        """The network, from points (points, dimensions) to values (points, outputs)."""
        return filled(self._net, self.problem.named(theta))

    @torch.no_grad()
    def predict(self, theta: torch.Tensor, points: np.ndarray) -> np.ndarray:
        """The network's solution at points (points, dimensions), shape (points, outputs)."""
        setting = self._setting
        forward = network_at(
            self._net,
            {n: p for n, p in self.problem.named(theta).items() if not n.startswith(UNKNOWN)},
        )
        x = torch.as_tensor(points, dtype=setting.dtype, device=setting.device)
        return torch.cat([forward(some) for some in x.split(BATCH)]).double().cpu().numpy()

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        """``error`` (relative L2 on the grid), and the unknowns with their relative errors.

        ``validation_loss`` is the mean squared residual of the equations at points that are not
        trained on. Where it leaves the loss far behind, the points are too few or badly placed:
        the network satisfies the equation there, and is no solution.
        """
        found = super().measure(theta)
        if self._cut is None and len(self._fresh):
            found["validation_loss"] = float(np.mean(self._residuals(theta, self._fresh) ** 2))
        for name in self.unknowns:
            value = self._coefficient(theta, name)
            found[name] = value
            if name in self.truth:
                found[f"{name}_error"] = math.fabs(value / self.truth[name] - 1.0)
        return found

    def _distance(self, theta: torch.Tensor) -> float:
        """The Euclidean norm of prediction minus reference on the grid."""
        if self._cut is None:
            return super()._distance(theta)
        reference = self._tensor(self.reference)
        return self._distance_in_stages(theta, self.grid, lambda u, i: u - reference[i])

    def _distance_in_stages(
        self,
        theta: torch.Tensor,
        points: np.ndarray,
        difference: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> float:
        """The norm of ``difference`` at ``points`` (points, dimensions), of the stages' solution.

        Args:
            difference: (u, i) -> any shape; u (some, outputs) is the solution at the points i.
        """
        x = self._tensor(points)

        def squares(output: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
            return difference(self._ends.solution(output, x[i]), i).square().sum()

        assert self._cut is not None
        scored = self._cut.scored(lambda i: self._ends.values(x[i]), squares, Samples.all(len(x)))
        return math.sqrt(scored.at(theta).value * len(x))

    def _tensor(self, array: Any) -> torch.Tensor:
        return torch.as_tensor(array, dtype=self._setting.dtype, device=self._setting.device)

    def _coefficient(self, theta: torch.Tensor, name: str) -> float:
        """An unknown coefficient, wherever it is."""
        if self._cut is None:
            return float(self.problem.named(theta)[UNKNOWN + name].detach())
        x = self.problem.coordinates(0)

        def total(output: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
            return self._ends.coefficient(output, name).sum()

        scored = self._cut.scored(lambda i: self._ends.values(x[i]), total, Samples.all(1))
        return scored.at(theta).value
