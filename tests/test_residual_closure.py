"""Closures that return residuals: f is the mean of their squares."""

import io

import pytest
import torch
from torch import nn

import ddopt
from ddopt.evaluation.meter import DIFFERENTIAL, GRAPH, RESIDUALS, Meter, Metered
from ddopt.evaluation.problem import Samples
from ddopt.evaluation.residual_closure import ResidualProblem
from ddopt.evaluation.stillness import Stillness
from ddopt.numerics.space import Parameters
from ddopt.testing.problems import network


def data(count=30):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return x, torch.sin(x.sum(1, keepdim=True))


MAKERS = {
    "damping": lambda net, **o: ddopt.LevenbergMarquardt(net.parameters(), **o),
    "ball": lambda net, **o: ddopt.TrustRegion(net.parameters(), hessian="gauss_newton", **o),
}


def problem(net, closure, **options):
    parameters = Parameters(net.named_parameters())
    return ResidualProblem(parameters, closure, Stillness([], torch.device("cpu")), **options)


@pytest.mark.parametrize("kind", MAKERS)
def test_it_minimises_the_mean_of_squares(kind):
    net, (x, y) = network(), data()
    optimizer = MAKERS[kind](net)
    for _ in range(40):
        before = (net(x) - y).square().mean().item()
        assert float(optimizer.step(lambda: net(x) - y)) == pytest.approx(before, rel=1e-10)
    assert (net(x) - y).square().mean().item() < 1e-10


def test_the_problem_is_the_mean_of_squares_with_its_derivatives():
    net, (x, y) = network(), data()
    f = problem(net, lambda: net(x) - y)
    theta = f._parameters.read()
    loss = (net(x) - y).square().mean()
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, net.parameters())])
    for point in (f.at(theta), f.both(theta)):
        assert point.value == pytest.approx(loss.item(), rel=1e-14)
        torch.testing.assert_close(point.gradient, gradient)
    r, J = f.residuals(theta), f.jacobian(theta)
    torch.testing.assert_close(2.0 * J.T @ r, gradient)
    product, pullback = f.differential(theta)
    torch.testing.assert_close(pullback(2.0 * r), gradient)
    v = torch.linspace(-1.0, 1.0, len(theta), dtype=torch.float64)
    torch.testing.assert_close(product(v), J @ v)
    h = 1e-6
    torch.testing.assert_close(
        (f.residuals(theta + h * v) - f.residuals(theta - h * v)) / (2 * h),
        J @ v,
        rtol=1e-7,
        atol=1e-8,
    )


def test_products_stay_those_at_their_point_when_another_one_is_evaluated():
    """Its graph is gone then; one more is built for them, and charged."""
    net, (x, y) = network(), data()
    meter, inner = Meter(), problem(net, lambda: net(x) - y)
    f = Metered(inner, meter)
    theta = inner._parameters.read()
    v = torch.linspace(-1.0, 1.0, len(theta), dtype=torch.float64)
    product, pullback = f.differential(theta)
    w = product(v)
    expected, spent = pullback(w), meter.total
    f.residuals(theta + v)
    assert torch.equal(product(v), w)
    assert torch.equal(pullback(w), expected)
    assert meter.total == spent + RESIDUALS + GRAPH + 2.0 * DIFFERENTIAL


def test_many_parameters_are_trained_by_products_from_a_script():
    net, (x, y) = network(), data()
    optimizer = ddopt.LevenbergMarquardt(net.parameters(), dense=0)
    loss = [float(optimizer.step(lambda: net(x) - y)) for _ in range(25)]
    assert loss[-1] < 1e-4 * loss[0]


def test_parameters_that_a_residual_does_not_depend_on_have_zero_columns():
    net, extra = network(), nn.Parameter(torch.ones(2, dtype=torch.float64))
    x, y = data()
    parameters = Parameters([("extra", extra), *net.named_parameters()])
    f = ResidualProblem(parameters, lambda: net(x) - y, Stillness([], torch.device("cpu")))
    theta = parameters.read()
    assert not f.jacobian(theta)[:, :2].any()
    r = f.residuals(theta)
    product, pullback = f.differential(theta)
    assert not product(torch.eye(len(theta), dtype=torch.float64)[0]).any()
    assert not pullback(r)[:2].any()


