"""Executors: who owns which subdomain, and how what they found comes together.

N subdomains and W processes are independent: process r owns the subdomains r, r + W, r + 2W, ...
Every reduction goes through this one interface, in an order that depends on the subdomains alone,
so that the same bits come out whatever W is.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ddopt.evaluation.question import answered, asked
from ddopt.executor.facts import differences
from ddopt.method.blame import broken
from ddopt.setup.component import Component

if TYPE_CHECKING:
    from ddopt.evaluation.question import Asking, Question

T = TypeVar("T")


class Executor(Component):
    """Shares the subdomains out and reduces over them.

    Reductions are collectives: all processes call them, in the same order.
    """

    seam = "executor"

    alone: bool = True  # whether one process is enough for it
    rank: int = 0
    size: int = 1
    bytes_sent: int = 0  # by this process since the start, in all of its teams
    collectives: int = 0  # calls since the start, in all of its teams

    def grid(self, columns: int) -> tuple[Executor, Executor]:
        """The processes as a grid, one column for each of ``columns`` things or for several.

        Returns the executors of this process's row, whose processes own the columns, and of its
        column, whose processes own the same columns. Raises ``ValueError`` where no grid fits.
        """
        return self, self

    def owned(self, count: int) -> range:
        """The subdomains of this process, of ``count``."""
        return range(self.rank, count, self.size)

    def carry_out(self, askings: dict[int, Asking[T]]) -> dict[int, T]:
        """What the askings of this process return, by subdomain, when they have been answered.

        Here one after the other, in the order of ``askings``. An executor may answer them in any
        order, or several at once; each asking is told the answers to its own questions in turn.
        """
        return {d: answered(asking) for d, asking in askings.items()}

    def ask(self, question: Question) -> Any:
        """The answer to one question; where it is one of all processes, all ask it."""
        found = self.carry_out({0: asked(question)})
        if not isinstance(found, dict) or 0 not in found:
            raise broken(self, "carry_out()", "what each asking returns, by subdomain", found)
        return found[0]

    @abstractmethod
    def sum(self, vectors: dict[int, torch.Tensor], count: int, like: torch.Tensor) -> torch.Tensor:
        """The sum over ``count`` subdomains of a vector (n,) from each owner.

        Added in the fixed order of :func:`tree_sum`; the result is the same on every process.
        ``like`` (n,) tells a process that owns nothing what the vectors look like.
        """

    @abstractmethod
    def each(
        self, vectors: dict[int, torch.Tensor], sizes: list[int], like: torch.Tensor
    ) -> list[torch.Tensor]:
        """The vectors of all subdomains, in order, on every process; the d-th is (sizes[d],)."""

    @abstractmethod
    def numbers(self, values: dict[int, list[float]], count: int) -> list[list[float]]:
        """The numbers of all ``count`` subdomains, in order, on every process.

        Every subdomain gives equally many.
        """

    @abstractmethod
    def pick(self, vectors: dict[int, torch.Tensor], d: int, like: torch.Tensor) -> torch.Tensor:
        """The vector (n,) of subdomain ``d`` on every process; its owner has it in ``vectors``."""

    def owner(self, subdomain: int) -> int:
        """The process that owns a subdomain."""
        return subdomain % self.size

    def send(self, tensors: tuple[torch.Tensor, ...], source: int, target: int) -> None:
        """Hand tensors from the owner of subdomain ``source`` to the owner of ``target``.

        Returns at once; the tensors must not be changed before :meth:`settle`. Only the two owners
        take part.
        """
        assert self.owner(target) == self.rank, "sent to another process by one that is alone"
        self._posted.setdefault((source, target), deque()).append(tensors)

    def receive(self, source: int, target: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """What was sent from ``source`` to ``target``, in the order of sending."""
        return self._posted[source, target].popleft()

    def settle(self) -> None:
        """Wait until everything that this process sent has left."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: what comes out does not depend on who did it."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to restore, on whatever number of processes."""

    @cached_property
    def _posted(self) -> dict[tuple[int, int], deque[tuple[torch.Tensor, ...]]]:
        return {}

    def everywhere(self, thing: Any) -> list[Any]:
        """What every process gives, in the order of their ranks, on all of them.

        Small things, made of what JSON has.
        """
        rows = self._packed(json.dumps(thing).encode())
        return [json.loads(row) for row in rows]

    def _packed(self, own: bytes) -> list[bytes]:
        """The bytes of every process."""
        if self.size == 1:
            return [own]
        vector = torch.frombuffer(bytearray(own), dtype=torch.uint8)
        rows = self.numbers({self.rank: [float(len(own))]}, self.size)
        sizes = [int(length) for (length,) in rows]
        return [row.numpy().tobytes() for row in self.each({self.rank: vector}, sizes, vector)]

    def agree(self, facts: dict[str, str]) -> None:
        """Make sure that every process was given the same ``facts``.

        Raises ``ValueError`` on all processes, naming the one that differs and what differs.
        """
        found = differences(self.everywhere(facts)) if self.size > 1 else []
        if found:
            raise ValueError(
                "the processes were not given the same problem. "
                + "; ".join(found[:4])
                + ". Every process must build the same model, data and configuration"
            )


def tree_sum(vectors: dict[int, torch.Tensor], count: int) -> torch.Tensor:
    """Add vectors 0..count-1 in the order of a fixed tree: d with d + h, h = ..., 4, 2, 1."""
    assert len(vectors) == count
    return fold(vectors, 1)[0]


def fold(vectors: dict[int, torch.Tensor], width: int) -> dict[int, torch.Tensor]:
    """The first levels of :func:`tree_sum`, until only indices below ``width`` are left.

    A process that owns every W-th vector, W a power of two, can do the levels down to h = W alone:
    d and d + h are both its own. That is why the tree halves strides instead of pairing neighbours.
    """
    partial = dict(vectors)
    h = width
    while h <= max(partial, default=0):
        h *= 2
    while h > width:
        h //= 2
        for d in sorted(d for d in partial if d >= h):
            partial[d - h] = partial[d - h] + partial.pop(d)
    return partial
