"""What autograd says of a graph that was built before: in words that tell what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

OLD = ("backward through the graph a second time", "modified by an inplace operation")


@contextmanager
def built_inside() -> Iterator[None]:
    """Explain autograd's refusal of a graph from an earlier evaluation, as a ``ValueError``.

    An evaluation frees its graph, and writes into the parameters from which it was computed.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in OLD):
            raise
        raise ValueError(
            "the loss depends on something that was computed from trainable tensors before it was "
            "asked for: put the whole forward pass inside the closure. A boundary condition of "
            "DeepXDE computes its function once; where it reads a dde.Variable, give the condition "
            "as dde.icbc.OperatorBC instead"
        ) from error


@contextmanager
def left_whole() -> Iterator[None]:
    """The same for a closure that returns residuals, whose graph somebody else differentiates."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in OLD):
            raise
        raise ValueError(
            "the graph of the residuals that the closure returned has been freed or written into: "
            "it calls no backward, and computes the whole forward pass in each call; ddopt "
            "differentiates what it returns"
        ) from error