def test_parts_of_a_batch_are_means_and_shares_add_up():
    net, batch = network(), data()
    f = problem(net, lambda part: net(part[0]) - part[1], batch=batch)
    theta = f._parameters.read()
    pieces = [Samples((torch.arange(12),)), Samples((torch.arange(12, 30),))]
    means = [f.part(piece).at(theta).value for piece in pieces]
    assert f.at(theta).value == pytest.approx((12 * means[0] + 18 * means[1]) / 30)
    assert f.at(theta).value == pytest.approx(sum(f.share(p).at(theta).value for p in pieces))
    rows = torch.cat([f.share(piece).jacobian(theta) for piece in pieces])
    torch.testing.assert_close(rows, f.jacobian(theta))
    share = f.share(pieces[0])
    assert share.part(pieces[0]).at(theta).value == share.at(theta).value  # it keeps the weight


@pytest.mark.parametrize("variant", ["D", "P"])
@pytest.mark.parametrize(
    "solver", ["levenberg_marquardt", {"name": "trust_region", "hessian": "gauss_newton"}]
)
def test_decompositions_take_residuals(variant, solver):
    net, batch = network(), data()
    optimizer = ddopt.SAPTS(net.named_parameters(), variant, 2, solver=solver)
    first = (net(batch[0]) - batch[1]).square().mean().item()
    for _ in range(15):
        if variant == "D":
            optimizer.step(lambda part: net(part[0]) - part[1], batch)
        else:
            optimizer.step(lambda: net(batch[0]) - batch[1])
    assert (net(batch[0]) - batch[1]).square().mean().item() < 0.1 * first


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_state_continues_with_the_same_bits(kind, cut):
    x, y = data()

    def trained(net, optimizer, steps):
        for _ in range(steps):
            optimizer.step(lambda: net(x) - y)
        return optimizer

    whole = network()
    trained(whole, MAKERS[kind](whole), 16)
    first = network()
    saved = io.BytesIO()
    optimizer = trained(first, MAKERS[kind](first), cut)
    torch.save({"net": first.state_dict(), "optimizer": optimizer.state_dict()}, saved)
    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    second = network(seed=5)
    second.load_state_dict(state["net"])
    optimizer = MAKERS[kind](second)
    optimizer.load_state_dict(state["optimizer"])
    trained(second, optimizer, 16 - cut)
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_leaves_the_random_numbers_alone():
    net, (x, y) = network(), data()
    optimizer = ddopt.LevenbergMarquardt(net.parameters())
    for _ in range(3):
        optimizer.step(lambda: net(x) - y)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    optimizer.state_dict()
    assert torch.equal(torch.rand(2), expected)


MAKERS_OF_ALL = {
    **MAKERS,
    "least squares": lambda net, **o: ddopt.LeastSquares(net.parameters(), **o),
}


@pytest.mark.parametrize("kind", MAKERS_OF_ALL)
def test_points_that_a_closure_draws_are_others_in_every_step(kind):
    """Within a step they are the same; two runs from one seed draw the same ones."""

    def run():
        torch.manual_seed(2)
        net = network()
        optimizer, drawn = MAKERS_OF_ALL[kind](net), []
        for _ in range(6):
            seen = set()

            def closure(seen=seen, net=net):
                x = torch.rand(30, 3, dtype=torch.float64)
                seen.add(x[0, 0].item())
                return net(x) - torch.sin(x.sum(1, keepdim=True))

            optimizer.step(closure)
            drawn.append(seen)
        return drawn, [p.detach().clone() for p in net.parameters()]

    (drawn, weights), (again, same) = run(), run()
    assert drawn == again
    assert all(torch.equal(a, b) for a, b in zip(weights, same, strict=True))
    assert len(drawn[0]) == 1
    assert len(set.union(*drawn)) >= 3  # a rejected step leaves no trace


@pytest.mark.parametrize("kind", MAKERS_OF_ALL)
def test_buffers_are_left_as_the_kept_point_leaves_them(kind):
    net, (x, y) = network(), data()
    seen = torch.zeros(1, dtype=torch.float64)

    def closure():
        r = net(x) - y
        seen.copy_(r.detach().square().mean())
        return r

    optimizer = MAKERS_OF_ALL[kind](net, buffers=[seen])
    for _ in range(5):
        optimizer.step(closure)
        assert seen.item() == pytest.approx((net(x) - y).square().mean().item(), rel=1e-9)


