"""What plugin authors test with: conformance checks, small problems, and real processes."""

from ddopt.testing.conformance import (
    check_acceptance,
    check_decomposition,
    check_hessian,
    check_solver,
    check_subproblem,
    check_task,
    check_walk,
)
from ddopt.testing.executors import check_executor
from ddopt.testing.ranks import run_ranks

__all__ = [
    "check_acceptance",
    "check_decomposition",
    "check_executor",
    "check_hessian",
    "check_solver",
    "check_subproblem",
    "check_task",
    "check_walk",
    "run_ranks",
]
