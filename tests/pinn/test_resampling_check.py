"""The check of resamplings passes ours, and tells what is wrong with others."""

import numpy as np
import pytest
import torch

from ddopt.setup.plugins import manager
from ddopt_pinn.resampling import RAD
from ddopt_pinn.testing import check_resampling
from tests.planted import made
from tests.planted.spoil import RANDOM, UNSEEDED, raises

WRONG = {
    "too few": (lambda f, s, k, n: f[1:], "must give so many"),
    "outside": (lambda f, s, k, n: f + 2.0, "outside the domain"),
    "NaN": (lambda f, s, k, n: f * np.nan, "outside the domain, or NaN"),
    "in place": (lambda f, s, k, n: [k.points.fill(0.5), f][1], "changed what is known in place"),
    "draws": (lambda f, s, k, n: f * float(torch.rand(())), RANDOM),
    "draws anew": (lambda f, s, k, n: f * np.random.default_rng().random(), UNSEEDED),
    "raises": (raises, "it raised KeyError"),
}


@pytest.mark.parametrize("name", manager().registry.names("resampling"))
def test_ours_conform(name):
    check_resampling(manager().find("resampling", name)(), ranks=name == "rad")


@pytest.mark.parametrize("defect", WRONG)
def test_a_wrong_resampling_is_told_what_is_wrong(defect):
    spoil, words = WRONG[defect]
    with pytest.raises(AssertionError, match=words):
        check_resampling(made(RAD, choose=spoil)(), ranks=False)
