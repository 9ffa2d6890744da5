"""Rules for the trust-region radius."""

from ddopt.radius.radius import RadiusRule
from ddopt.radius.trial import Trial, unusable

__all__ = ["RadiusRule", "Trial", "unusable"]
