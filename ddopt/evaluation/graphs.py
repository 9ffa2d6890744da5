"""What autograd says of a graph that was built before: in words that tell what to do.

``with built_inside():`` is around what differentiates a loss, and ``@left_whole()`` decorates what
differentiates the residuals of a closure. Both raise ``ValueError`` where autograd refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

OLD = ("backward through the graph a second time", "modified by an inplace operation")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Autograd's refusal of a graph that is freed or written into, as ``what`` to do."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in OLD):
            raise
        raise ValueError(what) from error


# An evaluation frees its graph, and writes into the parameters from which it was computed.
built_inside = partial(
    _explained,
    "the loss depends on something that was computed from trainable tensors before it was "
    "asked for: put the whole forward pass inside the closure. A boundary condition of "
    "DeepXDE computes its function once; where it reads a dde.Variable, give the condition "
    "as dde.icbc.OperatorBC instead",
)
left_whole = partial(
    _explained,
    "the graph of the residuals that the closure returned has been freed or written into: "
    "it calls no backward, and computes the whole forward pass in each call; ddopt "
    "differentiates what it returns",
)
