"""States that were saved: whose they are, and their tensors as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ddopt.numerics.space import Layout
    from ddopt.optim.state import Pieces


def foreign(state_dict: dict[str, Any]) -> bool:
    """Whether another optimizer than ours has saved this state."""
    return any("engine" not in group for group in state_dict["param_groups"])


def uncast(state_dict: dict[str, Any], devices: list[torch.device]) -> Pieces:
    """The saved tensors on their parameters' devices, in their own dtype.

    torch casts every state tensor to its parameter's dtype, which would cut float64 Gram matrices
    of a float32 model. Raises ``ValueError`` where other parameters were trained.
    """
    order = [number for group in state_dict["param_groups"] for number in group["params"]]
    saved = state_dict["state"]
    present = [saved[number] for number in order if number in saved]
    if len(present) != len(devices):
        raise ValueError(
            f"{len(present)} parameters had requires_grad when this state was saved, and now "
            f"{len(devices)} have it; freeze the same ones before the optimizer is made"
        )
    return {
        i: {key: tensor.to(device) for key, tensor in entry.items()}
        for i, (entry, device) in enumerate(zip(present, devices, strict=True))
    }


def refuse_other_shapes(pieces: Pieces, layout: Layout) -> None:
    """θ is in every state, in the shapes of the parameters that it was saved with."""
    for i, (name, shape) in enumerate(zip(layout.names, layout.shapes, strict=True)):
        saved = pieces[i].get("/engine/point/theta")
        if saved is not None and saved.shape != shape:
            raise ValueError(
                f"parameter {name!r} has the shape {tuple(shape)}, and {tuple(saved.shape)} in "
                "this state: it was saved with another model"
            )
