"""The generalised Gauss-Newton matrix of a cross-entropy: against autograd, in every wrapper."""

import pytest
import torch

from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.derived import Frozen
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.outputs import Scores, softmax_curvature
from ddopt.evaluation.problem import Samples
from ddopt.evaluation.scaled import Scaled
from ddopt.executor import Serial, Split
from ddopt.hessian.gauss_newton import GaussNewton
from ddopt.numerics.space import Layout
from ddopt.solver.trust_region import TrustRegion

SAMPLES, INPUTS, HIDDEN, CLASSES = 12, 3, 4, 5
SHAPES = tuple(map(torch.Size, ((HIDDEN, INPUTS), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,))))
generator = torch.Generator().manual_seed(0)
X = torch.randn(SAMPLES, INPUTS, generator=generator, dtype=torch.float64)
Y = torch.randint(CLASSES, (SAMPLES,), generator=generator)
LAYOUT = Layout(("0.weight", "0.bias", "1.weight", "1.bias"), SHAPES, torch.float64, X.device)
THETA = torch.randn(LAYOUT.size, generator=generator, dtype=torch.float64)
V = torch.randn(LAYOUT.size, generator=generator, dtype=torch.float64)


def scores(named, samples):
    i = samples.terms[0]
    first, shift, second, offset = named.values()
    return Scores(torch.tanh(X[i] @ first.T + shift) @ second.T + offset)


def sums(named, samples):
    z, y = scores(named, samples).rows, Y[samples.terms[0]]
    return (torch.nn.functional.cross_entropy(z, y, reduction="sum"),)


def classifier(chunk=None):
    options = {"chunk": chunk, "outputs": lambda draw: scores}
    return AutogradProblem(LAYOUT, sums, Samples.all(SAMPLES), **options)


def matrix(samples):
    """Σ_i J_iᵀ H_i J_i / m by autograd: ∂z/∂θ and the Hessian of the loss in z, one by one."""
    i = torch.arange(SAMPLES)[samples]

    def outputs(theta):
        return scores(classifier().named(theta), Samples((i,))).rows

    J, z = torch.autograd.functional.jacobian(outputs, THETA), outputs(THETA)
    found = torch.zeros(LAYOUT.size, LAYOUT.size, dtype=torch.float64)
    for row, jacobian, label in zip(z, J, Y[i], strict=True):
        loss = lambda one, y=label: torch.nn.functional.cross_entropy(one, y)  # noqa: E731
        found += jacobian.T @ torch.autograd.functional.hessian(loss, row) @ jacobian
    return found / SAMPLES


def test_the_hessian_of_the_cross_entropy_in_the_scores():
    z, u = 5.0 * X[:, :3], torch.cos(X)
    for row, direction, found in zip(z, u, softmax_curvature(z, u), strict=True):
        loss = lambda one: torch.nn.functional.cross_entropy(one, torch.tensor(1))  # noqa: E731
        wanted = torch.autograd.functional.hessian(loss, row) @ direction
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("chunk", [None, 5])
def test_the_products_are_those_of_the_matrix(chunk):
    torch.testing.assert_close(classifier(chunk).generalised(THETA)(V), matrix(slice(None)) @ V)


def test_every_wrapper_hands_them_on():
    f, G, kept = classifier(), matrix(slice(None)), torch.tensor([0, 5, 11, 30])
    assert Consistent(Metered(f, Meter()), f.at(THETA), V).paid.problem.problem is f
    for same in (Metered(f, Meter()), Split(f, 3, Serial()), Consistent(f, f.at(THETA), V)):
        assert same.convex
        torch.testing.assert_close(same.generalised(THETA)(V), G @ V)
    torch.testing.assert_close(Scaled(f, 3.0).generalised(THETA)(V), 3.0 * (G @ V))
    found = Frozen(f, THETA, kept).generalised(THETA[kept])(V[kept])
    torch.testing.assert_close(found, G[kept][:, kept] @ V[kept])
    half = Samples((torch.arange(0, SAMPLES, 2),))
    torch.testing.assert_close(f.share(half).generalised(THETA)(V), matrix(slice(0, None, 2)) @ V)


def test_a_product_is_charged_as_one_with_the_hessian():
    meter, other = Meter(), Meter()
    for _ in range(2):
        Metered(classifier(), meter).generalised(THETA)(V)
        Metered(classifier(), other).curvature(THETA)(V)
    assert meter.total == other.total > 0.0


def test_the_step_minimises_the_model_of_the_true_gradient():
    """In a ball that does not bind, with every product that it takes: G p = −g on G's range."""
    problem = classifier()
    point = problem.at(THETA)
    step, predicted, length = GaussNewton().model(problem, point).minimise(1e6)
    g, G = point.gradient, matrix(slice(None))
    assert predicted == pytest.approx(-float(g @ step + 0.5 * step @ G @ step), rel=1e-9)
    assert float((G @ step + g).norm()) <= 0.1 * float(g.norm())
    assert length == pytest.approx(float(step.norm()))
    short, _, length = GaussNewton().model(problem, point).minimise(1e-3)
    assert length == pytest.approx(1e-3)
    assert float(short @ g) < 0.0


def test_a_classifier_is_fitted():
    problem = classifier()
    solver, point = TrustRegion(hessian="gauss_newton"), problem.at(THETA)
    end = solver.solve(problem, point, float("inf"), 60).end
    assert end.value < 1e-3 * point.value  # 12 samples, 41 parameters


def test_curvature_that_is_not_finite_rejects_the_trial():
    problem = classifier()
    broken = {
        "outputs": lambda draw: (
            lambda named, samples: Scores(scores(named, samples).rows * float("nan"))
        )
    }
    broken = AutogradProblem(LAYOUT, sums, Samples.all(SAMPLES), **broken)
    start = problem.at(THETA)
    answer = TrustRegion(hessian="gauss_newton").solve(broken, start, float("inf"), 3)
    assert answer.end is start
    assert answer.non_finite == answer.rejected == 1
