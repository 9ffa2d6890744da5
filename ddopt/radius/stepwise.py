"""The classical radius rule: grow by a factor on good steps, shrink by a factor on bad ones."""

from __future__ import annotations

from pydantic import Field

from ddopt.radius.radius import RadiusRule
from ddopt.radius.trial import Trial
from ddopt.setup.component import Settings


class Stepwise(RadiusRule):
    """Δ⁺ = min(βΔ, Δmax) if ρ > η2, max(α min(Δ, ‖s‖), Δmin) if ρ < η1, Δ otherwise.

    The radius grows only where the step reached the boundary, and shrinks from the length of the
    step: a ball that the step did not fill had no part in it (Nocedal and Wright, Numerical
    Optimization, Algorithm 4.1). ``by_ratio`` is the rule of arXiv 2502.05133, equation 7.
    """

    name = "stepwise"

    class Config(Settings):
        """Options of the rule; the thresholds are those of Nocedal and Wright, chapter 4."""

        grow: float = Field(2.0, gt=1.0, description="factor β after a very good step")
        shrink: float = Field(0.5, gt=0.0, lt=1.0, description="factor α after a bad step")
        good: float = Field(0.75, gt=0.0, lt=1.0, description="very good above this ratio (η2)")
        bad: float = Field(0.1, ge=0.0, lt=1.0, description="bad below this ratio (η1)")
        smallest: float = Field(
            1e-12,
            gt=0.0,
            description="the radius never falls below this share of the first one (Δmin/Δ0)",
        )
        largest: float = Field(1e300, gt=0.0, description="the radius never exceeds this (Δmax)")

    def update(self, trial: Trial) -> float:
        """Apply the rule to one trial."""
        options = self.config
        if trial.ratio > options.good and trial.step_norm >= 0.8 * trial.radius:
            return min(options.grow * trial.radius, options.largest)
        if trial.ratio < options.bad:
            shorter = options.shrink * min(trial.radius, trial.step_norm)
            return max(shorter, options.smallest * trial.first)
        return trial.radius
