"""An executor over MPI: ``mpiexec -n 4 ddopt run problem.toml executor=mpi``.

Where ``ddopt_mpi`` is installed the name is known; the file alone is loaded by ``--plugin``.
Process r owns the subdomains r, r + W, ...; sums are made in the order of the subdomains, so that
the numbers are those of one process, to the bit. Vectors travel as pickled tensors, all to all:
simple, and good for models that fit in a message. What a stage sends goes from owner to owner.
"""

from __future__ import annotations

import pickle
from typing import Any

import torch
from mpi4py import MPI

import ddopt
from ddopt.executor import tree_sum


class MPIExecutor(ddopt.Executor):
    """One of the processes of MPI.COMM_WORLD."""

    name = "mpi"

    def __init__(self, config: Any = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._comm = MPI.COMM_WORLD
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self.bytes_sent = self.collectives = 0
        self._leaving: list[Any] = []

    def _gathered(self, own: Any) -> list[Any]:
        """What every process gives, in the order of their ranks."""
        packed = pickle.dumps(own)
        self.collectives += 1
        self.bytes_sent += len(packed) * (self.size - 1)
        return [pickle.loads(one) for one in self._comm.allgather(packed)]

    def _all(self, vectors: dict[int, torch.Tensor]) -> dict[int, torch.Tensor]:
        """The vectors of all subdomains."""
        own = {d: vector.detach().cpu().contiguous() for d, vector in vectors.items()}
        return {d: vector for part in self._gathered(own) for d, vector in part.items()}

    def sum(self, vectors: dict[int, torch.Tensor], count: int, like: torch.Tensor) -> torch.Tensor:
        """Every process adds all of them up."""
        return tree_sum(self._all(vectors), count).to(like.device)

    def each(
        self, vectors: dict[int, torch.Tensor], sizes: list[int], like: torch.Tensor
    ) -> list[torch.Tensor]:
        """Gathered."""
        found = self._all(vectors)
        return [found[d].to(like.device) for d in range(len(sizes))]

    def numbers(self, values: dict[int, list[float]], count: int) -> list[list[float]]:
        """Gathered."""
        found = {d: row for part in self._gathered(values) for d, row in part.items()}
        return [found[d] for d in range(count)]

    def pick(self, vectors: dict[int, torch.Tensor], d: int, like: torch.Tensor) -> torch.Tensor:
        """A broadcast from its owner."""
        mine = self.owner(d) == self.rank
        packed = pickle.dumps(vectors[d].detach().cpu().contiguous()) if mine else None
        self.collectives += 1
        self.bytes_sent += len(packed) * (self.size - 1) if packed else 0
        return pickle.loads(self._comm.bcast(packed, self.owner(d))).to(like.device)

    def send(self, tensors: tuple[torch.Tensor, ...], source: int, target: int) -> None:
        """From stage to stage."""
        if self.owner(target) == self.rank:
            super().send(tensors, source, target)
            return
        packed = pickle.dumps(tuple(t.detach().cpu().contiguous() for t in tensors))
        self._leaving.append((self._comm.isend(packed, self.owner(target), tag=target), packed))
        self.bytes_sent += len(packed)

    def receive(self, source: int, target: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """The other end of ``send``."""
        if self.owner(source) == self.rank:
            return super().receive(source, target, device)
        self.collectives += 1
        found = pickle.loads(self._comm.recv(source=self.owner(source), tag=target))
        return tuple(tensor.to(device) for tensor in found)

    def settle(self) -> None:
        """Wait for what has been sent."""
        for request, _ in self._leaving:
            request.wait()
        self._leaving = []


@ddopt.hookimpl
def ddopt_register(register: Any) -> None:
    """Register the executor."""
    register(MPIExecutor)
