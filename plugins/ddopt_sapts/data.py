"""SAPTS_D: the samples are decomposed, every subdomain moves all parameters."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ddopt.decomposition.data import Data
from ddopt.hessian.quasi_newton import QuasiNewton
from ddopt.method.strategy import Strategy
from ddopt.recombination.mean import Mean
from ddopt.setup.component import Chosen, Settings
from ddopt_sapts.preconditioned import PreconditionedSettings, assemble

if TYPE_CHECKING:
    from ddopt.method.parts import Parts

MATRICES = 2**28  # numbers in the dense matrices of all subdomains, whoever holds them

# Of sapts_d on mini-batches, where not given: docs/design/minibatch.md, its last section but one.
MINI_BATCHES = {"overlap": 0.0, "local_iterations": 8, "recombination": Mean.Config()}


class DataSettings(PreconditionedSettings):
    """Options of the data decomposition."""

    subdomains: int = Field(2, ge=1, description="number of subdomains N")
    overlap: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="fraction of D added to each subdomain's 1/N; by default as much as makes it "
        "half of D, since overlap costs no synchronisation; none where sapts_d has mini-batches",
    )
    consistency: bool = Field(
        True, description="first-order consistent local objectives (equations 3 and 4)"
    )


def assemble_data(options: Any, solver: Settings, *, one_radius: bool = False) -> Parts:
    """The parts of a data-parallel strategy."""
    count, overlap = options.subdomains, options.overlap
    if overlap is None:
        overlap = max(0.0, 0.5 - 1.0 / count)
    decomposition = Data(subdomains=count, overlap=overlap)
    return assemble(
        options, decomposition, solver, consistency=options.consistency, one_radius=one_radius
    )


def within_bounds(solver: Any, count: int) -> Any:
    """A local solver's options, the bounds of its radius divided by N, where it has any.

    The lower one is a share of the first radius, which is divided already.
    """
    rule = getattr(solver, "radius", None)
    if rule is None or not hasattr(rule, "largest"):
        return solver
    bounded = rule.model_copy(update={"largest": rule.largest / count})
    return solver.model_copy(update={"radius": bounded})


class SaptsD(Strategy):
    """Data-parallel SAPTS: long local solves on overlapping parts, and the best of their ends.

    The defaults are those that need the fewest synchronisations (docs/design/decomposition.md). On
    mini-batches they are shorter solves on disjoint parts, and the mean of their ends, which keeps
    what every part has taught when the next batch comes (docs/design/minibatch.md). The method
    exactly as published (arXiv 2502.05133, Algorithm 1) is ``apts``.
    """

    name = "sapts_d"
    look = 1

    class Config(DataSettings):
        """The choices that need the fewest synchronisations."""

        local_iterations: int = Field(
            20, ge=1, description="local iterations ν between two synchronisations; mini-batches: 8"
        )
        recombination: Annotated[Settings, Chosen("recombination")] = Field(
            "best",
            validate_default=True,
            description="how the local steps make one step; mini-batches: mean",
        )
        radius: Annotated[Settings, Chosen("radius")] = Field(
            {"name": "stepwise", "good": 0.5},
            validate_default=True,
            description="how the recombined step's radius follows",
        )
        global_iterations: int = Field(
            0, ge=0, description="iterations of the global pass after each recombined step"
        )

    @property
    def curvature(self) -> dict[str, Any]:
        """A dense matrix for every subdomain while all of them take less than 2 GiB."""
        dense = min(QuasiNewton.Config().dense, isqrt(MATRICES // self.subdomains))
        return {"name": "quasi_newton", "dense": dense}

    def suited(self, sampling: Settings) -> Settings:
        """The options, with ``MINI_BATCHES`` in the place of what was not given."""
        config: Settings = self.config
        batches: Any = sampling.component
        if batches.whole:
            return config
        given = config.model_fields_set
        return config.model_copy(
            update={key: value for key, value in MINI_BATCHES.items() if key not in given}
        )

    def parts(self, solver: Settings) -> Parts:
        """Overlapping parts of the samples, and the best of the points that they reach."""
        return assemble_data(self.config, solver)


class APTS(Strategy):
    """Data-parallel APTS as published: disjoint parts, ν = 5, the sum of the steps, a global step.

    Source: arXiv 2502.05133, Algorithm 1. There is one radius: every local solve begins with Δ/N
    and keeps to it, its bounds divided by N (line 5); Δ̃ follows the ratio of the sum by equation 7,
    in which one η1 = 0.1 accepts and shrinks (line 8); the global iteration begins with Δ̃, and what
    it ends with is the next Δ (line 9). Where the paper leaves the model of the trust regions open
    it is the run's solver.
    """

    name = "apts"
    look = 11

    class Config(DataSettings):
        """The published choices."""

        overlap: float | None = Field(
            0.0, ge=0.0, le=1.0, description="fraction of D added to each subdomain's 1/N"
        )
        recombination: Annotated[Settings, Chosen("recombination")] = Field(
            "sum", validate_default=True, description="how the local steps make one step"
        )
        acceptance: Annotated[Settings, Chosen("acceptance")] = Field(
            {"name": "monotone", "threshold": 0.1},
            validate_default=True,
            description="whether the recombined step is taken",
        )
        radius: Annotated[Settings, Chosen("radius")] = Field(
            "by_ratio",
            validate_default=True,
            description="how the recombined step's radius follows",
        )

    def parts(self, solver: Settings) -> Parts:
        """Parts of the samples, the sum of their steps, one global step, one radius."""
        local = within_bounds(self.config.local_solver or solver, self.subdomains)
        options = self.config.model_copy(update={"local_solver": local})
        if options.global_solver is None:
            options = options.model_copy(update={"global_solver": solver})
        return assemble_data(options, solver, one_radius=True)
