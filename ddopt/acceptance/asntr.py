"""Non-monotone acceptance with additional sampling: independent samples must agree, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ddopt.acceptance.acceptance import Acceptance, Verdict

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem

DECAY = 1.1  # t_k = c/(k + 1)^1.1 is summable


class ASNTR(Acceptance):
    """f_ref = f_k + t_k Δ_k on the mini-batch, and a second test on samples that it did not see.

    A trial that the mini-batch takes must also satisfy, on the additional samples D,

        f_D(θ_k) + c_D/(k + 1)^1.1 − f_D(θ_k + s) ≥ ν ‖∇f_D(θ_k)‖²,

    else it is rejected and counted as refuted, from which the sampling ``adaptive`` learns to take
    larger batches. Where the problem has no additional samples (the full batch, a local problem)
    only the first test is left: a deterministic non-monotone method. Source: Krejić, Krklec
    Jerinkić, Martínez and Yousefi, Comput. Optim. Appl. (2024).
    """

    name = "asntr"

    class Config(Acceptance.Config):
        """Both tests' tolerances for a rise."""

        slack: float = Field(
            1.0, ge=0.0, description="c in t_k = c/(k + 1)^1.1, the rise forgiven per unit of Δ_k"
        )
        sample_slack: float = Field(
            1.0, ge=0.0, description="c_D, the rise forgiven on the additional samples"
        )
        sample_threshold: float = Field(
            1e-4, ge=0.0, description="ν, the decrease asked of the additional samples"
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._count = 0  # k
        self._allowed = 0.0  # t_k Δ_k of the trial at hand

    def consider(
        self, problem: Problem, point: Point, trial: Point, predicted: float, radius: float
    ) -> Verdict:
        """Judge by the mini-batch, then ask the additional samples."""
        summable = (self._count + 1.0) ** -DECAY
        self._count += 1
        self._allowed = self.config.slack * summable * radius
        verdict = super().consider(problem, point, trial, predicted, radius)
        if not verdict.accepted or problem.extra is None:
            return verdict
        extra = problem.extra
        here = extra.both(point.theta)
        gain = here.value + self.config.sample_slack * summable - extra.at(trial.theta).value
        needed = self.config.sample_threshold * problem.geometry.norm(here.gradient) ** 2
        agreed = gain >= needed  # false for NaN
        return replace(verdict, accepted=agreed, refuted=not agreed)

    def ratio(self, value: float, trial: float, predicted: float) -> float:
        """ρ = (f_k + t_k Δ_k − f⁺) / pred."""
        return (value + self._allowed - trial) / predicted

    def state_dict(self) -> dict[str, Any]:
        """k."""
        return {"count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._count = int(state["count"])
