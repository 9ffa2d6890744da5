"""Acceptance policies."""

from ddopt.acceptance.acceptance import Acceptance, Verdict

__all__ = ["Acceptance", "Verdict"]
