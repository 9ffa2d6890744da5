"""What plugin authors test with: conformance checks, small problems, and real processes."""

from ddopt.testing.conformance import (
    check_decomposition,
    check_hessian,
    check_solver,
    check_subproblem,
    check_walk,
)
from ddopt.testing.ranks import run_ranks

__all__ = [
    "check_decomposition",
    "check_hessian",
    "check_solver",
    "check_subproblem",
    "check_walk",
    "run_ranks",
]
