"""What a method is made of. Source of the steps: arXiv 2502.05133, Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ddopt.method.report import StepReport as StepReport
from ddopt.solver.pieces import InPieces

if TYPE_CHECKING:
    from ddopt.acceptance import Acceptance
    from ddopt.decomposition import Decomposition
    from ddopt.executor import Executor
    from ddopt.radius import RadiusRule
    from ddopt.recombination import Recombination
    from ddopt.solver import Solver


@dataclass(frozen=True)
class Preconditioner:
    """The parts of steps 2 to 4: the subdomains, their solver, and what becomes of their steps."""

    decomposition: Decomposition
    solver: Any  # options of the local solver; each subdomain builds one of its own
    recombination: Recombination
    acceptance: Acceptance
    radius: RadiusRule
    iterations: int = 5  # ν; the paper's choice
    first_radius: float = 1.0
    consistency: bool = True
    retries: int = 0  # of a rejected step, each shorter, before the subdomains are solved anew
    norm: str = "2"  # of the recombined step's radius and of the local balls; or "inf"
    one_radius: bool = False  # local solves begin with Δ_d, the global pass with Δ, which it moves
    judged: float = 0.0  # the fraction of D set aside to judge by; 0: f is compared on all of D

    @property
    def walking(self) -> bool:
        """Whether the local solvers walk on micro-batches, which no ball holds."""
        return bool(self.solver.component.stochastic)


@dataclass(frozen=True)
class GlobalPass:
    """The parts of step 5: trust-region iterations on f(·; D) itself.

    Raises ``ValueError`` for a solver that walks on micro-batches: nobody would judge its end.
    """

    solver: Solver
    iterations: int = 1
    memory_pieces: int = 1  # that the solver's vectors are cut into; 1: whole on every process

    def __post_init__(self) -> None:
        """Refuse a solver whose answer is not a point that has been evaluated."""
        if self.solver.stochastic:
            raise ValueError(
                f"solver {self.solver.name!r} walks on micro-batches and leaves its end to be "
                "judged, so it cannot be the global solver; make it the local_solver of a "
                "decomposed strategy, as sapts_m does, and choose another solver beside it"
            )

    def on(self, executor: Executor) -> GlobalPass:
        """The same, the memory of its solver shared out over the processes."""
        if self.memory_pieces == 1:
            return self
        return replace(self, solver=InPieces(self.solver, self.memory_pieces, executor))


@dataclass(frozen=True)
class Parts:
    """A method is a choice of parts. Without a preconditioner it is the global solver alone."""

    preconditioner: Preconditioner | None
    global_pass: GlobalPass | None

    @property
    def least_squares(self) -> bool:
        """Whether one of its solvers works on residuals."""
        solvers = [self.global_pass.solver] if self.global_pass is not None else []
        if self.preconditioner is not None:
            solvers.append(self.preconditioner.solver.build())
        return any(solver.least_squares for solver in solvers)
