"""The loss of a physics-informed network: residuals at collocation points, term by term.

Term 0 asks for the equations at the interior points; each boundary or initial condition is one more
term at points of its own. A term is the mean over its points of the squared residuals:

    f(θ) = (1/m_0) Σ_i ‖N[u_θ](x_i)‖² + Σ_t (w/m_t) Σ_i |B_t[u_θ](x_{t,i})|²

Systems of equations are one term, since their equations share the points. Conditions are DeepXDE's
and see exactly what they would see there: all their points and an array that never changes (they
cache values by its identity). On a part of the points the network is evaluated at that part only,
and its outputs are put into their places before the condition is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ddopt.evaluation.problem import Samples
from ddopt_pinn.library import dde, numbers

Forward = Callable[[torch.Tensor], torch.Tensor]
Equation = Callable[[torch.Tensor, torch.Tensor], Any]


class Collocation:
    """The points of a ``dde.data.PDE`` and the residuals of a network there."""

    def __init__(
        self,
        data: Any,
        interior: np.ndarray,
        weight: float,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.dtype, self.device = dtype, device
        self._conditions = list(data.bcs)
        for condition in self._conditions:
            if getattr(condition, "batch_size", None) is not None:
                raise ValueError(
                    f"{type(condition).__name__} has a batch_size of its own; give it all points, "
                    "and let the decomposition or the sampling choose among them"
                )
        ends = np.cumsum([0, *data.num_bcs])
        self._ranges = [(int(a), int(b)) for a, b in pairwise(ends)]
        self._array = data.train_x_bc  # kept: the conditions cache by its identity
        self._interior = self._tensor(interior)  # shape: (m_0, dimensions)
        self._boundary = self._tensor(self._array)  # shape: (Σ points of conditions, dimensions)
        self._rows = [self._pairing(t) for t in range(len(self._conditions))]
        self.counts = (len(interior), *(len(rows) for rows in self._rows))
        for t, count in enumerate(self.counts[1:]):
            if count == 0:
                raise ValueError(
                    f"condition {t} ({type(self._conditions[t]).__name__}) has no points, so that "
                    "it would be left out: an IC needs problem.initial (num_initial in a script), "
                    "the others problem.boundary (num_boundary), and its filter must keep some"
                )
        self.weights = (1.0, *(weight for _ in self._conditions))

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(array, dtype=self.dtype, device=self.device).requires_grad_()

    def moved(self, interior: np.ndarray) -> Collocation:
        """The same conditions with other interior points, shape (m_0, dimensions)."""
        other = copy(self)
        other._interior = self._tensor(interior)
        other.counts = (len(interior), *self.counts[1:])
        return other

    def equations(self, forward: Forward, equation: Equation, x: torch.Tensor) -> torch.Tensor:
        """The residuals of the equations at any points ``x`` (points, dimensions), detached."""
        with torch.enable_grad(), numbers(self.dtype, self.device):
            try:
                return self._equations_at(forward, equation, x.detach().requires_grad_()).detach()
            finally:
                dde.grad.clear()

    def _pairing(self, condition: int) -> torch.Tensor:
        """Which points each residual of a condition needs, shape (residuals, points of each).

        A periodic or interface condition compares the first half of its points with the second.
        """
        start, end = self._ranges[condition]
        points = torch.arange(start, end)
        paired = isinstance(
            self._conditions[condition], (dde.icbc.PeriodicBC, dde.icbc.Interface2DBC)
        )
        return points.view(2, (end - start) // 2).T if paired else points[:, None]

    def points(self, term: int) -> torch.Tensor:
        """Where the samples of a term lie, shape (m_t, dimensions)."""
        if term == 0:
            return self._interior.detach()
        return self._boundary.detach()[self._rows[term - 1][:, 0]]

    def inputs(self, samples: Samples) -> torch.Tensor:
        """Where ``residuals`` asks for the network, call after call, shape (points, dimensions)."""
        inside = self._interior.detach()[samples.terms[0]]
        return torch.cat([inside, self._outside(samples.terms[1:]).detach()])

    def residuals(
        self, forward: Forward, equation: Equation, samples: Samples
    ) -> list[torch.Tensor]:
        """The residuals of each term at its samples, shape (samples, equations) each.

        They are derivatives themselves, so they need a graph even where their own is not wanted.
        """
        wanted = torch.is_grad_enabled()
        with torch.enable_grad(), numbers(self.dtype, self.device):
            try:
                inside = self._equations(forward, equation, samples.terms[0])
                found = [inside, *self._on_conditions(forward, samples.terms[1:])]
            finally:
                dde.grad.clear()  # its cache would hold the graph of every evaluation
        return found if wanted else [r.detach() for r in found]

    def _equations(self, forward: Forward, equation: Equation, index: torch.Tensor) -> torch.Tensor:
        x = self._interior
        if not _complete(index, len(x)):
            x = x.detach()[index].requires_grad_()
        return self._equations_at(forward, equation, x)

    @staticmethod
    def _equations_at(forward: Forward, equation: Equation, x: torch.Tensor) -> torch.Tensor:
        try:
            found = equation(x, forward(x))
        except RuntimeError as error:
            if "numpy()" not in str(error):
                raise
            raise ValueError(
                "the equation calls numpy, and its x and u are torch tensors: write torch.sin(x), "
                f"not np.sin(x) ({error})"
            ) from error
        several = found if isinstance(found, (list, tuple)) else [found]
        return torch.cat([_columns(one) for one in several], 1)

    def _on_conditions(
        self, forward: Forward, indices: tuple[torch.Tensor, ...]
    ) -> list[torch.Tensor]:
        """One forward pass for all conditions, then DeepXDE's error of each."""
        whole = self._whole(indices)
        x = self._boundary
        outputs = forward(self._outside(indices)) if len(x) else x
        if not all(whole):
            rows = self._needed(indices).to(self.device)
            outputs = outputs.new_zeros(len(x), outputs.shape[1]).index_copy(0, rows, outputs)
        found = []
        for t, condition in enumerate(self._conditions):
            if len(indices[t]) == 0:
                found.append(x.new_zeros(0, 1))
                continue
            error = condition.error(self._array, x, outputs, *self._ranges[t])
            error = _columns(error)
            if error.shape[1] == len(error) > 1:
                raise ValueError(
                    f"the values of condition {t} ({type(condition).__name__}) have a shape other "
                    "than (points, 1), such as (points,): write x[:, :1], not x[:, 0]"
                )
            found.append(error if whole[t] else error[indices[t].to(self.device)])
        return found

    def _whole(self, indices: tuple[torch.Tensor, ...]) -> list[bool]:
        """For each condition whether all of its samples are meant."""
        return [_complete(i, len(r)) for i, r in zip(indices, self._rows, strict=True)]

    def _outside(self, indices: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The points that the conditions need for the given samples, (points, dimensions)."""
        if all(self._whole(indices)):
            return self._boundary
        return self._boundary[self._needed(indices).to(self.device)]

    def _needed(self, indices: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The numbers of those points, sorted."""
        pairs = zip(indices, self._rows, strict=True)
        return torch.unique(torch.cat([rows[index.cpu()].reshape(-1) for index, rows in pairs]))

    def places(self, term: int, samples: Samples) -> torch.Tensor:
        """Where in the forward pass the points of a condition's samples are, (samples, 1 or 2)."""
        rows = self._rows[term - 1][samples.terms[term].cpu()]
        return torch.searchsorted(self._needed(samples.terms[1:]), rows)

    def sums(
        self, forward: Forward, equation: Equation, samples: Samples
    ) -> tuple[torch.Tensor, ...]:
        """For each term the weighted sum over its samples of the squared residuals, 0-d."""
        found = self.residuals(forward, equation, samples)
        squares = (torch.linalg.vecdot(r.reshape(-1), r.reshape(-1)) for r in found)
        return tuple(s if w == 1.0 else w * s for w, s in zip(self.weights, squares, strict=True))


def _columns(residual: torch.Tensor) -> torch.Tensor:
    """One row per point, shape (points, equations)."""
    return residual[:, None] if residual.ndim == 1 else residual


def _complete(index: torch.Tensor, count: int) -> bool:
    """Whether an index is 0, 1, ..., count-1: everything, in order."""
    return len(index) == count and torch.equal(index, torch.arange(count, device=index.device))


def network_at(
    net: torch.nn.Module, parameters: Mapping[str, torch.Tensor]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network with other parameters, transforms included."""
    return lambda x: torch.func.functional_call(net, dict(parameters), (x,))
