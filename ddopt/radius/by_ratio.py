"""The radius rule of APTS: by the ratio alone."""

from __future__ import annotations

from ddopt.radius.stepwise import Stepwise
from ddopt.radius.trial import Trial


class ByRatio(Stepwise):
    """Δ⁺ = min(βΔ, Δmax) if ρ > η2, max(αΔ, Δmin) if ρ < η1, Δ otherwise.

    Source: arXiv 2502.05133, equation 7. ``stepwise`` looks at the length of the step, too.
    """

    name = "by_ratio"

    class Config(Stepwise.Config):
        """Options of the rule."""

    def update(self, trial: Trial) -> float:
        """Apply the rule to one trial."""
        options = self.config
        if trial.ratio > options.good:
            return float(min(options.grow * trial.radius, options.largest))
        if trial.ratio < options.bad:
            return float(max(options.shrink * trial.radius, options.smallest))
        return trial.radius
