"""Rules for the trust-region radius."""

from ddopt.radius.radius import RadiusRule, Trial, unusable

__all__ = ["RadiusRule", "Trial", "unusable"]
