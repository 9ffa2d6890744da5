"""A network cut into stages satisfies the same equation as the whole: values and gradients."""

import numpy as np
import pytest
import torch

from ddopt.evaluation.derived import held
from ddopt.evaluation.problem import Samples
from ddopt.executor.serial import Serial
from ddopt.numerics.vectors import norm
from ddopt_pinn import PROBLEMS, dde
from ddopt_pinn.poisson import Poisson2D
from ddopt_pinn.stages import activated, jet
from ddopt_pinn.taylor import taylor
from tests.pinn.problems import prepared


def whole_in(theta, cut):
    """θ of the whole network as the stages' vectors, padding included."""
    flat = torch.zeros(sum(cut.sizes), dtype=theta.dtype)
    starts = np.cumsum([0, *cut.sizes])
    for start, length, piece in zip(
        starts[:-1], cut.lengths, theta.split(cut.lengths), strict=True
    ):
        flat[start : start + length] = piece
    return flat


def without_padding(vector, cut):
    pieces = vector.split(cut.sizes)
    return torch.cat([v[:length] for v, length in zip(pieces, cut.lengths, strict=True)])


def test_an_equation_of_the_third_order_is_not_cut():
    with pytest.raises(ValueError, match=r"its residual needs more \(of the third order"):
        prepared("kdv").staged(2, 1, Serial())


@pytest.mark.parametrize("name", sorted({*PROBLEMS} - {"kdv"}))
@pytest.mark.parametrize(("stages", "chunks"), [(1, 1), (2, 3), (3, 2)])
def test_stages_have_the_loss_and_the_gradient_of_the_whole(name, stages, chunks):
    task = prepared(name, resampling="none")
    theta = task.initial + 0.1 * torch.sin(torch.arange(len(task.initial), dtype=torch.float64))
    whole = task.problem.at(theta)
    expected = task.measure(theta)
    del expected["validation_loss"]  # no process has the residual at other points
    cut = task.staged(stages, chunks, Serial())
    assert torch.equal(cut.initial(), whole_in(task.initial, cut))
    point = cut.at(whole_in(theta, cut))
    assert point.value == pytest.approx(whole.value, rel=1e-12)
    difference = without_padding(point.gradient, cut) - whole.gradient
    assert norm(difference) <= 1e-11 * norm(whole.gradient)
    assert task.measure(whole_in(theta, cut)) == pytest.approx(expected, rel=1e-12)


def test_parts_of_the_samples_add_up():
    task = prepared("allen_cahn")
    cut = task.staged(2, 1, Serial())
    theta = cut.initial()
    order = torch.randperm(len(cut.samples), generator=torch.Generator().manual_seed(0))
    shares = [cut.share(Samples((some,))).at(theta).value for some in order.split(17)]
    assert sum(shares) == pytest.approx(cut.at(theta).value, rel=1e-13)


def test_a_stage_alone_has_the_gradient_of_the_whole_in_its_parameters():
    task = prepared("helmholtz2d")
    cut = task.staged(3, 2, Serial())
    point = cut.at(cut.initial())
    gradient = point.gradient
    for d, block in enumerate(cut.stages()):
        own = held(cut, point, block).at(cut.piece(point.theta, d))
        assert own.value == pytest.approx(point.value, rel=1e-12)
        assert torch.equal(own.gradient, gradient[block])


def test_jets_and_their_polynomial_have_the_derivatives_of_the_function():
    x = torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()

    def function(x):
        return torch.stack([x.prod(1), x[:, 0] ** 2 * x[:, 2]], 1)

    exact = jet(torch.sin(function(x)), x)
    carried = activated(torch.sin, jet(function(x), x))
    torch.testing.assert_close(carried, exact, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(jet(taylor(exact.detach(), x, 2), x), exact, rtol=1e-14, atol=1e-14)


class ThirdOrder(Poisson2D):
    """An equation that a jet of second derivatives cannot satisfy."""

    def equation(self, x, u):
        second = dde.grad.hessian(u, x, i=0, j=0)
        return super().equation(x, u) + dde.grad.jacobian(second, x, i=0, j=0)


class Parallel(Poisson2D):
    """A network that is no line of layers."""

    def network(self):
        return dde.nn.PFNN([2, [4], [4], 1], "tanh", "Glorot normal")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (lambda: prepared("burgers", resampling="rad"), "problem.resampling = 'none'"),
        (lambda: ready(ThirdOrder), "first and second derivatives"),
        (lambda: ready(Parallel), "a PFNN cannot be cut"),
        (lambda: prepared("poisson1d", depth=1), "2 layers make no 3 stages"),
    ],
)
def test_what_cannot_be_cut_says_why(task, said):
    with pytest.raises(ValueError, match=said):
        task().staged(3, 1, Serial())


def ready(kind):
    from ddopt.task import Setting

    task = kind(interior=20, boundary=12, width=5, depth=2)
    task.prepare(Setting())
    return task
