"""What closures do not say: that they see other data now, or parameters that nobody moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ddopt.closure import Closure
from ddopt.notice import warn

if TYPE_CHECKING:
    from ddopt.space import Parameters


class Witness:
    """Sees what closures do not say: other data in them, parameters that nobody moves."""

    def __init__(self) -> None:
        self.watching = True
        self._data: list[Any] = []  # the arrays that the last closure had captured
        self._asked = False

    def captured(self, closure: Closure) -> bool:
        """Whether a closure holds other arrays than the one before: f may be another function.

        A script that resamples its points, or goes to the next mini-batch, makes a closure that
        captures new arrays. One that captures new arrays for other reasons is watched no longer.
        """
        if not self.watching:
            return False
        data = list(_arrays(closure))
        before, self._data = self._data, data
        same = len(before) == len(data) and all(a is b for a, b in zip(before, data, strict=True))
        return bool(before) and not same

    def hears(self, closure: Closure, parameters: Parameters) -> Closure:
        """The closure, its first loss searched for trainable numbers that nobody moves."""
        if self._asked:
            return closure

        def heard(*part: Any) -> torch.Tensor:
            loss = closure(*part)
            if not self._asked:
                self._asked = True
                if isinstance(loss, torch.Tensor):  # a number has no graph to search
                    warn_of_strangers(loss, parameters.tensors)
            return loss

        return heard


def _arrays(closure: Closure) -> Iterator[Any]:
    """The arrays and tensors that a closure has captured."""
    for cell in getattr(closure, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:  # a variable that is not bound yet
            continue
        if hasattr(content, "shape"):
            yield content


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
