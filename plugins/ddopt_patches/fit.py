"""Local best fits: output weights with which the patches represent a given function.

Every patch fits the function on its own box, by itself; the windows blend the fits. So a start from
an initial condition, from a coarser grid or from the slab before costs one small least-squares
problem for each patch, and what is represented well on every patch is represented well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ddopt_patches.quadrature import gauss

if TYPE_CHECKING:
    from ddopt_patches.network import Patches

OVERSAMPLED = 2.0  # points of a fit for each feature
DROP = 1e-13  # of the largest singular value


def fit(patches: Patches, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Output weights (S, outputs, K) of the local fits of ``function``, (points, d) -> (points,
    outputs).

    A coarse network over the whole domain is left zero. The function is asked for in the boxes of
    the patches, which end at the ends of the grid.
    """
    grid, local = patches.grid, patches.grid.local
    d, K = grid.dimensions, patches.features
    count = max(2, int((OVERSAMPLED * K) ** (1.0 / d)) + 1)
    along = 2.0 * gauss(count)[0] - 1.0
    t = torch.cartesian_prod(*[along] * d).view(-1, d)  # (P, d), in (−1, 1)
    middles, halves = (one[:local] for one in grid.boxes())
    x = middles[:, None] + halves[:, None] * t  # (S, P, d)
    for axis in grid.periodic:
        start, end = grid.bounds[axis].tolist()
        x[..., axis] = start + (x[..., axis] - start) % (end - start)
    values = function(x.flatten(0, 1)).view(local, len(t), patches.outputs)
    phi = torch.tanh(t @ patches.W[:local].mT + patches.b[:local, None])  # (S, P, K)
    U, values_, V = torch.linalg.svd(phi, full_matrices=False)
    kept = values_ > DROP * values_[:, :1]
    inverse = torch.where(kept, 1.0 / values_.clamp_min(1e-300), torch.zeros_like(values_))
    weights = (V.mT @ (inverse[..., None] * (U.mT @ values))).mT
    nothing = weights.new_zeros(grid.patches - local, *weights.shape[1:])
    return torch.cat([weights, nothing])
