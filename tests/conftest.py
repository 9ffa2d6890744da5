"""One thread everywhere: bits depend on it, and two cores are quickly oversubscribed."""

import pytest
import torch
from hypothesis import settings

from ddopt.testing.problems import classification, regression

torch.set_num_threads(1)
settings.register_profile("ddopt", deadline=None, derandomize=True)
settings.load_profile("ddopt")


@pytest.fixture
def small_regression():
    return regression()


@pytest.fixture
def small_classification():
    return classification()
