"""Recombinations of local steps."""

from ddopt.recombination.recombination import Corrections, Recombination, Recombined

__all__ = ["Corrections", "Recombination", "Recombined"]
