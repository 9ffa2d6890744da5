"""A solver whose vectors are cut into pieces, each of them on one process.

A solver with m secant pairs remembers 2m vectors. Where every process holds θ and ∇f whole, as in
all decompositions but stages, it need not hold those too: each keeps its own pieces of them, inner
products are added up over the processes, and the trial is gathered, one vector, to evaluate f.

Legend: n parameters, C pieces, W processes; piece d belongs to process d mod W.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.problem import Point, Problem
from ddopt.executor.sharded import ALIGNMENT, Sharded
from ddopt.solver.solver import Answer, Solver

if TYPE_CHECKING:
    from ddopt.evaluation.question import Asking
    from ddopt.executor import Executor
    from ddopt.numerics.vectors import Geometry


class Cut:
    """Where the pieces of a vector (n,) are: equally long, the end padded with zeros."""

    def __init__(self, n: int, count: int, executor: Executor) -> None:
        self._executor = executor
        self.length = -(-n // (count * ALIGNMENT)) * ALIGNMENT
        self._ranges = [range(n)[d * self.length :][: self.length] for d in range(count)]
        self._owned = executor.owned(count)
        blocks = [slice(i * self.length, (i + 1) * self.length) for i in range(len(self._owned))]
        self.geometry = Sharded(executor, dict(zip(self._owned, blocks, strict=True)), count)

    def take(self, vector: torch.Tensor) -> torch.Tensor:
        """This process's pieces of ``vector`` (n,)."""
        pieces = vector.new_zeros(len(self._owned), self.length)
        for piece, d in zip(pieces, self._owned, strict=True):
            own = self._ranges[d]
            piece[: len(own)] = vector[own.start : own.stop]
        return pieces.flatten()

    def gather(self, pieces: torch.Tensor) -> torch.Tensor:
        """The vector (n,), from the pieces of all processes; a collective."""
        rows = dict(zip(self._owned, pieces.split(self.length), strict=True))
        own = {d: row[: len(self._ranges[d])] for d, row in rows.items()}
        return torch.cat(self._executor.each(own, [len(r) for r in self._ranges], pieces))


class Piece(Point):
    """This process's pieces of a visited point."""

    def __init__(self, theta: torch.Tensor, whole: Point, cut: Cut) -> None:
        super().__init__(
            theta, lambda: whole.value, lambda: cut.take(whole.gradient), whole.epsilon
        )
        self.whole = whole


class Pieces(Problem):
    """f as a function of θ in pieces."""

    def __init__(self, problem: Problem, cut: Cut) -> None:
        self.problem, self.cut, self.geometry = problem, cut, cut.geometry
        self.layout = problem.layout.restricted(slice(0, len(cut.geometry.blocks) * cut.length))
        self.samples, self.cost, self.draw = problem.samples, problem.cost, problem.draw
        self.extra = None if problem.extra is None else Pieces(problem.extra, cut)

    def at(self, theta: torch.Tensor) -> Piece:
        """Gather θ, and evaluate there."""
        return Piece(theta, self.problem.at(self.cut.gather(theta)), self.cut)

    def both(self, theta: torch.Tensor) -> Piece:
        """The same, where the gradient will be asked for."""
        return Piece(theta, self.problem.both(self.cut.gather(theta)), self.cut)

    def _missing(self, ability: str, method: str) -> ValueError:
        return ValueError(
            f"f of vectors in pieces cannot {ability}; set memory_pieces = 1, or choose a global "
            "solver that needs values and gradients alone, such as hessian = 'lsr1' or 'lbfgs'"
        )


class InPieces(Solver):
    """Lets ``solver`` work on C pieces of every vector; whoever calls sees whole vectors.

    C and not W decides about the bits. Raises ``ValueError`` where there are fewer pieces than
    processes.
    """

    def __init__(self, solver: Solver, count: int, executor: Executor) -> None:
        if count < executor.size:
            raise ValueError(
                f"{executor.size} processes cannot share a memory in {count} pieces; set "
                f"memory_pieces to {executor.size} or more, or to 1: whole on every process"
            )
        self.solver, self.count, self._executor = solver, count, executor
        self._cut: Cut | None = None  # made when n is known
        self._end: Piece | None = None  # of the last call: its products with the memory are known

    def __repr__(self) -> str:
        """The solver, and C."""
        return f"InPieces({self.solver!r}, {self.count})"

    def cut(self, n: int) -> Cut:
        """Where the pieces are."""
        if self._cut is None:
            self._cut = Cut(n, self.count, self._executor)
            self.solver.measure(self._cut.geometry)
        return self._cut

    @property
    def geometry(self) -> Sharded:
        """Where the pieces of this process are, once n is known."""
        assert self._cut is not None
        return self._cut.geometry

    @property
    def radius(self) -> float | None:
        """The solver's, if it has one."""
        return getattr(self.solver, "radius", None)

    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int
    ) -> Asking[Answer]:
        """Cut the start, solve, and give the end back whole: it was gathered to be evaluated."""
        cut = self.cut(problem.layout.size)
        begin = self._end
        if begin is None or begin.whole is not start:
            begin = Piece(cut.take(start.theta), start, cut)
        answer = yield from self.solver.iterate(Pieces(problem, cut), begin, ball, iterations)
        assert isinstance(answer.end, Piece)
        self._end, end = answer.end, answer.end.whole
        return replace(answer, step=end.theta - start.theta, end=end)

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the memory of this process's pieces."""
        self.solver.prepare(self.cut(len(like)).take(like))

    def measure(self, geometry: Geometry) -> None:
        """Raise ``ValueError`` where vectors are in pieces already."""
        if geometry.sharded:
            raise ValueError(
                "with stages the memory of the global solver is cut at the stages, each process "
                "holding that of its own; set memory_pieces = 1"
            )

    def resize(self, radius: float) -> None:
        """Begin the next call with this radius."""
        self.solver.resize(radius)

    def learn(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Take in this process's pieces of a secant pair."""
        cut = self.cut(len(s))
        self.solver.learn(cut.take(s), cut.take(y))

    def reset(self) -> None:
        """Forget the curvature."""
        self.solver.reset()

    def renew(self) -> None:
        """Forget earlier values."""
        self.solver.renew()

    def state_dict(self) -> dict[str, Any]:
        """The solver's state, its vectors in this process's pieces."""
        return self.solver.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave, on any number of processes."""
        self.solver.load_state_dict(state)
