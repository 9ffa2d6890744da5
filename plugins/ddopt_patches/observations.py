"""Conditions at points of the user's own (``PointSetBC``, ``PointSetOperatorBC``), by place.

DeepXDE compares with its values in the order of its points. Here points are sorted into cells, so
each one is given the values of its place; where a place was measured repeatedly, their mean, which
has the same minimiser.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree


class Observed:
    """(x, u) -> the error of a condition at some of its points, (points, 1)."""

    def __init__(self, condition: Any) -> None:
        self._condition = copy(condition)
        self._condition.batch_size = None  # all of them, always
        places, inverse = np.unique(np.asarray(condition.points), axis=0, return_inverse=True)
        owner = torch.from_numpy(inverse.reshape(-1))
        self._tree, self._values = cKDTree(places), torch.as_tensor(condition.values)
        if self._values.ndim and len(self._values) == len(owner):
            total = self._values.new_zeros(len(places), *self._values.shape[1:])
            counts = torch.bincount(owner).to(total).view(-1, *[1] * (total.ndim - 1))
            self._values = total.index_add_(0, owner, self._values) / counts

    def __call__(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """DeepXDE's error at the points ``x``, which are its own."""
        array = x.detach().cpu().numpy()
        if self._values.ndim:
            self._condition.values = self._values[self._tree.query(array)[1]]
        found: torch.Tensor = self._condition.error(array, x, u, 0, len(x))
        return found
