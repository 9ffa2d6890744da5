"""Patches are solved in float64, which a script asks DeepXDE for."""

import pytest
import torch

from ddopt_pinn.library import building, load


@pytest.fixture
def double():
    """DeepXDE builds in float64, as within a run, and its own setting is untouched."""
    with building(0, torch.float64):
        yield


@pytest.fixture
def double_in_deepxde(double):
    """What ``dde.config.set_default_float("float64")`` does in a script, for one test."""
    load().config.set_default_float("float64")
    yield
    load().config.set_default_float("float32")
