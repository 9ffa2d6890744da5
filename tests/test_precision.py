"""Near round-off a run ends by itself, and every part keeps the precision of the parameters."""

import math

import pytest
import torch

from ddopt.builtin import COMPONENTS
from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.problem import Point, Problem, Samples
from ddopt.executor import Serial
from ddopt.executor.sharded import Sharded
from ddopt.method.engine import Engine
from ddopt.numerics.space import Layout
from ddopt.numerics.vectors import CHUNK, LOCAL, dot
from ddopt.setup.component import lookup
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.problems import regression
from ddopt_sapts.data import SaptsD


class LeastSquares(Problem):
    """f = ‖Ax − b‖², with as many samples as rows."""

    def __init__(self, A, b):
        from ddopt.evaluation.problem import Samples

        self.A, self.b, self.samples = A, b, Samples.all(len(b))
        self.layout = Layout.flat(A.shape[1], A.dtype)

    def at(self, theta):
        r = self.A @ theta - self.b
        return Point(theta, float(r @ r), 2.0 * self.A.T @ r)

    def part(self, samples):
        rows = samples.terms[0]
        scale = (len(self.b) / len(rows)) ** 0.5
        part = LeastSquares(scale * self.A[rows], scale * self.b[rows])
        part.cost, part.samples = len(rows) / len(self.b), samples
        return part

    share = part

    def curvature(self, theta):
        return lambda v: 2.0 * self.A.T @ (self.A @ v)

    def residuals(self, theta):
        return self.A @ theta - self.b


def least_squares(noise, dtype=torch.float64):
    """40 equations for 15 unknowns; ``noise`` is the length of the residual that remains."""
    random = torch.Generator().manual_seed(0)
    A = torch.randn(40, 15, generator=random, dtype=torch.float64)
    A = A * torch.logspace(0, -2, 15, dtype=torch.float64)
    x = torch.randn(15, generator=random, dtype=torch.float64)
    outside = torch.linalg.qr(A, mode="complete")[0][:, -1]
    return LeastSquares(A.to(dtype), (A @ x + noise * outside).to(dtype))


def descend(problem, theta, most):
    """Iterate until the solver stops by itself; how many iterations that took, and where it is."""
    solver, point, spent = TrustRegion(), problem.at(theta), 0
    while spent < most:
        answer = solver.solve(problem, point, math.inf, 10)
        point, tried = answer.end, answer.accepted + answer.rejected
        spent += tried
        if tried == 0:
            return point, spent
    raise AssertionError(f"still iterating after {most}, at {point.value}, radius {solver.radius}")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_minimum_above_zero_is_reached_to_round_off_and_left(dtype):
    problem = least_squares(1.0, dtype)
    point, _ = descend(problem, torch.zeros(15, dtype=dtype), 300)
    eps = torch.finfo(dtype).eps
    assert point.value == pytest.approx(1.0, rel=100 * eps)


def test_zero_residuals_go_to_the_squared_round_off():
    problem = least_squares(0.0)
    solver, theta = TrustRegion(), torch.zeros(15, dtype=torch.float64)
    assert solver.solve(problem, problem.at(theta), math.inf, 60).end.value < 1e-28
    network, theta = regression()
    assert solver.__class__().solve(network, network.at(theta), math.inf, 250).end.value < 1e-24


SOLVERS = {
    **{name: {"name": name} for name in COMPONENTS["solver"]},
    **{
        f"acceptance {name}": {"name": "trust_region", "acceptance": name}
        for name in COMPONENTS["acceptance"]
    },
    **{
        f"hessian {name}": {"name": "trust_region", "hessian": name, "subproblem": subproblem}
        for name, subproblem in {
            "none": "cauchy",
            "lsr1": "obs",
            "lbfgs": "dogleg",
            "exact": "steihaug",
            "gauss_newton": "obs",
        }.items()
    },
}


def tensors(tree, path=""):
    """Every tensor of a state, with its path."""
    if isinstance(tree, torch.Tensor):
        yield path, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from tensors(value, f"{path}/{key}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_keeps_the_dtype(solver, dtype):
    options = dict(SOLVERS[solver])
    part = lookup("solver", options.pop("name"))(**options)
    problem = least_squares(0.1, dtype)
    answer = part.solve(problem, problem.at(torch.zeros(15, dtype=dtype)), 1.0, 4)
    kept = dict(tensors(part.state_dict())) | {"step": answer.step, "end": answer.end.theta}
    kept["gradient"] = answer.end.gradient
    for path, tensor in kept.items():
        wanted = torch.float64 if path.endswith("/gram") else dtype
        assert tensor.dtype == wanted, path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("recombination", COMPONENTS["recombination"])
def test_every_recombination_keeps_the_dtype(recombination, dtype):
    problem = least_squares(0.1, dtype)
    strategy = SaptsD(subdomains=2, recombination=recombination)
    engine = Engine(strategy.parts(TrustRegion.Config()), Serial())
    engine.start(problem, torch.zeros(15, dtype=dtype))
    for _ in range(3):
        engine.step(problem)
    for path, tensor in tensors(engine.state_dict()):
        assert tensor.dtype == (torch.float64 if path.endswith("/gram") else dtype), path


def test_an_inner_product_of_overflowed_numbers_is_no_error():
    a = torch.zeros(3 * CHUNK)
    a[0], a[-1] = math.inf, -math.inf
    assert math.isnan(dot(a, torch.ones_like(a)))
    assert dot(a, a) == math.inf


def test_a_trial_whose_chunks_overflow_together_is_infinite():
    def sums(named, samples):
        return ((named["x"].exp() + 0.0 * samples.terms[0]).sum(),)

    layout = Layout.flat(1)
    f = AutogradProblem(layout, sums, Samples.all(6), counts=(1,), chunk=2)
    far = torch.tensor([709.0], dtype=torch.float64)  # 2 exp(709) is the last finite one
    assert f.at(far).value == f.both(far).value == math.inf


@pytest.mark.parametrize("blocks", [None, 2])
def test_an_estimate_is_the_inner_product_of_the_vectors_as_they_were(blocks):
    """Walks write to their vectors in place before they read it; float32 sums lose four digits."""
    size = 32 * (CHUNK // 16)  # two chunks
    random = torch.Generator().manual_seed(0)
    a, b = (torch.rand(size, generator=random, dtype=torch.float32) for _ in range(2))
    half, wanted, geometry = size // 2, dot(a, b), LOCAL
    if blocks is not None:
        geometry = Sharded(Serial(), {0: slice(0, half), 1: slice(half, size)}, blocks)
    found, halved = geometry.estimate(a, b), geometry.estimate(a, b, less=0.5 * b)
    a.zero_()
    assert found() == pytest.approx(wanted, rel=1e-4)
    assert halved() == pytest.approx(0.5 * wanted, rel=1e-4)
