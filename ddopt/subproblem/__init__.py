"""Trust-region subproblem solvers."""

from ddopt.subproblem.subproblem import Candidate, Subproblem

__all__ = ["Candidate", "Subproblem"]
