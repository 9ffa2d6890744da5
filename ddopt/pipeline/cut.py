"""Cutting a network into stages φ_1 .. φ_S, so that the network is their composition."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from torch import nn

from ddopt.decomposition.layers import balanced

if TYPE_CHECKING:
    from collections.abc import Sequence


def cut(model: nn.Sequential, stages: int) -> list[nn.Module]:
    """Cut a sequence of layers into contiguous stages with about equally many parameters.

    The layers are shared with the model and keep their names. Build the model under
    ``torch.device("meta")`` if it is too large for one process.
    """
    if not isinstance(model, nn.Sequential):
        raise ValueError(
            f"only an nn.Sequential is cut by itself, and this is a {type(model).__name__}; "
            "name the cut points: cut_at(model, ['blocks.2'], example)"
        )
    pieces: list[list[tuple[str, nn.Module]]] = []
    for name, layer in model._modules.items():  # named_children() skips a layer that comes twice
        assert layer is not None
        if not pieces or (_size(layer) and any(_size(other) for _, other in pieces[-1])):
            pieces.append([])
        pieces[-1].append((name, layer))
    if stages > len(pieces):
        raise ValueError(
            f"cannot cut {len(pieces)} layers with parameters into {stages} stages; use at most "
            f"{len(pieces)}"
        )
    sizes = [sum(_size(layer) for _, layer in piece) for piece in pieces]
    groups = balanced(sizes, stages)
    return _checked(
        [
            nn.Sequential(OrderedDict(named for i in group for named in pieces[i]))
            for group in groups
        ]
    )


def cut_at(model: nn.Module, points: Sequence[str], example: Any) -> list[nn.Module]:
    """Cut any module in front of the submodules named in ``points``.

    The module is traced by ``torch.distributed.pipelining`` with ``example``, one input or a tuple
    of them; the number of samples in it does not matter. On the meta device nothing is allocated.
    """
    from torch.distributed.pipelining import SplitPoint, pipeline

    inputs = example if isinstance(example, tuple) else (example,)
    names = dict(model.named_modules())
    for point in points:
        if point not in names:
            raise ValueError(f"no submodule {point!r} to cut in front of; there are {list(names)}")
    pipe = pipeline(model, inputs, split_spec=dict.fromkeys(points, SplitPoint.BEGINNING))
    before = ""
    for node in pipe.split_gm.graph.nodes:
        if node.op != "call_module":
            continue
        for source in node.all_input_nodes:
            while source.op == "call_function":  # one of several outputs
                (source,) = source.all_input_nodes
            if source.op == "placeholder" and before == "":
                continue
            if source.op != "call_module" or str(source.target) != before:
                raise ValueError(
                    f"stage {node.target} needs more than the stage before it gives; cut where all "
                    "that is needed later passes through"
                )
        before = str(node.target)
    return _checked([pipe.get_stage_module(i) for i in range(pipe.num_stages)])


def _size(layer: nn.Module) -> int:
    return sum(p.numel() for p in layer.parameters())


def _checked(stages: list[nn.Module]) -> list[nn.Module]:
    """No parameter may be in two stages: each would move it its own way."""
    owners: dict[int, int] = {}
    for number, stage in enumerate(stages):
        for name, parameter in stage.named_parameters():
            if owners.setdefault(id(parameter), number) != number:
                raise ValueError(
                    f"parameter {name!r} is in stages {owners[id(parameter)]} and {number}; stages "
                    "cannot share parameters: cut elsewhere"
                )
    return stages
