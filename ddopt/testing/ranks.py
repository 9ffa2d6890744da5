"""Several processes for a test: a function runs on every rank, and what it returns comes back."""

from __future__ import annotations

import multiprocessing as mp
import os
import pickle
import tempfile
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import torch

from ddopt.executor.launch import meet

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection


class RankFailedError(RuntimeError):
    """A rank raised, died or did not answer; the message holds the ranks' tracebacks."""


def run_ranks(
    function: Callable[..., Any],
    world_size: int,
    *arguments: Any,
    timeout: float = 600.0,
    start: str = "fork",
    reduction: str = "ordered",
) -> list[Any]:
    """Call ``function(executor, *arguments)`` on every rank; returns the results in rank order.

    The ranks meet in a file, so no port is needed. ``start="fork"`` takes a fraction of a second
    and takes any function; use ``"spawn"`` and an importable one where CUDA has been used.

    Raises :class:`RankFailedError` with the tracebacks if a rank raises, dies, or is not done
    after ``timeout`` seconds.
    """
    outcomes = gather_ranks(
        function, world_size, *arguments, timeout=timeout, start=start, reduction=reduction
    )
    failed = {
        r: outcome for r, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)
    }
    if failed:
        raise RankFailedError("\n".join(f"rank {r}: {error}" for r, error in failed.items()))
    return outcomes


def gather_ranks(
    function: Callable[..., Any],
    world_size: int,
    *arguments: Any,
    timeout: float = 600.0,
    start: str = "fork",
    reduction: str = "ordered",
) -> list[Any]:
    """Like :func:`run_ranks`, but a rank that failed leaves its error in the place of a result."""
    context: Any = mp.get_context(start)
    with tempfile.TemporaryDirectory() as folder:
        processes, ends = [], []
        for rank in range(world_size):
            mine, theirs = context.Pipe(duplex=False)
            place = (os.path.join(folder, "store"), rank, world_size, reduction)
            process = context.Process(target=_run, args=(theirs, place, function, arguments))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # threads are idle here
                process.start()
            theirs.close()
            processes.append(process)
            ends.append(mine)
        deadline = time.monotonic() + timeout
        try:
            return [_receive(end, deadline, timeout) for end in ends]
        finally:
            for process in processes:
                process.join(max(0.0, min(5.0, deadline - time.monotonic())))
                if process.is_alive():
                    process.kill()
                    process.join()


def _receive(end: Connection, deadline: float, timeout: float) -> Any:
    """The result of one rank, or its error."""
    if not end.poll(max(0.0, deadline - time.monotonic())):
        return RankFailedError(f"not done after {timeout:g} s")
    try:
        done, payload = pickle.loads(end.recv_bytes())
    except EOFError:
        return RankFailedError("died without a word")
    return payload if done else RankFailedError(payload)


def _run(
    end: Connection,
    place: tuple[str, int, int, str],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """What a rank does."""
    path, rank, size, reduction = place
    torch.set_num_threads(1)
    executor = meet(path, rank, size, reduction)
    try:
        payload = pickle.dumps((True, function(executor, *arguments)))
        executor.close()
    except BaseException as error:
        executor.pulse.confess(error)
        executor.pulse.stop()
        payload = pickle.dumps((False, traceback.format_exc()))
    end.send_bytes(payload)
    end.close()
