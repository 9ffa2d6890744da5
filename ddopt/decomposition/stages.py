"""Stage decomposition: each subdomain moves one stage of a pipeline (SAPTS_IP)."""

from __future__ import annotations

from ddopt.decomposition.decomposition import Decomposition, Subdomain
from ddopt.evaluation.problem import Problem


class Stages(Decomposition):
    """One subdomain for each stage that the problem is cut into; all samples in each.

    What a stage minimises is the problem's business (:mod:`ddopt.pipeline`): it is exact to first
    order, and needs nothing from the other stages.
    """

    name = "stages"

    def split(self, problem: Problem) -> list[Subdomain]:
        """The stages; a single one is the problem itself."""
        stages = problem.stages()
        if len(stages) == 1:
            return [Subdomain(0)]
        return [Subdomain(d, indices=stage) for d, stage in enumerate(stages)]
