"""Why a run stops. All numbers that decide it are the same on every process."""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point
    from ddopt.method.parts import StepReport
    from ddopt.numerics.vectors import Geometry
    from ddopt.run.tally import Tally
    from ddopt.setup.config import Stop

PATIENCE = 20  # idle iterations; local radii may still be shrinking while nothing else changes


class StopReason(Enum):
    """The outcome of a run; the value says what can be done about it."""

    ITERATIONS = "all iterations are done; resume with a larger stop.iterations to go on"
    EVALUATIONS = "all evaluations are spent; resume with more stop.evaluations to go on"
    SECONDS = "the time is up; resume with more stop.seconds to go on"
    PROCESSOR_SECONDS = "the work is done; resume with more stop.processor_seconds to go on"
    LOSS = "the loss has reached stop.loss"
    ERROR = "the error has reached stop.error"
    STATIONARY = (
        "no solver finds a direction of descent: the point is stationary to working precision. "
        "Where the error is small this is the end; otherwise another seed leads elsewhere, and a "
        "larger network (on patches: more cells or features) may fit better"
    )
    RADIUS_TOO_SMALL = (
        "the radius is at its lower bound and steps are still rejected: usually the loss is as low "
        "as its round-off lets one see (in float32, dtype = 'float64' goes further); otherwise it "
        "is random or not smooth"
    )
    UNDERFLOW = (
        "the loss, or its gradient, is smaller than the smallest number that has all its digits: "
        "nothing can be said about the point; multiply the loss by a constant, or set "
        "dtype = 'float64'"
    )
    NON_FINITE = (
        "the loss is not finite at the iterate: look at the data and the first parameters, and at "
        "the learning rate if the solver has one"
    )
    NO_FINITE_STEP = (
        "the loss is finite, but its gradient, or with it the Jacobian or the Hessian, is not at "
        "the iterate, or no step from it leads where all of them are: look for sqrt, log, norm and "
        "division at 0, and for powers below 1, whose derivatives are infinite there; where only "
        "second derivatives are, a Hessian approximation from gradients ('lsr1') does without them"
    )
    INTERRUPTED = "stopped from outside; ddopt resume continues with the same bits"
    REQUESTED = "a plugin asked the run to stop"

    @property
    def failed(self) -> bool:
        """Whether the run could not go on; the command then ends with an exit code of its own."""
        return self in (StopReason.NON_FINITE, StopReason.NO_FINITE_STEP)

    @property
    def key(self) -> str:
        """The word that is written to the summary."""
        return self.name.lower()


FINAL = (  # whatever the limits are
    StopReason.STATIONARY,
    StopReason.RADIUS_TOO_SMALL,
    StopReason.UNDERFLOW,
    StopReason.NON_FINITE,
    StopReason.NO_FINITE_STEP,
)


def why(
    stop: Stop, tally: Tally, report: StepReport | None, error: float | None
) -> StopReason | None:
    """The reason to stop now, if there is one; ``report`` is of the last iteration."""
    if not math.isfinite(tally.loss):
        return StopReason.NON_FINITE
    if stop.loss is not None and tally.loss <= stop.loss:
        return StopReason.LOSS
    if stop.error is not None and error is not None and error <= stop.error:
        return StopReason.ERROR
    non_finite = report is not None and report.non_finite > 0
    if report is not None and not report.tried and not non_finite:
        return StopReason.STATIONARY
    if (report is not None and report.stuck) or (tally.idle >= PATIENCE and non_finite):
        return StopReason.NO_FINITE_STEP
    if tally.idle >= PATIENCE:
        return StopReason.RADIUS_TOO_SMALL
    for limit, spent, reason in (
        (stop.iterations, tally.iterations, StopReason.ITERATIONS),
        (stop.evaluations, tally.parallel, StopReason.EVALUATIONS),
        (stop.seconds, tally.seconds, StopReason.SECONDS),
        (stop.processor_seconds, tally.processor_seconds, StopReason.PROCESSOR_SECONDS),
    ):
        if limit is not None and spent >= limit:
            return reason
    return None


def resumed(stop: Stop, tally: Tally, ended: str | None, error: float | None) -> StopReason | None:
    """The reason why a run that is resumed has nothing to do, if there is one.

    ``ended`` is the word for why it stopped, from its checkpoint. Where the method itself had come
    to an end, the run that never stopped had too, whatever its limits are now.
    """
    reason = why(stop, tally, None, error)
    known = StopReason[ended.upper()] if ended else None
    return known if known in FINAL and reason not in (StopReason.LOSS, StopReason.ERROR) else reason


def seen(reason: StopReason | None, point: Point, geometry: Geometry) -> StopReason | None:
    """The reason, or that the numbers at ``point`` are too small to give one.

    A collective in stages, where the method has come to an end by itself.
    """
    if reason not in (StopReason.STATIONARY, StopReason.RADIUS_TOO_SMALL):
        return reason
    number = torch.finfo(point.theta.dtype)
    value, largest = abs(point.value), geometry.length(point.gradient, "inf")
    # A gradient that is 0 beside a loss of a few digits more may have been rounded to it.
    lost = 0.0 < value < number.tiny / number.eps if largest == 0.0 else largest < number.tiny
    return StopReason.UNDERFLOW if lost else reason
