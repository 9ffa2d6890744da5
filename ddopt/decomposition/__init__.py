"""Decompositions of the samples and of the parameters."""

from ddopt.decomposition.decomposition import Decomposition, Subdomain, inventory, validate

__all__ = ["Decomposition", "Subdomain", "inventory", "validate"]
