"""DeepXDE as a guest: imported late, on its PyTorch backend, and leaving no trace in the process.

DeepXDE moves torch's default device to the GPU when it is imported, keeps one float type for the
whole process, talks on standard error, and writes a file into the home directory if nobody has
chosen a backend. Here each of these is undone or prevented.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import torch

from ddopt.setup.extras import installing
from ddopt.setup.limits import brief
from ddopt_pinn.late import imported_late

PRECISIONS = {torch.float64: "set_float64", torch.float32: "set_float32"}


@cache
def load() -> Any:
    """Import DeepXDE on the PyTorch backend.

    Raises ``ModuleNotFoundError`` with the command that installs it, or ``ValueError`` if the
    environment makes DeepXDE refuse.
    """
    backend = os.environ.setdefault("DDE_BACKEND", "pytorch")
    if backend != "pytorch":
        raise ValueError(
            f"DDE_BACKEND is {backend!r}, but ddopt trains PyTorch networks; "
            "set DDE_BACKEND=pytorch or unset it"
        )
    if "OMPI_COMM_WORLD_SIZE" in os.environ:
        raise ValueError(
            "DeepXDE cannot be imported under mpirun with its PyTorch backend (it takes "
            "OMPI_COMM_WORLD_SIZE for Horovod). Start the processes with "
            "ddopt run --processes N or with torchrun instead"
        )
    device = torch.get_default_device()
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with imported_late():
                library = import_module("deepxde")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"this problem is set up through DeepXDE, but there is no {error.name!r}. "
            f"Install it with: {installing('pinn')}"
        ) from error
    finally:
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
    if library.backend.backend_name != "pytorch":
        raise ValueError(
            f"DeepXDE is loaded with its {library.backend.backend_name} backend; "
            "ddopt needs the PyTorch one: set DDE_BACKEND=pytorch before DeepXDE is imported"
        )
    return library


class _Late:
    """Stands for DeepXDE in code that must not import it yet.

    Who only looks at objects (inspect, copy, pytest) asks for private names, and gets none.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"DeepXDE is not loaded for the private name {name!r}")
        return getattr(load(), name)


dde: Any = _Late()
ACTIVATIONS = "elu, gelu, relu, selu, sigmoid, silu, sin, swish, tanh, and 'LAAF-10 tanh'"


def check_activation(name: str) -> None:
    """Raise ``ValueError`` for a name that DeepXDE would answer with a ``KeyError``."""
    find = load().nn.activations.get  # what prevents DeepXDE itself has a message of its own
    try:
        find(name)
    except (KeyError, IndexError, ValueError):
        raise ValueError(
            f"problem.activation: DeepXDE has no activation {brief(name)}; it has {ACTIVATIONS}"
        ) from None


@contextmanager
def numbers(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Let DeepXDE make numbers of ``dtype`` on ``device``, differentiated in reverse mode."""
    config = load().config
    before, autodiff = config.real.precision, config.autodiff
    elsewhere = device.type != torch.get_default_device().type
    getattr(config.real, PRECISIONS[dtype])()
    config.autodiff = "reverse"
    try:
        with device if elsewhere else contextlib.nullcontext():
            yield
    finally:
        config.autodiff = autodiff
        getattr(config.real, f"set_float{before}")()


@contextmanager
def building(seed: int, dtype: torch.dtype) -> Iterator[None]:
    """Build networks and draw points, decided by ``seed`` alone.

    The state of every global random generator and torch's default dtype are put back.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    default = torch.get_default_dtype()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    torch.set_default_dtype(dtype)
    try:
        with (
            numbers(dtype, torch.device("cpu")),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "The balance properties of Sobol")
            yield
    finally:
        torch.set_default_dtype(default)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
