"""Solvers for subdomains and for the global pass."""

from ddopt.solver.solver import Answer, Solver

__all__ = ["Answer", "Solver"]
