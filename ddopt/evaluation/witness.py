"""What closures do not say: that they see other data now, or parameters that nobody moves."""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType
from typing import Any

import torch

from ddopt.evaluation.batch import Closure
from ddopt.setup.notice import warn

_KINDS = ("arrays", "tuples", "functions")


class Witness:
    """Sees what closures do not say: other data in them, parameters that nobody moves."""

    def __init__(self) -> None:
        self._watched = dict.fromkeys(_KINDS, True)
        self._last: dict[str, list[Any]] = {}  # what the last closure had captured, by kind
        self._other: list[str] = []  # the kinds that were others then
        self._asked = False  # for parameters that nobody moves

    def captured(self, closure: Closure) -> bool:
        """Whether a closure holds other things than the one before: f may be another function.

        A script that resamples its points, or goes to the next mini-batch, makes a closure that
        captures new arrays, alone or in tuples; one that is given another loss makes it around
        another function.
        """
        before, self._last = self._last, _captured(closure)
        self._other = [
            kind
            for kind, things in self._last.items()
            if self._watched[kind] and before.get(kind) and _differ(before[kind], things)
        ]
        return bool(self._other)

    def false_alarm(self) -> None:
        """It was the same function: what was other comes anew with every closure."""
        self._watched |= dict.fromkeys(self._other, False)
        self._other = []

    def hears(self, closure: Closure, known: Sequence[torch.Tensor]) -> Closure:
        """The closure, its first loss searched for trainable numbers that are not ``known``."""
        if self._asked:
            return closure

        def heard(*part: Any) -> torch.Tensor:
            loss = closure(*part)
            if not self._asked:
                self._asked = True
                if isinstance(loss, torch.Tensor):  # a number has no graph to search
                    warn_of_strangers(loss, known)
            return loss

        return heard


def _captured(closure: Closure) -> dict[str, list[Any]]:
    """The arrays, the arrays in tuples and the functions that a closure has captured."""
    found: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    for cell in getattr(closure, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:  # a variable that is not bound yet
            continue
        if hasattr(content, "shape"):
            found["arrays"].append(content)
        elif isinstance(content, tuple):
            found["tuples"] += [item for item in content if hasattr(item, "shape")]
        elif isinstance(content, FunctionType):
            found["functions"].append(content)
    return found


def _differ(before: list[Any], now: list[Any]) -> bool:
    return len(before) != len(now) or any(a is not b for a, b in zip(before, now, strict=True))


def warn_of_strangers(loss: torch.Tensor, known: Sequence[torch.Tensor]) -> None:
    """Warn of parameters and single numbers that ``loss`` depends on and the optimizer lacks."""
    held = {id(tensor) for tensor in known}
    seen: set[Any] = set()
    nodes: list[Any] = [loss.grad_fn]
    strangers: list[torch.Tensor] = []
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes.extend(following for following, _ in node.next_functions)
        leaf = getattr(node, "variable", None)
        if leaf is None or id(leaf) in held:
            continue
        if isinstance(leaf, torch.nn.Parameter) or leaf.numel() == 1:
            strangers.append(leaf)
    if strangers:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in strangers[:5])
        warn(
            f"the loss depends on {len(strangers)} trainable tensor(s) that this optimizer was not "
            f"given (shapes {shapes}), which will never change: pass them too, for example "
            "[*net.parameters(), *variables]"
        )
