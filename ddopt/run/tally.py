"""The tally of a run: what its iterations have added up to; part of its state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddopt.method.parts import StepReport


@dataclass
class Tally:
    """Counters over all outer iterations, resumed ones included."""

    iterations: int = 0
    accepted: int = 0
    rejected: int = 0
    parallel: float = 0.0  # full gradients on the longest path
    total: float = 0.0  # full gradients over all processes
    bytes_sent: int = 0  # by all processes together
    collectives: int = 0
    seconds: float = 0.0  # of training, by the clock of process 0
    processor_seconds: float = 0.0  # of training, of all processes together
    loss: float = math.nan
    radius: float = math.nan
    global_radius: float = math.nan
    stalled: int = 0  # iterations in a row that rejected their step
    idle: int = 0  # iterations in a row that changed nothing: no parameter, no radius

    def count(self, report: StepReport) -> None:
        """Add one iteration."""
        self.iterations += 1
        self.accepted += report.accepted
        self.rejected += not report.accepted
        self.parallel += report.parallel
        self.total += report.total
        self.loss = report.loss
        before = (self.radius, self.global_radius)
        self.radius = report.radius
        self.global_radius = math.nan if report.global_radius is None else report.global_radius
        now = (self.radius, self.global_radius)
        moved = report.accepted or report.global_accepted > 0
        self.stalled = 0 if moved else self.stalled + 1
        self.idle = self.idle + 1 if not moved and repr(before) == repr(now) else 0
