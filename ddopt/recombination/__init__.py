"""Recombinations of local steps."""

from ddopt.recombination.recombination import Corrections, Found, Recombination, Recombined

__all__ = ["Corrections", "Found", "Recombination", "Recombined"]
