"""Checkpoints of what no process holds: one file for each stage, or each piece of the memory of
the global solver, and for each subdomain.

Process 0 writes them one after the other as their owners send them, so that it never holds more
than one piece beside its own; whoever resumes, on any number of processes, reads what it owns. What
is sent for a checkpoint is no part of the traffic of the method, and is not counted.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch

from ddopt.executor.objects import received, sent
from ddopt.run import checkpoint, stored

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.method.engine import Engine
    from ddopt.numerics.vectors import Geometry
    from ddopt.run.tally import Tally


class Run(Protocol):
    """What is needed of a run (:class:`ddopt.run.running.Run`), which calls this file."""

    executor: Executor
    engine: Engine
    problem: Problem
    whole: Problem
    initial: torch.Tensor
    tally: Tally


MARK = "piece:"  # stands where a vector was, with its number
STAGE, MEMORY, SUBDOMAIN = "stage", "memory", "subdomain"  # kinds of files


def take_apart(tree: Any, geometry: Geometry) -> tuple[Any, dict[int, list[torch.Tensor]]]:
    """A state without its vectors (..., n), and views of this process's pieces of those."""
    owned = geometry.owned
    length = sum(block.stop - block.start for block in owned.values())
    pieces: dict[int, list[torch.Tensor]] = {piece: [] for piece in owned}
    count = 0

    def walk(node: Any) -> Any:
        nonlocal count
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        vector = isinstance(node, torch.Tensor) and node.is_floating_point() and node.ndim
        if not vector or node.shape[-1] != length:  # small matrices are the same on every process
            return node
        for piece, block in owned.items():
            pieces[piece].append(node.detach()[..., block])
        count += 1
        return f"{MARK}{count - 1}"

    return walk(tree), pieces


def put_together(tree: Any, pieces: list[list[torch.Tensor]]) -> Any:
    """The state with its vectors, from their pieces in order."""
    if isinstance(tree, dict):
        return {key: put_together(value, pieces) for key, value in tree.items()}
    if isinstance(tree, str) and tree.startswith(MARK):
        number = int(tree.removeprefix(MARK))
        return torch.cat([piece[number] for piece in pieces], dim=-1)
    return tree


def save(folder: Path | None, run: Run, bundle: dict[str, Any]) -> None:
    """Write the checkpoint of an iteration; by all processes.

    ``folder`` is process 0's, None on the others; where process 0 has none either, nothing is sent.
    """
    executor, whole = run.executor, run.whole
    solvers = bundle["engine"].pop("solvers")
    known = executor.everywhere((1 + max(solvers, default=-1), folder is not None))
    if not any(kept for _, kept in known):
        return
    bundle, kind, own, count = _in_pieces(run, bundle)
    row = min(count, executor.size)  # the processes of the first copy of the stages
    parcels = [(f"{kind}-{j:04d}.pt", j % row, own.get(j)) for j in range(count)]
    parcels += [
        (f"{SUBDOMAIN}-{d:04d}.pt", executor.owner(d), solvers.get(d))
        for d in range(max(subdomains for subdomains, _ in known))
    ]
    counters = executor.bytes_sent, executor.collectives
    place = None if folder is None else checkpoint.pieces_of(folder, run.tally.iterations)
    if place is None:
        for _, owner, piece in parcels:
            if owner == executor.rank:
                sent(executor, stored.tight(piece))
    else:
        digests = {}
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name, owner, piece in parcels:
            state = piece if owner == 0 else received(executor, owner, run.initial.device)
            checkpoint.write(place / name, state)
            digests[name] = checkpoint.digest(place / name)
            del state
    executor.bytes_sent, executor.collectives = counters
    if folder is not None:
        bundle |= {"pieces": digests, "lengths": getattr(whole, "lengths", [])}
        checkpoint.save(folder, run.tally.iterations, bundle)


def _in_pieces(
    run: Run, bundle: dict[str, Any]
) -> tuple[dict[str, Any], str, dict[int, list[torch.Tensor]], int]:
    """The bundle without what lies in pieces; their kind, this process's own, and how many."""
    memory = run.engine.memory
    if memory is not None:
        engine = bundle["engine"]
        engine["global"], own = take_apart(engine["global"], memory)
        return bundle, MEMORY, own, memory.count
    if run.problem.geometry.sharded:
        geometry = run.problem.geometry
        bundle, own = take_apart(bundle, geometry)
        return bundle, STAGE, own, geometry.count
    return bundle, STAGE, {}, 0


def load(folder: Path, run: Run, bundle: dict[str, Any]) -> dict[str, Any]:
    """The bundle with the vectors and the local solvers of this process."""
    device, place = run.initial.device, checkpoint.pieces_of(folder, run_at(bundle))

    def owned(kind: str) -> range:
        """Those of this process, of all of a kind; a single one is everybody's."""
        count = sum(name.startswith(kind) for name in bundle["pieces"])
        return range(1) if count == 1 else run.executor.owned(count)

    def read(kind: str, numbers: Iterable[int]) -> list[Any]:
        names = (f"{kind}-{j:04d}.pt" for j in numbers)
        return [checkpoint.read(place / name, device) for name in names]

    mine, subdomains = owned(MEMORY), owned(SUBDOMAIN)
    solvers = zip(subdomains, read(SUBDOMAIN, subdomains), strict=True)
    if mine:
        engine = bundle["engine"]
        engine["global"] = put_together(engine["global"], read(MEMORY, mine))
    elif run.problem.geometry.sharded:
        bundle = put_together(bundle, read(STAGE, run.problem.geometry.owned))
    bundle["engine"]["solvers"] = {d: state for d, state in solvers if state is not None}
    return bundle


def parameters(folder: Path, bundle: dict[str, Any], what: str = "point") -> torch.Tensor:
    """θ of the whole model, where one process has room for it: to draw, to generate, to export.

    ``what`` is the last "point" or the "best" one.
    """
    theta = (bundle["best"] if what == "best" else bundle["engine"]["point"])["theta"]
    if not isinstance(theta, str):
        return cast("torch.Tensor", theta)
    place = checkpoint.pieces_of(folder, run_at(bundle))
    stages = []
    for j, length in enumerate(bundle["lengths"]):
        vectors = checkpoint.read(place / f"stage-{j:04d}.pt")
        stages.append(vectors[int(theta.removeprefix(MARK))][:length].clone())
    return torch.cat(stages)


def run_at(bundle: dict[str, Any]) -> int:
    """The iteration of a checkpoint."""
    return int(bundle["tally"]["iterations"])
