"""Decompositions of the samples and of the parameters."""

from ddopt.decomposition.decomposition import Decomposition, Subdomain

__all__ = ["Decomposition", "Subdomain"]
