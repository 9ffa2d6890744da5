"""The course of a walk: the values that it passes, and whether it has lost what it had gained."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

GROUP = 20  # values of a mean
SURE = 4.0  # standard errors by which two means must differ
FEWEST = 8  # groups whose halves are compared
LOST = 0.5  # of what had been gained


class Mean(NamedTuple):
    """A mean of values, and its standard error."""

    value: float
    error: float


class Course:
    """Means over groups of successive values of f on micro-batches, and the lowest of them.

    A single value says little: it is of a few samples. A walk is *lost* when a mean of ``GROUP``
    values lies above the lowest one by half of the gain, from the first mean to the lowest, and by
    four standard errors of the difference, so that noise is no reason. It *stalls* when the later
    half of the groups since its last change is not lower than the earlier half by a standard error
    of the difference: then steps of this length lead round the minimiser. The halves are compared
    after 8, 16, 32 ... groups, so that a slow descent is given the time to show. Walks whose judge
    looks once in a pass (`AveragedWalk`) ask it after every evaluation.
    """

    def __init__(self) -> None:
        self.first: Mean | None = None
        self.lowest: Mean | None = None
        self._values: list[float] = []
        self._means: list[float] = []  # since the last change

    def passed(self, value: float) -> Literal["on", "lowest", "lost", "stalled"]:
        """Note the next value: it may complete the lowest mean so far, or one that is too high."""
        self._values.append(value)
        if len(self._values) < GROUP:
            return "on"
        mean = _mean(self._values)
        self._values = []
        self._means.append(mean.value)
        if self.first is None or self.lowest is None:
            self.first = self.lowest = mean
            return "lowest"
        if mean.value <= self.lowest.value:
            self.lowest = mean
            return "stalled" if self._stalled() else "lowest"
        noise = SURE * math.hypot(mean.error, self.lowest.error)
        gain = self.first.value - self.lowest.value
        if mean.value - self.lowest.value > max(noise, LOST * gain):
            return "lost"
        return "stalled" if self._stalled() else "on"

    def _stalled(self) -> bool:
        count = len(self._means)
        if count < FEWEST or count & (count - 1):
            return False
        earlier, later = _mean(self._means[: count // 2]), _mean(self._means[count // 2 :])
        return earlier.value - later.value < math.hypot(earlier.error, later.error)

    def change(self) -> None:
        """Begin anew: what comes next is of another place, and of other steps."""
        self._values, self._means = [], []

    def state_dict(self) -> dict[str, Any]:
        """Both means, and the values of a group that is not complete."""
        means = {"first": self.first, "lowest": self.lowest}
        kept = {name: None if mean is None else [*mean] for name, mean in means.items()}
        return {**kept, "values": list(self._values), "means": list(self._means)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.first, self.lowest = (
            None if state[name] is None else Mean(*state[name]) for name in ("first", "lowest")
        )
        self._values = [float(value) for value in state["values"]]
        self._means = [float(value) for value in state["means"]]


def _mean(values: list[float]) -> Mean:
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return Mean(mean, math.sqrt(variance / count))
