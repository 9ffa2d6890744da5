"""Parameter groups: which tensors move, under which names; which options do nothing here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch

from ddopt.setup.limits import brief
from ddopt.setup.notice import warn

Groups = list[dict[str, Any]]

# What schedulers and recipes look for in a group, and the value at which nobody has asked for it.
INERT = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}

# Options of other torch optimizers: the values that mean nothing here, and what to do with others.
FOREIGN: dict[str, tuple[tuple[Any, ...], str]] = {
    "weight_decay": (
        (0, None),
        "add it to the loss in the closure, 0.5 * weight_decay * sum(p.square().sum() for p in "
        "model.parameters()): what is judged must be what is minimised",
    ),
    "maximize": ((False,), "return the negative of the loss, and call backward on that"),
    "foreach": ((None, False, True), ""),
    "fused": ((None, False, True), ""),
    "capturable": ((False,), "leave it out: a step decides by numbers on the CPU"),
    "differentiable": ((False,), "leave it out: a step is not differentiated through"),
    **dict.fromkeys(
        ("momentum", "dampening", "nesterov", "betas", "amsgrad", "rho", "alpha", "centered"),
        ((), "leave it out: the curvature takes the place of averages over steps"),
    ),
    "history_size": ((), "the number of secant pairs is hessian={'name': 'lsr1', 'memory': 50}"),
    **dict.fromkeys(
        ("max_iter", "max_eval", "line_search_fn", "tolerance_grad", "tolerance_change"),
        ((), "leave it out: one step is one trial, and optimizer.converged says when to stop"),
    ),
}


def without_foreign(options: dict[str, Any], own: Sequence[str]) -> dict[str, Any]:
    """``options`` without what other torch optimizers take, where its value means nothing here.

    ``own`` are the method's own options. Raises ``ValueError`` for a value that means something.
    """
    kept = {}
    for name, value in options.items():
        if name in own or name not in FOREIGN:
            kept[name] = value
            continue
        idle, advice = FOREIGN[name]
        if not any(value is one or (value == one and type(value) is not bool) for one in idle):
            raise ValueError(f"{name}={brief(value)} is not an option here; {advice}")
    return kept


def held(groups: Groups) -> frozenset[int]:
    """The groups that a learning rate of 0 holds still, where others have another one.

    That is a usual way to freeze. A rate of 0 in every group is the start of a schedule.
    """
    still = {i for i, group in enumerate(groups) if float(group["lr"]) == 0.0}
    return frozenset(still if len(still) < len(groups) else ())


def moving(groups: Groups, still: frozenset[int]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that the optimizer moves, with names from which layers can be told."""
    for number, group in enumerate(groups):
        if number in still:
            continue
        names = group.get("param_names", _names(number, group["params"]))
        for name, tensor in zip(names, group["params"], strict=True):
            if tensor.requires_grad:
                yield name, tensor


def _names(number: int, tensors: list[torch.Tensor]) -> list[str]:
    """Names of tensors without any: a matrix begins a layer, the vectors after it belong to it."""
    layers = accumulate(tensor.dim() > 1 for tensor in tensors)
    return [f"{number}.{layer:d}.{i}" for i, layer in enumerate(layers)]


def refuse_changed(groups: Groups, still: frozenset[int], known: Sequence[torch.Tensor]) -> None:
    """Raise ``ValueError`` where other parameters shall move than when the optimizer was made."""
    now = [tensor for _, tensor in moving(groups, still)]
    if len(now) != len(known) or any(a is not b for a, b in zip(now, known, strict=True)):
        raise ValueError(
            f"the {len(now)} parameters that have requires_grad are not the {len(known)} "
            "that had it when the optimizer was made, to which its radius and its curvature "
            "belong; make a new optimizer after freezing or unfreezing. Where a library "
            "unfreezes them on its own (DeepXDE does whenever it shows a loss), give the "
            "optimizer only the parameters that shall move"
        )
    resting = all(float(group["lr"]) == 0.0 for group in groups)  # a schedule's end: no freezing
    if not resting and held(groups) != still:
        raise ValueError(
            f"lr = 0 holds the parameter groups {sorted(held(groups))} still, and it held "
            f"{sorted(still)} when the optimizer was made; make a new one after freezing or "
            "unfreezing a group"
        )


def warned_of_inert(groups: Groups, still: frozenset[int]) -> bool:
    """Warn of numbers that do nothing, where a script or a scheduler has set one; whether it was.

    A rate of 0 that holds a group ``still`` does something.
    """
    found = {
        f"{key} = {float(group[key]):g}"
        for number, group in enumerate(groups)
        for key, idle in INERT.items()
        if group.get(key, idle) != idle and not (number in still and key == "lr")
    }
    if found:
        warn(
            f"{', '.join(sorted(found))} in the parameter groups has no effect: a trust region "
            "finds its own step lengths, so a scheduler can go; weight decay belongs in the loss. "
            "This is said once"
        )
    return bool(found)
