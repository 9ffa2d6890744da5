"""Strategies: named methods. A strategy only chooses parts; the loop is the engine's."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ddopt.setup.component import Component

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.method.parts import Parts
    from ddopt.setup.component import Settings
    from ddopt.task import Task


class Strategy(Component):
    """A method: which decomposition, which recombination, which acceptance, which global pass."""

    seam = "strategy"

    look: ClassVar[int | None] = None  # its place in the palette of figures; by its name if None

    @property
    def curvature(self) -> str | dict[str, Any]:
        """The Hessian approximation of trust regions whose hessian is not given."""
        return "lsr1"

    def settled(self, solver: Settings) -> Settings:
        """A solver's options, with this strategy's curvature where none is given.

        ``ddopt.setup.resolved.resolve`` calls it, for the run's solver and for each that the
        strategy's own options name.
        """
        from ddopt.solver.trust_region import TrustRegion

        if isinstance(solver, TrustRegion.Config):
            return solver.with_curvature(self.curvature)
        return solver

    def suited(self, sampling: Settings) -> Settings:
        """Its options; those that were not given may depend on the run's sampling.

        ``ddopt.setup.resolved.resolve`` calls it first, and builds the strategy from what it gives.
        """
        options: Settings = self.config
        return options

    @property
    def subdomains(self) -> int:
        """N."""
        return int(getattr(self.config, "subdomains", 1))

    @property
    def shares(self) -> int:
        """In how many shares f(·; D) is evaluated, where its samples can be shared out."""
        return self.subdomains

    def place(self, task: Task, executor: Executor) -> tuple[Problem, torch.Tensor]:
        """What this process holds of the task: the problem, and its first parameters."""
        return task.problem, task.initial

    @abstractmethod
    def parts(self, solver: Settings) -> Parts:
        """The parts of the method; ``solver`` are the options of its local and global solvers."""
