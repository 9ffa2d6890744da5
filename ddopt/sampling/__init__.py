"""Samplings: which samples are D in each outer iteration."""

from ddopt.sampling.sampling import Sampling

__all__ = ["Sampling"]