@pytest.mark.parametrize("kind", MAKERS_OF_ALL)
@pytest.mark.parametrize("options", [{}, {"dense": 0}], ids=["a matrix", "products"])
def test_a_step_without_gradients_around_it_is_the_same_step(kind, options):
    if options and kind != "damping":
        pytest.skip("no other method has products")
    x, y = data()

    def trained(enabled):
        net = network()
        optimizer = MAKERS_OF_ALL[kind](net, **options)
        for _ in range(4):
            with torch.set_grad_enabled(enabled):
                optimizer.step(lambda: net(x) - y)
        return list(net.parameters())

    for a, b in zip(trained(False), trained(True), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", MAKERS_OF_ALL)
@pytest.mark.parametrize("batch", [None, torch.ones(30, 3)], ids=["no batch", "a batch"])
def test_residuals_in_place_of_a_closure_are_refused(kind, batch):
    net, (x, y) = network(), data()
    optimizer = MAKERS_OF_ALL[kind](net)
    with pytest.raises(ValueError, match=r"given a tensor of shape \(30, 1\).*needs a closure"):
        optimizer.step(net(x) - y, batch)


@pytest.mark.parametrize("kind", MAKERS_OF_ALL)
def test_another_number_of_residuals_within_a_step_is_refused(kind):
    net, (x, y) = network(), data()
    calls = []

    def closure():
        calls.append(1)
        return net(x[: 9 + len(calls)]) - y[: 9 + len(calls)]

    optimizer = MAKERS_OF_ALL[kind](net)
    with pytest.raises(ValueError, match=r"returned 11 residuals, and 10 where this step starts"):
        optimizer.step(closure)


def test_after_a_reset_there_may_be_another_number_of_residuals():
    net, (x, y) = network(), data()
    optimizer, count = ddopt.LevenbergMarquardt(net.parameters()), [30]

    def closure():
        return net(x[: count[0]]) - y[: count[0]]

    for _ in range(3):
        optimizer.step(closure)
    count[0] = 20
    with pytest.raises(ValueError, match=r"returned 20 residuals, and 30 .*optimizer\.reset\(\)"):
        optimizer.step(closure)
    optimizer.reset()
    loss = [float(optimizer.step(closure)) for _ in range(20)]
    assert (net(x[:20]) - y[:20]).square().mean().item() < 1e-3 * loss[0]


WRONG = {
    "a single number": lambda net, x, y: (net(x) - y).square().mean(),
    "None": lambda net, x, y: None,
    "without a graph": lambda net, x, y: (net(x) - y).detach(),
    "no residuals at all": lambda net, x, y: [net(x[:0]), net(x[:0])],
}


@pytest.mark.parametrize("said", WRONG)
def test_what_is_no_residual_is_refused(said):
    net, (x, y) = network(), data()
    with pytest.raises(ValueError, match=f"{said}.*need the residuals"):
        ddopt.LevenbergMarquardt(net.parameters()).step(lambda: WRONG[said](net, x, y))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("mistake", ["backward", "before"])
def test_a_graph_that_is_gone_is_told_with_what_to_do(kind, mistake):
    net, (x, y) = network(), data()
    before = net(x)

    def residuals():
        found = net(x) - y if mistake == "backward" else net(x) - y + before
        if mistake == "backward":
            found.square().mean().backward()
        return found

    optimizer = MAKERS[kind](net)
    with pytest.raises(ValueError, match="calls no backward, and computes the whole forward pass"):
        [optimizer.step(residuals) for _ in range(2)]


def test_residuals_are_refused_where_a_loss_is_expected():
    net, (x, y) = network(), data()
    with pytest.raises(ValueError, match=r"shape \(30, 1\).*gauss_newton"):
        ddopt.TrustRegion(net.parameters()).step(lambda: net(x) - y)


def test_a_term_without_points_is_no_hindrance():
    net, (x, y) = network(), data()
    optimizer = ddopt.LevenbergMarquardt(net.parameters())
    loss = [float(optimizer.step(lambda: torch.cat([net(x) - y, net(x[:0])]))) for _ in range(20)]
    assert loss[-1] < 1e-3 * loss[0]


def rows(f, theta):
    """∂r/∂θ by a backward pass for each residual."""
    r = f._with_graph(theta)
    found = [torch.autograd.grad(one, f._leaves, retain_graph=True, allow_unused=True) for one in r]
    return torch.stack([f._flat(parts) for parts in found])


def physics(net, x):
    """u_xx + u u_y of a network at points, and a condition at some of them."""
    x = x.detach().requires_grad_()
    u = net(x)
    (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first[:, 0].sum(), x, create_graph=True)
    return second[:, 0] + u[:, 0] * first[:, 1], torch.stack([first[:, 2], u[:, 0] ** 2], 1)


class Mixing(nn.Module):
    """A network whose rows see each other."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        u = self.inner(x)
        return u - u.mean()


class Named:
    """A tensor in a wrapper, as libraries have them that name their coordinates."""

    def __init__(self, tensor):
        self.tensor = tensor

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return cls(func(*(a.tensor if isinstance(a, cls) else a for a in args), **(kwargs or {})))


FAST = {
    "wrapped tensors": lambda net, x: net(Named(x)).tensor,
    "regression": lambda net, x: net(x) - 1.0,
    "a derivative": lambda net, x: physics(net, x)[0],
    "a system": lambda net, x: list(physics(net, x)),
    "terms at other points": lambda net, x: [physics(net, x)[0], 3.0 * net(x[:5] + 1.0)],
    "terms in one tensor": lambda net, x: torch.cat([physics(net, x)[0], net(x[:5] + 1.0)[:, 0]]),
    "pairs of points": lambda net, x: net(x[:10]) - net(x[10:20]),
    "points in another order": lambda net, x: net(x).flip(0)[::2],
    "an empty term": lambda net, x: [net(x), net(x[:0])],
    "an empty term without a graph": lambda net, x: [net(x), x.new_zeros(0)],
    "a term that nothing moves": lambda net, x: [net(x), x[:2, 0]],
    "complex": lambda net, x: torch.complex(net(x), net(2.0 * x)),
}
SLOW = {
    "points that see each other": lambda net, x: Mixing.forward(net, x),
    "several residuals of a point in one tensor": lambda net, x: torch.cat(physics(net, x)[:1] * 2),
    "weights outside layers": lambda net, x: x @ net.inner[0].weight.T,
}


@pytest.mark.parametrize("kind", [*FAST, *SLOW])
def test_the_jacobian_of_a_closure_is_right_whatever_it_computes(kind):
    net, (x, _) = Mixing(), data()
    plain = net.inner
    parameters = Parameters(net.named_parameters())
    closure = {**FAST, **SLOW}[kind]
    given = net if kind in ("points that see each other", "weights outside layers") else plain
    f = ResidualProblem(parameters, lambda: closure(given, x), Stillness([], torch.device("cpu")))
    theta = parameters.read()
    J = f.jacobian(theta)
    torch.testing.assert_close(J, rows(f, theta), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(f.jacobian(theta), J)  # once the way has been chosen
    assert f.way.per_point is (kind in FAST)


def test_coefficients_that_are_sought_are_differentiated_too():
    net, (x, _) = network(), data()
    coefficient = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
    parameters = Parameters([("coefficient", coefficient), *net.named_parameters()])

    def closure():
        inside, _ = physics(net, x)
        return [inside - coefficient * net(x)[:, 0], net(x[:4])]

    f = ResidualProblem(parameters, closure, Stillness([], torch.device("cpu")))
    theta = parameters.read()
    torch.testing.assert_close(f.jacobian(theta), rows(f, theta), rtol=1e-9, atol=1e-12)
    assert f.way.per_point is True


def test_weights_and_means_of_terms_are_factors():
    """f = Σ_t w_t mean r_t² from factors √(w_t m/m_t), m residuals in all."""
    net, (x, y) = network(), data()

    def closure():
        terms = [(1.0, net(x) - y), (100.0, net(x[:4] + 1.0)), (0.5, net(x[:0]))]
        total = sum(len(r) for _, r in terms)
        return [(w * total / max(len(r), 1)) ** 0.5 * r for w, r in terms]

    f = problem(net, closure)
    expected = (net(x) - y).square().mean() + 100.0 * net(x[:4] + 1.0).square().mean()
    assert f.at(f._parameters.read()).value == pytest.approx(expected.item(), rel=1e-14)


def test_complex_residuals_count_as_two_real_ones():
    net, (x, y) = network(), data()

    def closure():
        return torch.complex(net(x) - y, 0.5 * (net(x) - y))

    f = problem(net, closure)
    expected = torch.view_as_real(closure()).square().mean()
    assert f.at(f._parameters.read()).value == pytest.approx(expected.item(), rel=1e-14)
    optimizer = ddopt.LevenbergMarquardt(net.parameters())
    loss = [float(optimizer.step(closure)) for _ in range(40)]
    assert loss[-1] < 1e-9


@pytest.mark.parametrize("kind", ["damping", "ball"])
def test_an_unknown_coefficient_is_found_with_the_solution(kind):
    """c u'' = −2π² sin πx and u = sin πx at some points: c = 2."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 1)).double()
    c = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    x = torch.linspace(0.0, 1.0, 40, dtype=torch.float64)[:, None].requires_grad_()
    seen = x.detach()[::4]

    def closure():
        (first,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
        equation = c * second + 2.0 * torch.pi**2 * torch.sin(torch.pi * x)
        return [equation, 10.0 * (net(seen) - torch.sin(torch.pi * seen))]

    given = [*net.parameters(), c]
    options = {"hessian": "gauss_newton"} if kind == "ball" else {}
    made = ddopt.TrustRegion if kind == "ball" else ddopt.LevenbergMarquardt
    optimizer = made(given, **options)
    for _ in range(80):
        optimizer.step(closure)
    assert c.item() == pytest.approx(2.0, rel=1e-4)
