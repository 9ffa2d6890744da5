"""Derivatives by coordinates, carried through pointwise functions, against autograd."""

from itertools import combinations_with_replacement
from math import comb

import pytest
import torch
from torch import nn

from ddopt_pinn.activation import with_derivatives
from ddopt_pinn.derivatives import derivatives, upto
from ddopt_pinn.jets import VALUE, Jets, partitions
from ddopt_pinn.taylor import Jet, tail, taylor

FUNCTIONS = {
    "tanh": torch.tanh,
    "sin": torch.sin,
    "sigmoid": nn.Sigmoid(),
    "gelu": nn.functional.gelu,
    "silu": nn.SiLU(),
}
BELL = [1, 1, 2, 5, 15]


def by_autograd(y, x, derivative):
    """∂_α y (m,) of features that depend on their own point only."""
    for i in derivative:
        if not y.requires_grad:
            return torch.zeros(len(x), dtype=x.dtype)
        (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True, materialize_grads=True)
        y = gradient[:, i]
    return y.detach()


def points(m=5, dimensions=2):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(m, dimensions, generator=generator, dtype=torch.float64).requires_grad_()


def jet_of(y, x, jets):
    rows = [sum(by_autograd(y, x, one) for one in channel) for channel in jets.channels]
    return torch.stack(rows)[:, :, None]


def test_partitions_are_counted_by_bell_numbers():
    for size, number in enumerate(BELL):
        found = [sorted(map(tuple, blocks)) for blocks in partitions(tuple(range(size)))]
        assert len(found) == number
        assert len({tuple(blocks) for blocks in found}) == number


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_there_are_as_many_derivatives_as_monomials(dimensions):
    assert derivatives(dimensions, 0) == ((),)
    assert len(derivatives(dimensions, 3)) == comb(dimensions + 3, 3)


def test_multi_indices_count_the_coordinates_of_the_same_derivatives():
    assert upto(2, 2) == ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    for one, index in zip(derivatives(3, 4), upto(3, 4), strict=True):
        assert [one.count(axis) for axis in range(3)] == list(index)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_of_pointwise_functions(name):
    z = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64).requires_grad_()
    found = with_derivatives(FUNCTIONS[name], z.detach(), 5)
    y = FUNCTIONS[name](z)
    for one in found:
        torch.testing.assert_close(one, y.detach(), rtol=1e-11, atol=1e-11)
        (y,) = torch.autograd.grad(y.sum(), z, create_graph=True)


def test_a_piecewise_linear_function_has_no_second_derivative():
    z = torch.tensor([-1.0, 2.0])
    value, first, second, third = with_derivatives(torch.relu, z, 3)
    assert torch.equal(value, torch.tensor([0.0, 2.0]))
    assert torch.equal(first, torch.tensor([0.0, 1.0]))
    assert not second.any()
    assert not third.any()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "wanted",
    [
        [VALUE],
        [((0,),), ((1, 1),)],
        [((0, 0), (1, 1))],  # a sum
        [((0, 1),)],
        [((0, 0, 0),), ((0, 1, 1),)],
        [((0, 0, 1, 1),)],
    ],
)
def test_the_chain_rule(name, wanted):
    x = points()
    z = torch.cos(x[:, 0]) * x[:, 1] + 0.3 * x[:, 0] ** 2
    jets = Jets(wanted)
    jet = jet_of(z, x, jets)
    sigma = with_derivatives(FUNCTIONS[name], jet[0], jets.order + 1)
    found = jets.activated(sigma, jet)
    torch.testing.assert_close(found, jet_of(FUNCTIONS[name](z), x, jets))


@pytest.mark.parametrize("wanted", [[((0, 0), (1, 1))], [((0, 1),)], [((0, 0, 1),)]])
def test_pulling_back_is_the_transpose_of_the_chain_rule(wanted):
    jets = Jets(wanted)
    generator = torch.Generator().manual_seed(1)
    z, a = torch.randn(2, len(jets), 4, 3, generator=generator, dtype=torch.float64)

    def forward(z):
        return jets.activated(with_derivatives(torch.tanh, z[0], jets.order + 1), z)

    sigma = with_derivatives(torch.tanh, z[0], jets.order + 1)
    step = 1e-6
    for k in range(len(jets)):
        direction = torch.zeros_like(z)
        direction[k] = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        slope = (forward(z + step * direction) - forward(z - step * direction)) / (2 * step)
        pulled = jets.pulled(sigma, z, a)
        torch.testing.assert_close(
            (pulled * direction).sum(), (a * slope).sum(), rtol=1e-7, atol=1e-8
        )


def test_only_what_the_chain_rule_needs_is_carried():
    assert Jets([VALUE]).channels == [VALUE]
    assert Jets([((0, 0),)]).channels == [VALUE, ((0,),), ((0, 0),)]
    laplacian = ((0, 0), (1, 1), (2, 2))
    assert Jets([laplacian]).channels == [VALUE, ((0,),), ((1,),), ((2,),), laplacian]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_taylor_polynomial_has_the_derivatives_it_was_given(dimensions):
    x, order = points(4, dimensions), 3
    names = derivatives(dimensions, order)
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(4, len(names), 2, generator=generator, dtype=torch.float64)
    u = taylor(a, x, order)
    for k, name in enumerate(names):
        for component in (0, 1):
            torch.testing.assert_close(by_autograd(u[:, component], x, name), a[:, k, component])
    for name in combinations_with_replacement(range(dimensions), order + 1):
        assert not by_autograd(u[:, 0], x, name).any()


def test_a_tail_has_the_derivatives_of_its_order_and_none_below():
    x = points(4, 2)
    u = tail(x, 3)[:, 0]
    for name in derivatives(2, 4):
        wanted = {3: 6.0, 4: 24.0}.get(len(name), 0.0)  # of s³ e^s at s = 0
        found = by_autograd(u, x, name)
        torch.testing.assert_close(found, torch.full((4,), wanted, dtype=torch.float64))


def test_a_jet_by_autograd_ends_with_zeros_where_the_graph_ends():
    x = points(4, 2)
    jet = Jet(x[:, 0] ** 2, x)
    assert torch.equal(jet.at((0,)), 2.0 * x[:, 0])
    assert torch.equal(jet.at((0, 0)), torch.full((4,), 2.0, dtype=torch.float64))
    assert not jet.at((1,)).any()
    assert not jet.at((0, 0, 0, 1)).any()
