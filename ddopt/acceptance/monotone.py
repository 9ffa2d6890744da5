"""Monotone acceptance: every accepted step decreases f."""

from ddopt.acceptance.acceptance import Acceptance


class Monotone(Acceptance):
    """f_ref = f(θ_k): the classical ratio (arXiv 2502.05133, equation 6)."""

    name = "monotone"

    def ratio(self, value: float, trial: float, predicted: float) -> float:
        """ρ = (f_k − f⁺) / pred."""
        return (value - trial) / predicted
