"""One thread everywhere: bits depend on it, and two cores are quickly oversubscribed."""

import pytest
import torch

from tests.problems import classification, regression

torch.set_num_threads(1)


@pytest.fixture
def small_regression():
    return regression()


@pytest.fixture
def small_classification():
    return classification()
