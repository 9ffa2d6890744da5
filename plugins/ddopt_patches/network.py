"""The network: local networks on overlapping patches, blended by a partition of unity.

    u(x) = Σ_p v_p(x) N_p((x − m_p) / h_p),     N_p(t) = Σ_k c_pk tanh(W_pk · t + b_pk)

A finite basis physics-informed network (FBPINN: Moseley, Markham and Nissen-Meyer, Advances in
Computational Mathematics 49, 2023) with one hidden layer in each patch. With hidden layers that do
not move u is linear in its parameters, the output weights c (patches, outputs, features).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ddopt_patches.features import draw
from ddopt_patches.grid import ROUND_OFF, Grid
from ddopt_pinn.library import load

CHUNK = 8_192  # points of one forward pass where no gradient is wanted; bounds its memory


@dataclass(frozen=True)
class Patches:
    """The grid and the hidden layers, as they are drawn; ``moving``: hidden layers train, too.

    The unknowns of all patches are one tensor. Where hidden layers are at rest it holds the output
    weights, (S, outputs, K); where they move, W and b below them, (S, outputs + d + 1, K).
    """

    grid: Grid
    W: torch.Tensor  # (S, K, d)
    b: torch.Tensor  # (S, K)
    outputs: int = 1
    moving: bool = False

    @classmethod
    def random(
        cls, grid: Grid, features: int, outputs: int = 1, scale: float = 1.0, seed: int = 0
    ) -> Patches:
        """Random features on every patch of a grid."""
        W, b = draw(grid.patches, grid.dimensions, features, scale, seed)
        return cls(grid, W, b, outputs)

    @property
    def features(self) -> int:
        """K."""
        return self.b.shape[1]

    @property
    def block(self) -> int:
        """B, the unknowns of a patch."""
        return self.shape[1] * self.features

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the unknowns of all patches."""
        hidden = self.grid.dimensions + 1 if self.moving else 0
        return self.grid.patches, self.outputs + hidden, self.features

    def joined(self, outputs: torch.Tensor) -> torch.Tensor:
        """The unknowns with output weights (S, outputs, K) and the hidden layers as drawn."""
        return torch.cat([outputs, self.W.mT, self.b[:, None]], 1) if self.moving else outputs

    def at(self, weights: torch.Tensor) -> tuple[Patches, torch.Tensor]:
        """Patches at rest with the hidden layers of ``weights``, and the output weights."""
        if not self.moving:
            return self, weights
        W, b = weights[:, self.outputs : -1].mT, weights[:, -1]
        return Patches(self.grid, W, b, self.outputs), weights[:, : self.outputs]

    @property
    def unknowns(self) -> int:
        """n, the unknowns of all patches."""
        return self.grid.patches * self.block


