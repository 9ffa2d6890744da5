"""A network in time slabs for DeepXDE scripts: one parameter, the weights of the slab that is
solved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch

from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches, blend
from ddopt_patches.problem import PatchProblem
from ddopt_patches.slabs import InTime, Slabs, cut

if TYPE_CHECKING:
    from ddopt_patches.statement import Statement
    from ddopt_patches.system import System


class InSlabs(FBPINN):
    """An FBPINN that is solved slab by slab; all slabs have the same features.

    Its parameter ``weights`` is that of the slab whose ``turn`` it is; ``finished`` (slabs, S,
    outputs, K) and ``turn`` are buffers, so that ``state_dict`` holds everything. Beyond the slab
    whose turn it is u stays what it is there.

    Raises ``ValueError`` where the cells in time cannot be shared out equally.
    """

    finished: torch.Tensor
    turn: torch.Tensor

    def __init__(self, patches: Patches, times: Sequence[torch.Tensor]) -> None:
        if len({len(one) for one in times}) > 1:
            raise ValueError(
                f"{sum(len(one) - 1 for one in times)} cells in time cannot be shared out to "
                f"{len(times)} slabs equally; give the last axis a multiple of {len(times)} cells"
            )
        super().__init__(patches)
        self.times = list(times)
        self._axes = patches.grid.nodes[:-1]
        shape = (len(times), *self.weights.shape)
        self.register_buffer("finished", torch.zeros(shape, dtype=self.weights.dtype))
        self.register_buffer("turn", torch.tensor(0))

    @property
    def patches(self) -> Patches:
        """Those of the slab whose turn it is."""
        return Patches(self._on(int(self.turn)), self.W, self.b, self.outputs)

    def _on(self, slab: int) -> Grid:
        return Grid([*self._axes, self.times[slab]], sorted(self.grid.periodic), self.grid.window)

    @property
    def _nodes(self) -> Sequence[torch.Tensor]:
        times = torch.cat([self.times[0], *(one[1:] for one in self.times[1:])])
        return [*self._axes, times]

    def blended(self, x: torch.Tensor) -> torch.Tensor:
        """The blend of the local networks of each point's slab, shape (points, outputs)."""
        turn = int(self.turn)
        weights = [*self.finished[:turn], self.weights]
        pieces = [self._piece(k, one) for k, one in enumerate(weights)]
        return InTime(pieces, [float(one[-1]) for one in self.times[: turn + 1]])(x)

    def _piece(self, slab: int, weights: torch.Tensor) -> Any:
        grid = self._on(slab)
        return lambda x: blend(grid, self.W, self.b, weights, x)

    def slab(self, number: int) -> FBPINN:
        """A finished slab as a network of its own."""
        patches = Patches(self._on(number), self.W, self.b, self.outputs)
        net = FBPINN(patches).requires_grad_(False)
        net.weights.copy_(self.finished[number])
        net.apply_output_transform(self._output_transform)
        return net

    @torch.no_grad()
    def finish(self) -> None:
        """Keep the weights of this slab, and let it be the next one's turn."""
        self.finished[int(self.turn)] = self.weights
        self.turn += 1


def in_slabs(patches: Patches, slabs: int) -> InSlabs:
    """A network whose time axis, the last one, is cut into slabs."""
    times = cut(patches.grid.nodes[-1], slabs)
    grid = patches.grid
    first = Grid([*grid.nodes[:-1], times[0]], sorted(grid.periodic), grid.window)
    shorter = Patches(
        first, patches.W[: first.patches], patches.b[: first.patches], patches.outputs
    )
    return InSlabs(shorter, times)


class OneAfterTheOther:
    """What an optimizer minimises: f of the slab whose turn it is, and the next one when that ends.

    A slab ends where the optimizer says that no step brings anything any more. ``system`` makes the
    rows of a statement on patches.
    """

    def __init__(
        self,
        net: InSlabs,
        whole: Statement,
        optimizer: Any,
        system: Callable[[Statement, Patches], System],
    ) -> None:
        self._net, self._system = net, system
        self._optimizer, self._blank = optimizer, deepcopy(optimizer.state_dict())
        self._slabs = Slabs(
            whole.geometry,
            whole.equation,
            whole.conditions,
            net._nodes[-1],
            len(net.times),
            whole.transform,
        )
        self._posed = -1  # the slab that the problem is of
        self._problem: PatchProblem | None = None

    def __call__(self, _: Any = None) -> PatchProblem:
        """The problem of the next step; ``compile`` gives it to ``optimizer.minimise``."""
        net = self._net
        if self._ended() and int(net.turn) + 1 < len(net.times):
            net.finish()
            self._pose()
            self._start()
            self._optimizer.load_state_dict(deepcopy(self._blank))
        elif self._posed != int(net.turn):  # the first call, or a model was restored
            self._pose()
            if not bool(net.weights.any()):
                self._start()
        assert self._problem is not None
        return self._problem

    @torch.no_grad()
    def _start(self) -> None:
        self._net.weights.copy_(self._slabs.start(self._net.patches, self._stated))

    def _ended(self) -> bool:
        return self._posed == int(self._net.turn) and self._optimizer.converged

    def _pose(self) -> None:
        net, turn = self._net, int(self._net.turn)
        self._slabs.finished[:] = [net.slab(k) for k in range(turn)]
        self._stated = self._slabs.statement(net.patches)
        self._problem, self._posed = PatchProblem(self._system(self._stated, net.patches)), turn
