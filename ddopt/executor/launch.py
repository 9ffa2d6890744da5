"""Starting and joining processes: ``--processes``, torchrun and a plain run are one thing.

``launch`` starts W processes through torchrun's own engine; ``connect`` gives each of them, or a
process that was started alone, its executor.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from ddopt.executor.appointment import appointment
from ddopt.executor.distributed import Distributed
from ddopt.executor.pulse import LAUNCHER
from ddopt.executor.serial import Serial
from ddopt.setup.notice import warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ddopt.executor.executor import Executor

PATIENCE = 24 * 3600  # seconds that interrupted processes have to end by themselves
LIMIT = timedelta(minutes=30)  # of one collective; a dead process is found out long before


@contextmanager
def connect(
    device: str | torch.device = "cpu",
    reduction: Literal["ordered", "fast"] = "ordered",
    threads: int = 1,
    here: Executor | None = None,
) -> Iterator[Executor]:
    """The executor of this process, from the environment that torchrun sets.

    ``here`` carries out what the subdomains of one process ask, serial where none is given; it is
    all there is where ``WORLD_SIZE`` is unset or 1. ``threads`` is the number of threads in one
    operation: the bits depend on it, so it is the same however many processes there are. On
    success all processes leave together; on an error the others are told.
    """
    torch.set_num_threads(threads)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield here or Serial()
        return
    join(device)
    executor = Distributed(reduction=reduction, here=here)
    try:
        yield executor
    except BaseException as error:
        executor.pulse.confess(error)
        raise  # the group is left as it is: taking it down needs processes that may be gone
    executor.close()


def join(device: str | torch.device = "cpu") -> torch.device:
    """Make the default process group from the environment; returns this process's device."""
    local, per_node = (int(os.environ.get(f"LOCAL_{n}", "0")) for n in ("RANK", "WORLD_SIZE"))
    if per_node == int(os.environ["WORLD_SIZE"]):
        loopback()
    backend = "gloo"
    device = torch.device(device)
    if device.type == "cuda":
        there = torch.cuda.device_count()
        device = torch.device("cuda", local % there)
        torch.cuda.set_device(device)
        if per_node <= there:
            backend = "cpu:gloo,cuda:nccl"
        elif local == 0:
            warn(
                f"{per_node} processes share {there} GPU(s), which NCCL does not allow; "
                "they talk through gloo, which is slower"
            )
    store, rank, size = next(rendezvous("env://", timeout=LIMIT))
    store = dist.PrefixStore(f"meeting/{appointment(store, rank, size, LIMIT)}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LIMIT)
    return device


def meet(path: str, rank: int, size: int, reduction: str = "ordered") -> Distributed:
    """The executor of one of ``size`` processes on this machine that meet in the file ``path``."""
    loopback()
    store = dist.FileStore(path, size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=LIMIT)
    return Distributed(reduction=reduction)


def loopback() -> None:
    """Let gloo use the loopback device, where all processes are on one machine and none is set."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")


def launch(
    arguments: Sequence[str], processes: int, module: str = "ddopt", *, told: Sequence[int] = ()
) -> None:
    """Run ``python -m ddopt`` with these arguments in so many processes on this machine.

    The same as ``torchrun --standalone --nproc-per-node PROCESSES -m ddopt ARGUMENTS``. Raises
    ``RuntimeError`` naming the rank that failed first; the others have been stopped by then. A
    signal is passed on, and torch's ``SignalException`` raised when all have ended; a second one is
    passed on as SIGTERM; after a third one the processes end within a second, whatever they do.
    An exit code in ``told`` is this process's too: who ended with it has said why.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # An interrupted iteration may take its time: without this, torch kills it after 30 seconds.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(PATIENCE))
    os.environ[LAUNCHER] = str(os.getpid())
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=f"ddopt-{os.getpid()}",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", module, *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode in told:
            sys.exit(failure.exitcode)
        raise RuntimeError(
            f"rank {rank} failed first, {_ending(failure.exitcode)}, and the others were stopped. "
            "What it wrote is above"
        ) from None


def _ending(exitcode: int) -> str:
    return f"killed by signal {-exitcode}" if exitcode < 0 else f"with exit code {exitcode}"
