"""What one outer iteration reports. Evaluations are full gradients: one of f(·; D) is 1."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddopt.radius.trial import Trial


@dataclass
class StepReport:
    """What one outer iteration did; one line of ``metrics.jsonl``."""

    iteration: int = 0  # k, of the step
    loss: float = math.nan  # f after it, on the samples that judged it
    ratio: float | None = None  # ρ of s; of the global pass where there is nothing else
    radius: float = math.nan  # Δ after it
    accepted: bool = False
    step_norm: float = 0.0  # ‖s‖ in the norm of Δ, taken or not
    local_accepted: int = 0  # steps of the local solvers, all subdomains together
    local_rejected: int = 0
    global_ratio: float | None = None  # ρ and Δ of the global pass, at its end
    global_radius: float | None = None
    global_accepted: int = 0
    global_rejected: int = 0
    parallel: float = 0.0  # evaluations on the longest path, one process for each subdomain
    total: float = 0.0  # evaluations over all processes
    bytes_sent: int = 0  # by this process
    collectives: int = 0
    retried: int = 0  # shortened steps that have been tried
    refuted: int = 0  # steps that independent samples have rejected
    non_finite: int = 0  # starts, models and trials that were not finite, of all solvers
    stuck: bool = False  # whether f or ∇f is not finite at θ_k, and θ_k cannot be left
    trials: list[Trial] = field(default_factory=list)  # the recombined steps, as they were judged

    @property
    def tried(self) -> bool:
        """Whether any solver found a step to try; a stationary point is where none does.

        A step that was made of their answers counts too, for solvers that do not count their own.
        """
        local = self.local_accepted or self.local_rejected
        return bool(local or self.global_accepted or self.global_rejected or self.step_norm > 0.0)
