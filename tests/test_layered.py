"""What the linear layers of a network saw gives the gradient, at the price of one evaluation."""

import pytest
import torch
from torch.func import functional_call

import ddopt
from ddopt.evaluation.derived import held
from ddopt.evaluation.meter import Meter, Metered
from ddopt.testing.problems import network


@pytest.fixture
def layered():
    net = network(seed=4)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def sums(named, samples):
        return ((functional_call(net, dict(named), (x[samples.terms[0]],)) ** 2).sum(),)

    parameters = ddopt.Parameters(net.named_parameters())
    problem = ddopt.LayeredProblem(net, parameters.layout, sums, ddopt.Samples.all(20))
    return problem, parameters.read()


@pytest.mark.parametrize("chunk", [None, 6])
def test_inputs_and_output_gradients_give_the_gradient(layered, chunk):
    problem, theta = layered
    problem.chunk, meter = chunk, Meter()
    g = torch.zeros_like(theta)
    for layers in Metered(problem, meter).ability(ddopt.LayeredProblem).layers(theta):
        for one in layers:
            g[one.weight] += (one.gradients.T @ one.inputs).reshape(-1)
            g[one.bias] += one.gradients.sum(dim=0)
    torch.testing.assert_close(g, problem.at(theta).gradient)
    assert meter.total == 1.0


def test_layers_that_do_not_move_are_left_out(layered):
    problem, theta = layered
    first = torch.arange(problem.layout.slices[1].stop)  # the first layer's weight and bias
    part = held(problem, problem.at(theta), first)
    ((one,),) = part.ability(ddopt.LayeredProblem).layers(theta[first])
    assert one.weight == slice(0, 24)
    assert one.bias == slice(24, 32)


def test_other_problems_do_not_have_the_ability(small_regression):
    assert small_regression[0].ability(ddopt.LayeredProblem) is None


def test_a_problem_says_where_its_samples_are(layered):
    problem, _ = layered
    with pytest.raises(ValueError, match="say where its samples lie"):
        problem.coordinates(0)
    problem.located = lambda term: torch.full((20, 2), float(term))
    assert Metered(problem, Meter()).coordinates(0).shape == (20, 2)
