"""One BLAS thread for small dense matrices.

A 100 x 100 eigenproblem takes a millisecond on one thread. NumPy's BLAS would start as many threads
as there are cores, which costs several times the work, fights with torch's own threads, and makes
the last bits depend on the number of cores.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def _controller() -> ThreadpoolController:
    """The BLAS libraries of this process; looking for them takes milliseconds, so only once."""
    return ThreadpoolController().select(internal_api=["openblas", "blis", "mkl"])


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the block with one BLAS thread; the threads of torch are not touched elsewhere."""
    with _controller().limit(limits=1):
        yield


@contextmanager
def as_many_threads(count: int) -> Iterator[None]:
    """Run the block with so many BLAS threads: for matrices that are worth them."""
    with _controller().limit(limits=count):
        yield
