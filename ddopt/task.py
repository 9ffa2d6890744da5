"""Tasks: what a run file names under ``problem`` - something to train, and how well it went.

A task makes the :class:`ddopt.evaluation.problem.Problem` that the methods see, the initial
parameters, and the figures of merit and pictures that people look at.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ddopt.method.blame import blamed, broken, described, number
from ddopt.setup.component import Component

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.pipeline import StagedProblem


@dataclass(frozen=True)
class Setting:
    """What a run decides for its task: one seed, one dtype, one device."""

    seed: int = 0
    dtype: torch.dtype = torch.float64
    device: torch.device = torch.device("cpu")  # noqa: RUF009


@dataclass(frozen=True)
class Status:
    """How a run stands before an iteration, for a task that may change f then."""

    evaluations: float = 0.0  # per process so far, in full gradients
    loss: float = math.inf  # f of now at θ
    stalled: int = 0  # iterations in a row that have rejected their step


class Task(Component):
    """Something to train, from a plugin. ``prepare`` comes first and is called once."""

    seam = "problem"

    problem: Problem
    initial: torch.Tensor  # the first parameters, shape (n,)
    keeps_curvature: bool = False  # whether that of the old f is worth something after ``renew``

    @abstractmethod
    def prepare(self, setting: Setting) -> None:
        """Set ``self.problem`` and ``self.initial``; the same in every process."""

    def staged(self, stages: int, chunks: int, executor: Executor) -> StagedProblem:
        """The problem cut into stages, each on the process that owns it; for SAPTS_IP.

        Raises ``ValueError`` where there is no network in one line to cut.
        """
        raise ValueError(
            f"problem {self.name!r} cannot be cut into stages: it has no method 'staged'; choose a "
            "strategy that decomposes samples or layers"
        )

    def renew(self, theta: torch.Tensor, status: Status) -> float | None:
        """Before an iteration: make f another function (new points), or None if f stays.

        ``self.problem`` is then the new one, on which f and g are evaluated anew; acceptance
        forgets the old values. It must depend on nothing but the seed, θ (n,), the ``status`` of
        the run, and the task's own state, after whose ``load_state_dict`` ``self.problem`` is as it
        was. Returns what it has cost, in full gradients.
        """
        return None

    def proceed(self, theta: torch.Tensor) -> torch.Tensor | None:
        """Where f has nothing left to gain: set ``self.problem`` to the next problem, if any.

        Returns the parameters that it starts from, as many as it has, and the run goes on with a
        method that knows nothing yet; None: the run ends. For problems that are solved one after
        the other: time slabs, finer grids. What is finished is the task's own state, after whose
        ``load_state_dict`` ``self.problem`` is as it was.
        """
        return None

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        """Figures of merit at ``theta``: ``error`` (relative L2), ``accuracy``, ..."""
        return {}

    def module(self, theta: torch.Tensor) -> torch.nn.Module | None:
        """A copy of the network with these parameters; None where there is no network.

        It is what ``ddopt.train(...).model`` gives; ``filled`` makes the copy.
        """
        return None

    def draw(self, theta: torch.Tensor, metrics: list[dict[str, Any]], folder: Path) -> list[Path]:
        """Draw the figures of a finished run into ``folder``; returns the files.

        ``metrics`` are the lines of ``metrics.jsonl``. Needs matplotlib; called on one process.
        """
        return []

    def animate(self, theta: torch.Tensor, frames: int, folder: Path) -> list[Path]:
        """Draw a solution that moves, in so many frames, into ``folder``; returns the files."""
        return []


def filled(network: torch.nn.Module, named: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """A copy of a network whose parameters and buffers of these names have these values."""
    made = copy.deepcopy(network)
    own = made.state_dict()
    made.load_state_dict({**own, **{key: value for key, value in named.items() if key in own}})
    return made


def prepare(task: Task, setting: Setting) -> None:
    """Call ``task.prepare``; raises ``ValueError`` where it has not set what it has to."""
    with blamed(task, "prepare()"):
        task.prepare(setting)
    lacking = [name for name in ("problem", "initial") if not hasattr(task, name)]
    if lacking:
        raise ValueError(
            f"problem {task.name!r}: prepare() must set self.problem and self.initial; it has not "
            f"set {' and '.join(lacking)}"
        )
    n, shape = task.problem.layout.size, getattr(task.initial, "shape", None)
    if shape is None or tuple(shape) != (n,):
        shown = f"is a {type(task.initial).__name__}"
        if shape is not None:
            shown = f"has the shape {tuple(shape)}"
        raise ValueError(
            f"problem {task.name!r}: self.initial {shown}; its layout has {n} parameters, so it "
            f"must be a tensor of shape ({n},)"
        )


def figures(task: Task, theta: torch.Tensor) -> dict[str, float]:
    """What ``task.measure`` gives at ``theta`` (n,); raises ``ValueError`` for what is no number.

    Called by runs and comparisons wherever they measure.
    """
    with blamed(task, "measure()"):
        found = task.measure(theta)
    if not isinstance(found, dict):
        raise broken(task, "measure()", "a dict of numbers by their names", found)
    for name, figure in found.items():
        if not number(figure):
            wanted = f"numbers, and so float(...) for {name!r}"
            raise broken(task, "measure()", wanted, described(figure))
    return dict(found)