class FBPINN(load().nn.NN):  # type: ignore[misc]
    """The network as a ``torch.nn.Module`` and a ``dde.nn.NN``: ``fbpinn`` makes one.

    Its parameter is ``weights``, the unknowns as ``Patches`` says. ``W`` and ``b`` are buffers: the
    hidden layers as they were drawn, which count where they do not move. A point evaluates only the
    patches that touch its cell. Raises ``ValueError`` for points that no patch covers.
    """

    def __init__(self, patches: Patches) -> None:
        super().__init__()
        self.grid, self.outputs, self.moving = patches.grid, patches.outputs, patches.moving
        zeros = patches.W.new_zeros(patches.grid.patches, patches.outputs, patches.features)
        self.weights = nn.Parameter(patches.joined(zeros).clone())
        self.register_buffer("W", patches.W.clone())
        self.register_buffer("b", patches.b.clone())

    @property
    def patches(self) -> Patches:
        """What is needed beside the unknowns to evaluate it."""
        return Patches(self.grid, self.W, self.b, self.outputs, self.moving)

    def get_extra_state(self) -> dict[str, Any]:
        """Where the patches are, for ``state_dict``: weights alone mean nothing elsewhere."""
        grid = self.grid
        return {
            "nodes": [v.tolist() for v in self._nodes],
            "periodic": sorted(grid.periodic),
            "window": grid.window,
            "coarse": grid.whole,
        }

    def set_extra_state(self, state: Any) -> None:
        """Refuse the state of other patches."""
        own = self.get_extra_state()
        if not _same_nodes(own["nodes"], state["nodes"]):
            raise ValueError(
                f"this state is of patches on other nodes ({_shown(state['nodes'])}, and here "
                f"{_shown(own['nodes'])}); make the network with the along it was saved with, on "
                "the same domain"
            )
        for name in ("periodic", "window", "coarse"):
            if own[name] != state[name]:
                raise ValueError(
                    f"this state is of patches with {name} = {state[name]!r}, and these have "
                    f"{own[name]!r}; make the network with the {name} it was saved with"
                )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Torch's own, but that nothing of the state of other patches is taken.

        A state that was saved before it said where its patches are has nothing that could be
        compared, and is no worse for it.
        """
        key = f"{prefix}_extra_state"
        if key in state_dict:
            self.set_extra_state(state_dict[key])
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        missing = args[2]  # after the local metadata and strict
        if key in missing:
            missing.remove(key)

    @property
    def _nodes(self) -> Sequence[torch.Tensor]:
        """The nodes along each axis, of all patches."""
        return self.grid.nodes

    @property
    def blank(self) -> bool:
        """Whether all output weights are zero: nothing has been solved yet."""
        return not bool(self.weights[:, : self.outputs].any())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """u at ``x`` (points, d), shape (points, outputs)."""
        z = x if self._input_transform is None else self._input_transform(x)
        if z.dtype != self.weights.dtype:
            raise ValueError(
                f"the points are in {_name(z.dtype)}, and the weights of the patches in "
                f"{_name(self.weights.dtype)}; give both in one precision: net.double() and "
                "dde.config.set_default_float('float64'), in which patches are solved"
            )
        if torch.is_grad_enabled() or len(z) <= CHUNK:
            y = self.blended(z)
        else:
            y = torch.cat([self.blended(some) for some in z.split(CHUNK)])
        return y if self._output_transform is None else self._output_transform(x, y)

    def blended(self, x: torch.Tensor) -> torch.Tensor:
        """The blend of the local networks at ``x``, without transforms, shape (points, outputs)."""
        patches, outputs = self.patches.at(self.weights)
        return blend(self.grid, patches.W, patches.b, outputs, x)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _same_nodes(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> bool:
    """Whether the nodes of each axis are the same, but for round-off."""
    if [len(v) for v in a] != [len(v) for v in b]:
        return False
    pairs = zip(a, b, strict=True)
    return all(
        max(abs(x - y) for x, y in zip(v, w, strict=True)) <= ROUND_OFF * (v[-1] - v[0])
        for v, w in pairs
    )


def _shown(nodes: Sequence[Sequence[float]]) -> str:
    """Nodes of each axis in a message."""
    return ", ".join(
        f"axis {a}: {len(v) - 1} cells from {v[0]:g} to {v[-1]:g}, the first to {v[1]:g}"
        for a, v in enumerate(nodes)
    )


def blend(
    grid: Grid, W: torch.Tensor, b: torch.Tensor, weights: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    """Σ_p v_p N_p at ``x`` (points, d), shape (points, outputs); see above."""
    cells = grid.locate(x)
    touching = grid.touching(cells).to(x.device)
    middles, halves = (one.to(x) for one in grid.frames(cells))
    t = (x[:, None] - middles) / halves  # (points, C, d)
    z = (W[touching] @ t[..., None]).squeeze(-1) + b[touching]
    local = (weights[touching] @ torch.tanh(z)[..., None]).squeeze(-1)
    return (grid.windows(cells, x)[..., None] * local).sum(1)
