"""pytorch-minimize: products with the Hessian are seen and charged."""

import pytest
import torch

from ddopt.evaluation.meter import PRODUCT
from ddopt.setup.component import lookup
from ddopt_rivals.torchmin import Watched
from tests.rivals.test_rivals import charged


def test_a_product_with_the_hessian_is_seen_once_and_is_right():
    seen = []
    theta = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    f = (Watched.apply(theta, lambda: seen.append(1)) ** 3).sum()
    (g,) = torch.autograd.grad(f, theta, create_graph=True)
    assert not seen
    v = torch.tensor([1.0, -1.0], dtype=torch.float64)
    for times in (1, 2):
        (product,) = torch.autograd.grad(g, theta, v, retain_graph=True)
        assert torch.equal(product, 6.0 * theta.detach() * v)
        assert len(seen) == times


@pytest.mark.parametrize("method", ["bfgs", "l-bfgs", "cg", "newton-cg", "trust-ncg"])
def test_every_method_solves_a_convex_problem_and_pays(method):
    pytest.importorskip("torchmin")
    f, counts = charged(lookup("baseline", "torchmin")(method=method), 300)
    assert f.lines[-1]["loss"] < 1e-15 * f.lines[0]["loss"]
    products = [count for count in counts if count != 1.0]
    assert all(count % PRODUCT == 0.0 for count in products)
    assert bool(products) == (method in {"newton-cg", "trust-ncg"})
