"""Networks cut into stages, each on a process of its own (SAPTS_IP)."""

from ddopt.pipeline.cut import cut, cut_at
from ddopt.pipeline.staged import StagedProblem

__all__ = ["StagedProblem", "cut", "cut_at"]
