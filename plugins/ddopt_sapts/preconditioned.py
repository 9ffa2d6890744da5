"""What the preconditioned strategies have in common: their options, and their assembly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ddopt.method.parts import GlobalPass, Parts, Preconditioner
from ddopt.recombination.best import Best
from ddopt.setup.component import Chosen, Norm, Settings

if TYPE_CHECKING:
    from ddopt.decomposition import Decomposition


MemoryPieces = Annotated[
    int,
    Field(
        ge=1,
        description="pieces, at least one for each process, that the vectors which the global "
        "solver remembers are cut into; 1: every process keeps them whole",
    ),
]


class PreconditionedSettings(Settings):
    """Options of every strategy that solves on subdomains."""

    local_iterations: int = Field(
        5, ge=1, description="local iterations ν between two synchronisations (the paper's 5)"
    )
    local_solver: Annotated[Settings, Chosen("solver")] | None = Field(
        None, description="solver of the subdomains; the run's solver where none is given"
    )
    recombination: Annotated[Settings, Chosen("recombination")] = Field(
        "mean", validate_default=True, description="how the local steps make one step"
    )
    acceptance: Annotated[Settings, Chosen("acceptance")] = Field(
        "monotone", validate_default=True, description="whether the recombined step is taken"
    )
    radius: Annotated[Settings, Chosen("radius")] = Field(
        "stepwise", validate_default=True, description="how the recombined step's radius follows"
    )
    first_radius: float = Field(
        1.0, ge=1e-100, le=1e100, description="radius Δ of the first recombined step"
    )
    norm: Norm = Field(
        "2",
        description="norm of the step's radius; inf: the local boxes nest in its box",
    )
    global_iterations: int = Field(
        1, ge=0, description="iterations of the global pass after each recombined step; 0: none"
    )
    global_solver: Annotated[Settings, Chosen("solver")] | None = Field(
        None, description="solver of the global pass; the run's solver where none is given"
    )
    memory_pieces: MemoryPieces = 1
    retries: int = Field(
        0,
        ge=0,
        description="how often a rejected step is tried again, shorter, before new local solves",
    )
    judged: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="fraction of the samples set aside, anew in every iteration, on which f is "
        "compared; for local solvers that walk on micro-batches. 0: f is compared on all samples",
    )


def assemble(
    options: Any,
    decomposition: Decomposition,
    solver: Settings,
    *,
    consistency: bool,
    one_radius: bool = False,
) -> Parts:
    """The parts of a preconditioned strategy: its own choices around a decomposition.

    Raises ``ValueError`` for options that do not go together (``_refuse_misfits``).
    """
    local: Any = options.local_solver or solver
    _refuse_misfits(options, decomposition, local)
    preconditioner = Preconditioner(
        decomposition=decomposition,
        solver=local,
        norm=options.norm,
        recombination=options.recombination.build(),
        acceptance=options.acceptance.build(),
        radius=options.radius.build(),
        iterations=options.local_iterations,
        first_radius=options.first_radius,
        consistency=consistency,
        judged=options.judged,
        one_radius=one_radius,
        retries=options.retries,
    )
    if options.global_iterations == 0:
        return Parts(preconditioner, None)
    global_solver: Any = (options.global_solver or solver).build()
    return Parts(
        preconditioner, GlobalPass(global_solver, options.global_iterations, options.memory_pieces)
    )


def _refuse_misfits(options: Any, decomposition: Decomposition, local: Any) -> None:
    """Raise ``ValueError`` for options that do not go together.

    These are a local solver whose box would stick out of the ball of the 2-norm, the best of ends
    that complete each other, samples that are set aside where a solver compares values on others,
    and retries of a step that one process has.
    """
    if options.retries and isinstance(options.recombination, Best.Config):
        raise ValueError(
            "the recombination 'best' has no step to try again, shorter: its ends have all been "
            "evaluated where they are, and move when one is accepted. Set retries = 0, or "
            "recombination = 'mean'"
        )
    if decomposition.complementary and isinstance(options.recombination, Best.Config):
        raise ValueError(
            "the recombination 'best' keeps what one subdomain has found, and of the decomposition "
            f"{decomposition.name!r} each solves another place: the work of the others would be "
            "lost. Set recombination = 'sum', or 'coarse'"
        )
    if options.judged and (options.global_iterations or not local.component.stochastic):
        raise ValueError(
            "samples set aside can only judge local solvers that walk on micro-batches, with no "
            "global pass: others compare values on the samples that they work on. Set judged = 0, "
            "or local_solver = 'prodigy' (or 'muon') and global_iterations = 0"
        )
    if options.norm == "2" and getattr(local, "norm", "2") == "inf":
        raise ValueError(
            "the local solver keeps to a box (norm = 'inf'), which sticks out of the ball of the "
            "2-norm; set strategy.norm = 'inf' too"
        )
