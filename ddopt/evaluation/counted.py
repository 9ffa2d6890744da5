"""Residuals that are compared with each other: as many of them at every point."""

from __future__ import annotations


def refuse_another_number(before: int, now: int) -> None:
    """Raise ``ValueError`` where there are other residuals ``now`` than ``before``."""
    if now != before:
        raise ValueError(
            f"the closure returned {now} residuals, and {before} where this step starts; within a "
            "step they are compared one by one: draw points before step, pass them as its batch, "
            "or call optimizer.reset() where there are others from now on"
        )
