"""Replicas: processes that train copies of one model and average its gradients.

Inside ``DistributedDataParallel`` every process has a loss of its own and the gradient of their
mean. Whoever judges by its own loss takes other steps than the others: the copies drift apart, and
the first process that calls backward once more waits for ever. So the loss is averaged where the
gradient is, and whatever else decides a branch is the same on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parallel import DistributedDataParallel

from ddopt.numerics.vectors import fingerprint

if TYPE_CHECKING:
    from ddopt.evaluation.batch import Closure
    from ddopt.numerics.space import Parameters

DIGITS = 12  # of a fingerprint in hexadecimal: an integer that float64 holds


class Replicas:
    """The processes whose gradients are averaged with this one's; none until a closure shows them.

    They are found where they act: a ``DistributedDataParallel`` that a closure calls. A process
    alone, or without a process group, pays nothing.
    """

    def __init__(self, parameters: Parameters, alone: bool) -> None:
        self.parameters = parameters
        self._alone = alone  # whether nothing else shares the evaluations out
        self._group: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: a process group stays where it is."""
        return {**self.__dict__, "_group": None}

    def averaged(self, closure: Closure) -> Closure:
        """The closure, its loss averaged over the replicas as its gradient is."""
        if self._group is None and not _several():
            return closure

        def over_all(*part: Any) -> Any:
            if self._group is not None:
                return self._mean(closure(*part))
            with _called(self._meet):
                loss = closure(*part)
            if self._group is None:
                return loss
            self._compare("gradients", self._gradients())
            self._compare("parameters", self.parameters.read())
            return self._mean(loss)

        return over_all

    def refused(self, residuals: Closure) -> Closure:
        """A closure of residuals, which no replica may share with others.

        ``DistributedDataParallel`` averages gradients, and residuals have none yet: each process
        would take the steps of its own samples. Raises ``ValueError`` where it is called.
        """
        if not _several():
            return residuals

        def alone(*part: Any) -> Any:
            with _called(self._meet):
                found = residuals(*part)
            if self._group is not None:
                self._group = None
                raise ValueError(
                    "the closure returns residuals, and its model is in DistributedDataParallel, "
                    "which averages gradients of losses alone: every process would fit its own "
                    "samples; train the unwrapped model from a run file (ddopt run --processes N, "
                    "or torchrun), where the rows of the Jacobian are shared out, or in one process"
                )
            return found

        return alone

    def any(self, moved: bool, look: bool, **counts: float) -> tuple[bool, bool]:
        """Whether parameters have been moved, or f must be looked at, on one of the replicas.

        Raises ``ValueError`` on all of them where one of the ``counts`` is not the same on each, or
        where the parameters are not after they have been moved.
        """
        if self._group is None:
            return moved, look
        rows = self._gather([moved, look, *counts.values()])
        somewhere, wanted, *columns = zip(*rows, strict=True)
        for name, column in zip(counts, columns, strict=True):
            if len(set(column)) > 1:
                raise ValueError(
                    f"the processes that DistributedDataParallel joins have different {name}: "
                    f"{[float(f'{number:g}') for number in column]} on ranks 0, 1, ...; a step is "
                    "one step of all, so each must make it alike (drop_last=True in the loader, "
                    "one state for all)"
                )
        if any(somewhere):
            self._compare("parameters", self.parameters.read())
        return any(somewhere), any(wanted)

    def _meet(self, module: torch.nn.Module, _: Any) -> None:
        """Notice the wrapper of the optimizer's parameters when it is called."""
        if type(module).__name__ == "FullyShardedDataParallel":
            raise ValueError(
                "the model is in FullyShardedDataParallel, so each process has only a piece of the "
                "parameters, and a trust region needs all; use DistributedDataParallel, or leave "
                "the model unwrapped and give the optimizer an executor"
            )
        if not isinstance(module, DistributedDataParallel):
            return
        own = {id(tensor) for tensor in self.parameters.tensors}
        if not any(id(tensor) in own for tensor in module.parameters()):
            return
        if not self._alone:
            raise ValueError(
                "the optimizer's executor shares the evaluations out over the processes, and "
                "DistributedDataParallel averages over them as well; give the model unwrapped, or "
                "make the optimizer without an executor"
            )
        self._group = module.process_group

    def _mean(self, loss: Any) -> Any:
        """The mean of the replicas' losses, summed in the order of their ranks on each of them."""
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            values = self._gather([float(loss.detach())])
            mean = sum(value for (value,) in values) / len(values)
            return torch.full_like(loss.detach(), mean)
        if isinstance(loss, float):
            values = self._gather([loss])
            return sum(value for (value,) in values) / len(values)
        return loss  # no loss: whoever takes it says so

    def _gradients(self) -> torch.Tensor:
        return self.parameters.flatten([tensor.grad for tensor in self.parameters.tensors])

    def _compare(self, what: str, vector: torch.Tensor) -> None:
        marks = self._gather([int(fingerprint(vector)[:DIGITS], 16)])
        if any(mark != marks[0] for mark in marks):
            raise ValueError(
                f"the {what} are not the same on all processes that DistributedDataParallel joins. "
                "It makes them so where each process gives its optimizer all parameters of the "
                "wrapped model (ZeroRedundancyOptimizer deals them out: use the optimizer itself) "
                "and calls backward outside no_sync()"
            )

    def _gather(self, numbers: Any) -> list[list[float]]:
        """The numbers of every replica, in the order of their ranks."""
        device = self.parameters.layout.device  # the group averages gradients there
        own = torch.tensor([float(n) for n in numbers], dtype=torch.float64, device=device)
        found = [torch.empty_like(own) for _ in range(dist.get_world_size(self._group))]
        dist.all_gather(found, own, group=self._group)
        return [one.tolist() for one in found]


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@contextmanager
def _called(meet: Callable[[torch.nn.Module, Any], None]) -> Iterator[None]:
    """Show every module that is called in this block, before it computes."""
    handle = register_module_forward_pre_hook(meet)
    try:
        yield
    finally:
        handle.remove()
