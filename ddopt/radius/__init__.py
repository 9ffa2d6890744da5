"""Rules for the trust-region radius."""

from ddopt.radius.radius import RadiusRule, Trial

__all__ = ["RadiusRule", "Trial"]
