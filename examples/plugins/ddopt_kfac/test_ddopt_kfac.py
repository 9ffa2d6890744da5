"""The factors are those of the formula, and the plugin conforms to its seam."""

import pytest
import torch
from ddopt_kfac import KFAC, factors
from torch import nn
from torch.func import functional_call

import ddopt
from ddopt.testing import check_hessian


def network(samples=40):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    x = torch.randn(samples, 3, dtype=torch.float64)
    t = torch.sin(x.sum(dim=1, keepdim=True))

    def sums(named, picked):
        i = picked.terms[0]
        return (((functional_call(net, dict(named), (x[i],)) - t[i]) ** 2).sum(),)

    parameters = ddopt.Parameters(net.named_parameters())
    problem = ddopt.LayeredProblem(net, parameters.layout, sums, ddopt.Samples.all(samples))
    return problem, parameters.read()


def test_it_conforms():
    check_hessian(KFAC(), network()[0])


@pytest.mark.parametrize("chunk", [None, 7])
def test_what_the_layers_saw_gives_the_gradient(chunk):
    problem, theta = network()
    problem.chunk = chunk
    g = torch.zeros_like(theta)
    for layers in problem.layers(theta):
        for one in layers:
            g[one.weight] += (one.gradients.T @ one.inputs).reshape(-1)
            g[one.bias] += one.gradients.sum(dim=0)
    torch.testing.assert_close(g, problem.at(theta).gradient)


def test_the_last_layer_of_one_sample_is_exact():
    """With one sample and one output, A ⊗ G is the block of the empirical Fisher matrix, g gᵀ."""
    problem, theta = network(samples=1)
    point = problem.at(theta)
    model = KFAC().model(problem, point)
    v = torch.zeros_like(theta)
    v[-6:] = torch.linspace(-1.0, 1.0, 6, dtype=theta.dtype)
    g = point.gradient
    torch.testing.assert_close(model.mv(v)[-6:], g[-6:] * (g[-6:] @ v[-6:]))


def test_the_step_minimises_the_model():
    problem, theta = network()
    point = problem.at(theta)
    model = KFAC().model(problem, point)
    step, found = model.minimise(0.1)
    residual = model.gradient + model.mv(step) + found.multiplier * step
    assert residual.norm() <= 1e-9 * model.gradient.norm()
    assert float(step.norm()) <= 0.1 * (1 + 1e-9)


def test_another_problem_is_told():
    from ddopt.testing.problems import regression

    problem, theta = regression()
    with pytest.raises(ValueError, match=r"'kfac' needs a problem whose linear layers"):
        KFAC().model(problem, problem.at(theta))
    assert len(factors(network()[0], network()[1])) == 2
