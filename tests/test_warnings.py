"""Which warnings are errors in this suite: those that our own code causes."""

import warnings

import pytest
import torch.distributed as dist

from ddopt.executor import collectives

SELF_TALK = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
OURS = ("ddopt.method.engine", "ddopt_pinn.loss", "tests.test_warnings", "examples.thesis.grid")


def say(module, category):
    """A warning that is attributed to ``module``."""
    exec("warn('of this line', category)", {"__name__": module, **locals(), "warn": warnings.warn})


@pytest.mark.parametrize("category", SELF_TALK)
@pytest.mark.parametrize("module", OURS)
def test_what_our_lines_are_told_is_an_error(module, category):
    with pytest.raises(category, match="of this line"):
        say(module, category)


@pytest.mark.parametrize("category", SELF_TALK)
def test_what_a_dependency_says_of_itself_is_shown(category):
    with warnings.catch_warnings(record=True) as heard:
        say("torch.nn.modules.module", category)
    assert [one.category for one in heard] == [category]


@pytest.mark.parametrize("category", [UserWarning, RuntimeWarning, ResourceWarning])
@pytest.mark.parametrize("module", [*OURS, "torch.nn.modules.module"])
def test_every_other_warning_is_an_error_wherever_it_is_said(module, category):
    with pytest.raises(category, match="of this line"):
        say(module, category)


def test_no_collective_that_is_called_is_deprecated():
    assert not hasattr(collectives.all_gather_single, "__deprecated__")


@pytest.mark.skipif(
    not hasattr(getattr(dist, "all_gather_into_tensor", None), "__deprecated__"),
    reason="this torch deprecates no collective by this name",
)
def test_a_deprecated_collective_is_an_error_through_the_wrapper_of_torch():
    with pytest.raises(FutureWarning, match="all_gather_into_tensor"):
        dist.all_gather_into_tensor(None, None)
