"""The antiderivative operator: exact references, parts of its samples, a network that learns."""

import numpy as np
import pytest
import torch

from ddopt.decomposition.data import Data
from ddopt.evaluation.problem import Samples
from ddopt.numerics.randomness import generator
from ddopt.task import Setting
from ddopt.testing import check_decomposition
from ddopt_pinn.operator import Antiderivative, Fields


@pytest.fixture
def task():
    made = Antiderivative(functions=6, points=5, sensors=8, tests=4, width=5)
    made.prepare(Setting(seed=3))
    return made


def test_the_reference_is_the_antiderivative():
    from scipy.integrate import quad

    fields = Fields(2, 0.2, generator(0, "test"))
    ends = np.array([0.0, 0.3, 1.0])
    for number, found in enumerate(fields.integrals(ends)):
        wanted = [
            quad(lambda x, n=number: fields.values(np.array([x]))[n, 0], 0, b)[0] for b in ends
        ]
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_the_fields_have_the_covariance_that_is_claimed():
    length, x = 0.2, np.array([0.0, 0.25, 0.7])
    # Modes with unit draws: v(0) v(x) sums the variances times the cosines.
    fields = Fields(1, length, generator(0, "test"))
    shifts = 2.0 * np.arange(-5, 6)
    wanted = np.exp(-((x[:, None] - shifts) ** 2) / (2 * length**2)).sum(1)
    variance = np.exp(-0.5 * (fields.waves * length) ** 2) * np.where(fields.waves > 0, 2.0, 1.0)
    found = (variance / variance.sum()) @ np.cos(fields.waves[:, None] * x)
    np.testing.assert_allclose(found, wanted / wanted[0], atol=1e-13)


def test_the_loss_is_the_mean_square_and_parts_of_it_add_up(task):
    f, theta = task.problem, task.initial
    residuals = f.residuals(theta)
    point = f.at(theta)
    torch.testing.assert_close(float(residuals @ residuals), point.value)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    shares = [f.share(Samples((some,))).at(theta) for some in (order[:11], order[11:])]
    torch.testing.assert_close(sum(share.value for share in shares), point.value)
    torch.testing.assert_close(sum(share.gradient for share in shares), point.gradient)
    part = Samples((order[:11],))
    torch.testing.assert_close(
        f.part(part).residuals(theta) ** 2, residuals[order[:11]] ** 2 * 30 / 11
    )
    torch.testing.assert_close(2 * f.jacobian(theta).T @ residuals, point.gradient)


def test_its_samples_can_be_decomposed(task):
    check_decomposition(Data(subdomains=3, overlap=0.2), task.problem)


def test_sensors_are_seen_and_points_are_asked_for(task):
    assert task.problem.coordinates(0).shape == (30, 1)
    again = Antiderivative(functions=6, points=5, sensors=8, tests=4, width=5)
    again.prepare(Setting(seed=3))
    assert torch.equal(again.initial, task.initial)
    assert again.measure(again.initial) == task.measure(task.initial)
    assert 0.0 < task.measure(task.initial)["error"] < 10.0


def test_the_picture_is_drawn(task, tmp_path):
    lines = [{"evaluations": k, "seconds": 0.1 * k, "loss": 0.1**k} for k in range(1, 4)]
    (file,) = task.draw(task.initial, lines, tmp_path)
    assert file.stat().st_size > 20_000
