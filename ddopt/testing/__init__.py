"""What plugin authors test with: conformance checks, small problems, and real processes."""

from ddopt.testing.acceptance import check_acceptance
from ddopt.testing.baseline import check_baseline
from ddopt.testing.conformance import check_solver, check_walk
from ddopt.testing.decomposition import check_decomposition
from ddopt.testing.executors import check_executor
from ddopt.testing.hessian import check_hessian
from ddopt.testing.hooks import check_commands, check_hooks
from ddopt.testing.problem import check_problem
from ddopt.testing.radius import check_radius
from ddopt.testing.ranks import run_ranks
from ddopt.testing.recombination import check_recombination
from ddopt.testing.sampling import check_sampling
from ddopt.testing.strategy import check_strategy
from ddopt.testing.subproblem import check_subproblem
from ddopt.testing.task import check_task

__all__ = [
    "check_acceptance",
    "check_baseline",
    "check_commands",
    "check_decomposition",
    "check_executor",
    "check_hessian",
    "check_hooks",
    "check_problem",
    "check_radius",
    "check_recombination",
    "check_sampling",
    "check_solver",
    "check_strategy",
    "check_subproblem",
    "check_task",
    "check_walk",
    "run_ranks",
]
