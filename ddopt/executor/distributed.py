"""Many processes, over torch.distributed: the same numbers as one, to the bit.

Legend: N subdomains, W processes, n parameters, b bytes per number.
"""

from __future__ import annotations

import copy
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
import torch.distributed as dist
from pydantic import Field

from ddopt.executor.collectives import all_gather_single
from ddopt.executor.executor import Executor, fold, tree_sum
from ddopt.executor.messenger import Messenger
from ddopt.executor.pulse import STUCK, Pulse, RankLostError
from ddopt.executor.serial import Serial
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from ddopt.evaluation.question import Asking

T = TypeVar("T")

SHORT = 15  # numbers per process that travel in one collective; more take a second one
HEADER = 12  # numbers that describe a tensor on its way: how many there are, dtype, shape
DTYPES = (
    *(torch.float32, torch.float64, torch.bfloat16, torch.float16),
    *(torch.int64, torch.int32, torch.bool),
)
LOOK = timedelta(seconds=1)  # how often a waiting process looks whether the others live
POLL = 1e-4  # seconds; NCCL aborts what is waited for with a timeout, so it is polled


class Distributed(Executor):
    """One of W processes; the default process group must exist (see :func:`connect`).

    ``bytes_sent`` counts what this process has to send by the algorithm's formula, whatever the
    library does below: to each of W − 1 others its own slice or row. A full vector costs
    2nb(W − 1)/W, as a ring all-reduce does, in both modes. What is counted is what the tensors that
    torch.distributed is given say (tests/test_traffic.py).
    """

    name = "distributed"
    alone = False

    class Config(Settings):
        """Options of the reductions."""

        reduction: Literal["ordered", "fast"] = Field(
            "ordered",
            description="ordered: sums in subdomain order, the same bits for any number of "
            "processes; fast: all_reduce, whose bits depend on it",
        )

    def __init__(
        self, config: Config | None = None, here: Executor | None = None, **options: object
    ) -> None:
        """``here`` carries out what the subdomains of this process ask; serial by default."""
        super().__init__(config, **options)
        self._here = here or Serial()
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._members = list(range(self.size))
        self._group: Any = dist.group.WORLD
        self.bytes_sent = self.collectives = 0
        self._head = self  # whose counters and pulse its teams share
        self._teams: list[Distributed] = []
        self._leaving: list[tuple[dist.Work | None, torch.Tensor]] = []
        self._polled = "nccl" in str(dist.get_backend_config())
        store = dist.distributed_c10d._get_default_store()
        self._messenger = Messenger()
        self.pulse = Pulse(dist.PrefixStore("ddopt", store), self.rank, self.size)

    def carry_out(self, askings: dict[int, Asking[T]]) -> dict[int, T]:
        """As this process does it; questions of all processes are collectives by themselves."""
        return self._here.carry_out(askings)

    def grid(self, columns: int) -> tuple[Executor, Executor]:
        """Rows of min(W, columns) consecutive processes; all processes must call it."""
        width = min(columns, self.size)
        if columns % width or self.size % width:
            raise ValueError(
                f"{self.size} processes cannot share {columns} stages and copies of them; start a "
                f"number of processes that divides {columns}, or a multiple of {columns}"
            )
        if width == self.size:
            return self, Serial()
        if width == 1:
            return Serial(), self
        ranks = range(self.size)
        rows = [list(ranks[i : i + width]) for i in range(0, self.size, width)]
        return self._team(rows), self._team([list(ranks[i::width]) for i in range(width)])

    def _team(self, teams: list[list[int]]) -> Distributed:
        """The team of this process; every process takes part in making every team."""
        groups: list[Any] = [dist.new_group(members) for members in teams]
        (mine,) = (i for i, members in enumerate(teams) if self.rank in members)
        team = copy.copy(self)
        team.__dict__.pop("_posted", None)
        team._members, team._group, team._leaving = teams[mine], groups[mine], []
        team.rank, team.size = teams[mine].index(self.rank), len(teams[mine])
        self._head._teams.append(team)
        return team

    def sum(self, vectors: dict[int, torch.Tensor], count: int, like: torch.Tensor) -> torch.Tensor:
        """Reduce slices, then gather them; each process adds up the slice of coordinates it owns.

        W a power of two: a process has added its own subdomains before, and sends one vector.
        Otherwise no level of the tree lies within a process, and it sends one for each subdomain.
        """
        if self.config.reduction == "fast":
            return self._fast_sum(vectors, count, like)
        if self.size & (self.size - 1) == 0:
            vectors, count = fold(vectors, self.size), min(count, self.size)
        chunk = -(-like.numel() // self.size)
        mine = tree_sum(self._scatter(vectors, count, chunk, like), count)
        whole = like.new_empty(self.size * chunk)
        self._run(lambda: all_gather_single(whole, mine, group=self._group, async_op=True))
        self._count(chunk * (self.size - 1), like)
        return whole[: like.numel()]

    def _scatter(
        self, vectors: dict[int, torch.Tensor], count: int, chunk: int, like: torch.Tensor
    ) -> dict[int, torch.Tensor]:
        """The slice of this process, of all ``count`` vectors."""
        held = [len(range(rank, count, self.size)) for rank in range(self.size)]
        sent = like.new_zeros(self.size, len(vectors), chunk)
        padding = self.size * chunk - like.numel()
        for i, d in enumerate(sorted(vectors)):
            padded = torch.nn.functional.pad(vectors[d], (0, padding))
            sent[:, i] = padded.view(self.size, chunk)
        received = like.new_empty(count, chunk)
        outgoing = [chunk * len(vectors)] * self.size
        incoming = [chunk * k for k in held]
        self._run(
            lambda: dist.all_to_all_single(
                received.view(-1),
                sent.view(-1),
                incoming,
                outgoing,
                group=self._group,
                async_op=True,
            )
        )
        self._count(chunk * len(vectors) * (self.size - 1), like)
        order = [d for rank in range(self.size) for d in range(rank, count, self.size)]
        return dict(zip(order, received, strict=True))

    def _fast_sum(
        self, vectors: dict[int, torch.Tensor], count: int, like: torch.Tensor
    ) -> torch.Tensor:
        total = torch.zeros_like(like)
        for d in sorted(vectors):
            total += vectors[d]
        self._run(lambda: dist.all_reduce(total, group=self._group, async_op=True))
        self._count(2 * like.numel() * (self.size - 1) // self.size, like)
        return total

    def each(
        self, vectors: dict[int, torch.Tensor], sizes: list[int], like: torch.Tensor
    ) -> list[torch.Tensor]:
        """One all_gather; the processes' parts are padded to the longest."""
        owners = [range(rank, len(sizes), self.size) for rank in range(self.size)]
        length = max(sum(sizes[d] for d in owned) for owned in owners)
        own = like.new_zeros(length)
        if vectors:
            packed = torch.cat([vectors[d] for d in owners[self.rank]])
            own[: len(packed)] = packed
        gathered = like.new_empty(self.size, length)
        self._run(
            lambda: all_gather_single(gathered.view(-1), own, group=self._group, async_op=True)
        )
        self._count(length * (self.size - 1), like)
        found: dict[int, torch.Tensor] = {}
        for owned, row in zip(owners, gathered, strict=True):
            parts = row[: sum(sizes[d] for d in owned)].split([sizes[d] for d in owned])
            # Copies begin where any tensor does: the bits of an inner product depend on that.
            found.update(zip(owned, (part.clone() for part in parts), strict=True))
        return [found[d] for d in range(len(sizes))]

    def pick(self, vectors: dict[int, torch.Tensor], d: int, like: torch.Tensor) -> torch.Tensor:
        """A broadcast: the owner sends a copy for each of the others, whoever passes it on."""
        source = self.owner(d)
        mine = source == self.rank
        vector = vectors[d].contiguous() if mine else torch.empty_like(like)
        self._run(
            lambda: dist.broadcast(vector, self._members[source], group=self._group, async_op=True)
        )
        self._count(like.numel() * (self.size - 1) if mine else 0, like)
        return vector

    def numbers(self, values: dict[int, list[float]], count: int) -> list[list[float]]:
        """All-gather rows of float64 on the CPU, each headed by its length."""
        own = [number for d in sorted(values) for number in values[d]]
        rows = self._gather([float(len(own)), *own, *[0.0] * SHORT][: SHORT + 1])
        lengths = [int(row[0]) for row in rows]
        if max(lengths) > SHORT:
            rows = self._gather([0.0, *own, *[0.0] * (max(lengths) - len(own))])
        found: dict[int, list[float]] = {}
        for rank, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            owned = range(rank, count, self.size)
            width = length // max(len(owned), 1)
            for i, d in enumerate(owned):
                found[d] = row[1 + i * width : 1 + (i + 1) * width]
        return [found[d] for d in range(count)]

    def _gather(self, row: list[float]) -> list[list[float]]:
        own = torch.tensor(row, dtype=torch.float64)
        rows = own.new_empty(self.size, len(row))
        self._run(lambda: all_gather_single(rows.view(-1), own, group=self._group, async_op=True))
        self._count(len(row) * (self.size - 1), own)
        return rows.tolist()

    def send(self, tensors: tuple[torch.Tensor, ...], source: int, target: int) -> None:
        """Each tensor travels behind a header that says what it is."""
        if self.owner(target) == self.rank:
            super().send(tensors, source, target)
            return
        for tensor in tensors:
            header = torch.zeros(HEADER, dtype=torch.int64)
            kind = [len(tensors), DTYPES.index(tensor.dtype), tensor.dim(), *tensor.shape]
            header[: len(kind)] = torch.tensor(kind)
            for message in (header, tensor.detach().contiguous()):
                work = dist.isend(message, self._members[self.owner(target)], tag=target)
                self._leaving.append((work, message))
                self._count(message.numel(), message)

    def receive(self, source: int, target: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """Wait for the headers and the tensors."""
        if self.owner(source) == self.rank:
            return super().receive(source, target, device)
        found: list[torch.Tensor] = []
        count = 1
        while len(found) < count:
            header = torch.zeros(HEADER, dtype=torch.int64)
            self._fill(header, source, target)
            count, dtype, dims, *shape = header.tolist()
            tensor = torch.empty(shape[:dims], dtype=DTYPES[dtype], device=device)
            self._fill(tensor, source, target)
            found.append(tensor)
        return tuple(found)

    def _fill(self, tensor: torch.Tensor, source: int, target: int) -> None:
        self._head.collectives += 1
        self._wait(
            lambda: dist.irecv(tensor, self._members[self.owner(source)], tag=target), tensor
        )

    def settle(self) -> None:
        """Wait for the sends."""
        leaving, self._leaving = self._leaving, []
        for work, message in leaving:
            self._wait(lambda work=work: work, message)  # type: ignore[misc]

    def _packed(self, own: bytes) -> list[bytes]:
        """One gather of the lengths, and one of the bytes."""
        vector = torch.frombuffer(bytearray(own), dtype=torch.uint8)
        lengths = [int(length) for (length,) in self._gather([float(len(own))])]
        padded = torch.zeros(max(lengths), dtype=torch.uint8)
        padded[: len(vector)] = vector
        rows = padded.new_empty(self.size, max(lengths))
        self._run(
            lambda: all_gather_single(rows.view(-1), padded, group=self._group, async_op=True)
        )
        self._count(len(padded) * (self.size - 1), padded)
        pairs = zip(rows, lengths, strict=True)
        return [row[:length].numpy().tobytes() for row, length in pairs]

    def close(self) -> None:
        """Leave the process group, after a success: all processes must get here."""
        self._run(lambda: dist.barrier(group=self._group, async_op=True))
        self.pulse.stop()
        self._messenger.stop()
        dist.destroy_process_group()
        # A group's threads end with the last reference to it. One that still drops a tensor while
        # the interpreter shuts down aborts the process.
        for executor in (self, *self._teams):
            executor._group = None

    def _run(self, collective: Callable[[], dist.Work | None]) -> None:
        """Wait for a collective, and find out who is missing where it cannot end."""
        self._head.collectives += 1
        self._wait(collective)

    def _wait(
        self, collective: Callable[[], dist.Work | None], message: torch.Tensor | None = None
    ) -> None:
        """Wait for a collective, or for a ``message`` from or to one other process."""
        try:
            work = collective()
            assert work is not None
            if message is None or (self._polled and message.is_cuda):
                while not self._finished(work):
                    self.pulse.check(STUCK)
            else:
                self._await(self._messenger.arrival(work))
        except RankLostError:
            raise
        except RuntimeError as error:
            self.pulse.diagnose(error)

    def _await(self, arrived: Future[None]) -> None:
        while True:
            try:
                return arrived.result(LOOK.total_seconds())
            except TimeoutError:
                self.pulse.check(STUCK)

    def _finished(self, work: dist.Work) -> bool:
        """Wait for a while; a collective that is merely late can still be waited for."""
        if self._polled:
            deadline = time.monotonic() + LOOK.total_seconds()
            while not work.is_completed():
                if time.monotonic() > deadline:
                    return False
                time.sleep(POLL)
            work.wait()
            return True
        try:
            work.wait(LOOK)
        except RuntimeError:
            if work.is_completed():  # not merely late: it failed
                raise
            return False
        return True

    def _count(self, elements: int, like: torch.Tensor) -> None:
        self._head.bytes_sent += elements * like.element_size()
