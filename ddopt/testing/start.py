"""Where checks begin: a problem, and a random θ that is not zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ddopt.testing.problems import regression

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem


def begin(problem: Problem | None) -> tuple[Problem, torch.Tensor]:
    """A problem, the kit's own where none is given, and a seeded random θ (n,) for it."""
    if problem is None:
        return regression()
    return problem, 0.3 * normal(problem.layout.size, 0).to(problem.layout.dtype)


def normal(n: int, seed: int) -> torch.Tensor:
    """Normal numbers (n,) that follow from a seed."""
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
