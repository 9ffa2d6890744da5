"""A DeepXDE model whose loss is evaluated on parts of its points: DeepXDE's numbers, its traps."""

import warnings

import numpy as np
import pytest
import torch

import ddopt
import ddopt_pinn
from ddopt.decomposition.boxes import Boxes
from ddopt.evaluation.problem import Samples
from ddopt.numerics.vectors import norm
from ddopt_pinn.library import building, load, numbers
from ddopt_pinn.model import ModelProblem
from tests.pinn.problems import halves

pytestmark = pytest.mark.filterwarnings("ignore:The balance properties")
WEIGHTS = [1.0, 2.0, 30.0, 0.5]


@pytest.fixture(autouse=True)
def _double():
    with numbers(torch.float64, torch.device("cpu")):
        yield


def heat(**options):
    """Two equations on a rod in time, with Dirichlet and initial conditions."""
    dde = load()

    def equation(x, u):
        first = dde.grad.jacobian(u, x, i=0, j=1) - dde.grad.hessian(u, x, component=0, i=0, j=0)
        return [first, u[:, 1:] - dde.grad.jacobian(u, x, i=0, j=0)]

    with building(0, torch.float64):
        rod, time = dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 0.2)
        domain = dde.geometry.GeometryXTime(rod, time)
        cold = dde.icbc.DirichletBC(domain, lambda x: 0, lambda x, on: on)
        warm = dde.icbc.IC(domain, lambda x: np.sin(np.pi * x[:, :1]), lambda x, on: on)
        counts = {"num_domain": 40, "num_boundary": 12, "num_initial": 9}
        data = dde.data.TimePDE(domain, equation, [cold, warm], **counts)
        net = dde.nn.FNN([2, 10, 10, 2], "tanh", "Glorot normal", **options)
        return dde.Model(data, net)


def inverse():
    """u'' = c, u = x² at points: c = 2 is to be found from 0.5."""
    dde = load()
    with building(0, torch.float64):
        c = dde.Variable(0.5, dtype=torch.float64)
        line = dde.geometry.Interval(-1, 1)
        seen = np.linspace(-1, 1, 7)[:, None]
        data = dde.data.PDE(
            line,
            lambda x, u: dde.grad.hessian(u, x) - c,
            [dde.icbc.PointSetBC(seen, seen**2)],
            20,
            2,
        )
        return dde.Model(data, dde.nn.FNN([1, 8, 8, 1], "tanh", "Glorot normal")), c


def train(model, iterations, **options):
    return model.train(iterations=iterations, display_every=1000, verbose=0, **options)


def test_the_loss_is_that_of_the_compiled_model():
    model = heat()
    losses = ["MSE", "MAE", "MSE", "MAE"]
    problem = ModelProblem(model, loss=losses, loss_weights=WEIGHTS)
    theta = torch.cat([p.detach().reshape(-1) for p in model.net.parameters()])
    model.compile(
        "adam", lr=1e-3, loss=["MSE", "MAE", "MSE", "MAE"], loss_weights=WEIGHTS, verbose=0
    )
    data = model.data
    loss = model.outputs_losses_train(data.train_x, None, None)[1].sum()
    gradient = torch.autograd.grad(loss, list(model.net.parameters()))
    found = problem.at(theta)
    assert found.value == pytest.approx(float(loss.detach()), rel=1e-13)
    whole = torch.cat([g.reshape(-1) for g in gradient])
    assert norm(found.gradient - whole) <= 1e-12 * norm(whole)
    shares = [problem.share(samples).at(theta) for samples in halves(problem)]
    assert sum(share.value for share in shares) == pytest.approx(found.value, rel=1e-13)
    boxes = Boxes(subdomains=3).split(problem)
    parts = [d.weight * d.objective(problem, found).at(theta).gradient for d in boxes]
    assert norm(sum(parts) - whole) <= 1e-12 * norm(whole)


def test_residuals_of_a_model_give_its_loss():
    problem = ModelProblem(heat(), loss_weights=WEIGHTS)
    theta = torch.cat([p.detach().reshape(-1) for p in problem.net.parameters()])
    for some in (problem, problem.share(halves(problem)[0])):
        point, r, J = some.at(theta), some.residuals(theta).detach(), some.jacobian(theta)
        assert float(r @ r) == pytest.approx(point.value, rel=1e-13)
        assert norm(2.0 * (r @ J) - point.gradient) <= 1e-12 * norm(point.gradient)


@pytest.mark.parametrize("variant", ["D", "PINN", "P"])
def test_every_variant_trains_saves_and_restores(variant, tmp_path, capsys):
    model = heat()
    optimizer = ddopt.SAPTS(model.net.named_parameters(), variant, 2, local_iterations=5)
    ddopt_pinn.compile(model, optimizer, loss_weights=WEIGHTS, verbose=0)
    history, _ = model.train(iterations=8, display_every=4, verbose=1)
    assert np.sum(history.loss_train[-1]) < 0.3 * np.sum(history.loss_train[0])
    assert "Best model at step 8" in capsys.readouterr().out
    path = model.save(str(tmp_path / "model"), verbose=0)
    train(model, 3)
    after = [p.detach().clone() for p in model.net.parameters()]
    model.restore(path, verbose=0)
    train(model, 3)
    assert all(torch.equal(p, q) for p, q in zip(model.net.parameters(), after, strict=True))


def test_a_value_needs_no_backward_pass():
    model = heat()
    problem = ModelProblem(model)
    theta = torch.cat([p.detach().reshape(-1) for p in model.net.parameters()])
    before = [p.detach().clone() for p in model.net.parameters()]
    a, b = problem.at(theta), problem.at(theta + 0.01)
    assert callable(a._gradient)  # nothing has been asked for
    assert norm(a.gradient - problem.at(theta).gradient) == 0.0  # b has not disturbed its graph
    assert b.value != a.value
    assert all(torch.equal(p, q) for p, q in zip(model.net.parameters(), before, strict=True))


def resampled(model, optimizer, whole):
    """Compile by a closure or in parts, for points that a callback draws at random."""
    if whole:
        model.compile(optimizer, verbose=0)
    else:
        ddopt_pinn.compile(model, optimizer, verbose=0)
    model.data.train_distribution = "pseudo"


def renewals(optimizer):
    """The steps before which values of f are forgotten; curvature never is."""
    found, renew = [], optimizer._engine.renew
    optimizer._engine.renew = lambda: (found.append(optimizer.param_groups[0]["steps"]), renew())
    optimizer._engine.reset = lambda: pytest.fail("the curvature was forgotten")
    return found


@pytest.mark.parametrize("whole", [True, False], ids=["closure", "parts"])
def test_resampled_points_are_another_loss_and_the_curvature_is_kept(whole):
    model = heat()
    optimizer = ddopt.TrustRegion(model.net.parameters(), hessian={"name": "lsr1", "memory": 5})
    resampled(model, optimizer, whole)
    renewed = renewals(optimizer)
    train(model, 9, callbacks=[load().callbacks.PDEPointResampler(period=6)])
    assert renewed == [6]
    inputs = model.data.train_x
    at_new_points = float(model.outputs_losses_train(inputs, None, None)[1].sum().detach())
    assert optimizer._engine.point.value == pytest.approx(at_new_points, rel=1e-12)


def test_points_drawn_anew_in_every_step_are_a_habit():
    model = heat()
    optimizer = ddopt.TrustRegion(model.net.parameters())
    model.compile(optimizer, verbose=0)
    model.data.train_distribution = "pseudo"
    renewed = renewals(optimizer)
    train(model, 6, callbacks=[load().callbacks.PDEPointResampler(period=1)])
    assert renewed == [1]  # from the second change in a row on, every step evaluates anew


@pytest.mark.parametrize("whole", [True, False], ids=["closure", "parts"])
def test_who_says_that_points_will_change_is_not_looked_after(whole):
    model = heat()
    optimizer = ddopt.TrustRegion(model.net.parameters(), stochastic=True)
    resampled(model, optimizer, whole)
    train(model, 9, callbacks=[load().callbacks.PDEPointResampler(period=4)])
    # New points are evaluated anew, and a closure is called twice where the first step begins.
    assert optimizer.evaluations == (19 if whole else 12)
    inputs = model.data.train_x
    at_new_points = float(model.outputs_losses_train(inputs, None, None)[1].sum().detach())
    assert optimizer._engine.point.value == pytest.approx(at_new_points, rel=1e-12)


def test_weights_of_a_later_compile_or_a_callback_are_those_of_the_loss():
    model = heat()
    optimizer = ddopt.TrustRegion(model.net.parameters())
    ddopt_pinn.compile(model, optimizer, loss_weights=[1, 1, 1, 1], verbose=0)
    train(model, 2)
    model.compile(optimizer, loss_weights=[1, 50, 50, 50], verbose=0)
    train(model, 2)
    assert optimizer._engine.point.value == pytest.approx(model.train_state.loss_train.sum())
    model.loss_weights[1] = 7
    train(model, 2)
    assert optimizer._engine.point.value == pytest.approx(model.train_state.loss_train.sum())


@pytest.mark.parametrize("again", [{"loss_weights": [1, 1e-3, 1, 1]}, {"loss": "MAE"}])
def test_another_compile_line_is_another_loss_for_a_closure_too(again):
    model = heat()
    optimizer = ddopt.TrustRegion(model.net.parameters())
    model.compile(optimizer, verbose=0)
    train(model, 5)
    model.compile(optimizer, **again, verbose=0)
    data = model.data
    here = float(model.outputs_losses_train(data.train_x, None, None)[1].sum().detach())
    step, began = optimizer.step, []
    optimizer.step = lambda closure: began.append(float(step(closure)))
    train(model, 2)
    assert began[0] == pytest.approx(here, rel=1e-12)


@pytest.mark.parametrize("parts", [False, True], ids=["closure", "parts"])
def test_external_variables_are_found(parts):
    model, c = inverse()
    optimizer = ddopt.TrustRegion([*model.net.named_parameters(), ("c", c)])
    compile = ddopt_pinn.compile if parts else type(model).compile
    compile(model, optimizer, external_trainable_variables=c, verbose=0)
    train(model, 120)
    assert float(c.detach()) == pytest.approx(2.0, rel=1e-2)


def test_the_gradient_of_an_external_variable_is_its_slope():
    from ddopt.numerics.space import Parameters

    model, c = inverse()
    parameters = Parameters([*model.net.named_parameters(), ("c", c)])
    problem, theta = ModelProblem(model, parameters), parameters.read()
    unit = torch.zeros_like(theta)
    unit[-1] = 1e-6
    slope = (problem.at(theta + unit).value - problem.at(theta - unit).value) / 2e-6
    assert float(problem.at(theta).gradient[-1]) == pytest.approx(slope, rel=1e-6)


def test_what_deepxde_would_drop_is_said():
    model, c = inverse()
    optimizer = ddopt.TrustRegion(model.net.parameters())
    with pytest.warns(UserWarning, match="1 of the external_trainable_variables will never change"):
        ddopt_pinn.compile(model, optimizer, external_trainable_variables=c, verbose=0)
    regular = heat(regularization=["l2", 1e-4])
    with pytest.warns(UserWarning, match=r"regularizer \['l2', 0.0001\] is not in the loss"):
        ddopt_pinn.compile(regular, ddopt.TrustRegion(regular.net.parameters()), verbose=0)
    scheduled, decay = heat(), ("step", 1, 0.5)
    optimizer = ddopt.TrustRegion(scheduled.net.parameters())
    with pytest.warns(UserWarning, match="decay= has no effect") as heard:
        ddopt_pinn.compile(scheduled, optimizer, decay=decay, verbose=0)
    assert heard[0].filename == __file__


def test_a_schedule_in_an_unedited_script_is_called_useless_where_it_trains():
    model = heat()
    optimizer = ddopt.TrustRegion(model.net.parameters())
    model.compile(optimizer, decay=("step", 1, 0.5), verbose=0)
    with pytest.warns(UserWarning, match="a scheduler can go") as heard:
        train(model, 4)
    assert [one.filename for one in heard] == [__file__]


def test_an_unedited_script_is_warned_of_variables_that_nobody_moves():
    model, c = inverse()
    model.compile(
        ddopt.TrustRegion(model.net.parameters()), external_trainable_variables=c, verbose=0
    )
    with pytest.warns(UserWarning, match=r"depends on 1 trainable tensor\(s\) .* \(shapes \(\)\)"):
        train(model, 2)
    complete = ddopt.TrustRegion([*model.net.parameters(), c])
    model.compile(complete, external_trainable_variables=c, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model, 2)


def test_what_has_no_parts_is_said():
    dde = load()
    model = heat()
    with pytest.raises(ValueError, match="no mean over points"):
        ModelProblem(model, loss=lambda _, error: error.square().sum())
    with pytest.raises(ValueError, match="3 loss_weights were given, and the model has 4"):
        ModelProblem(model, loss_weights=[1, 1, 1]).at(torch.zeros(162, dtype=torch.float64))
    function = dde.data.Function(dde.geometry.Interval(0, 1), lambda x: x, 4, 4)
    with pytest.raises(ValueError, match=r"need a dde.data.PDE .* has a Function"):
        ModelProblem(dde.Model(function, model.net))
    optimizer = ddopt.TrustRegion(model.net.parameters())
    with pytest.raises(ValueError, match=r"need a dde.data.PDE .* has a Function"):
        ddopt_pinn.compile(dde.Model(function, model.net), optimizer)
    with pytest.raises(ValueError, match="no mean over points"):
        ddopt_pinn.compile(model, optimizer, loss=lambda _, error: error.square().sum())
    assert model.opt is None  # nothing has been compiled


@pytest.mark.parametrize("kind", ["IDE", "FPDE"])
def test_equations_that_integrate_have_no_parts(kind):
    dde = load()
    line = dde.geometry.Interval(0, 1)
    ends = dde.icbc.DirichletBC(line, lambda x: 0, lambda _, on: on)
    if kind == "IDE":
        data = dde.data.IDE(line, lambda x, y, matrix: y, ends, 3, num_domain=4)
    else:
        data = dde.data.FPDE(line, lambda x, y, matrix: y, 1.5, ends, [5], meshtype="static")
    net = dde.nn.FNN([1, 4, 1], "tanh", "Glorot normal")
    model, optimizer = dde.Model(data, net), ddopt.TrustRegion(net.parameters())
    with pytest.raises(
        ValueError, match=rf"need a dde.data.PDE .* has a {kind}: use model.compile"
    ):
        ddopt_pinn.compile(model, optimizer)


@pytest.mark.parametrize("layer", [torch.nn.Dropout(0.1), torch.nn.BatchNorm1d(10)])
def test_layers_that_draw_or_look_at_the_batch_have_no_parts(layer):
    model = heat()
    model.net.linears[1] = torch.nn.Sequential(model.net.linears[1], layer.double())
    with pytest.raises(ValueError, match=f"{type(layer).__name__} .* use model.compile"):
        ddopt_pinn.compile(model, ddopt.TrustRegion(model.net.parameters()))


def test_derivatives_in_forward_mode_have_no_parts(monkeypatch):
    model = heat()
    monkeypatch.setattr(load().config, "autodiff", "forward")
    with pytest.raises(ValueError, match="forward mode"):
        ddopt_pinn.compile(model, ddopt.TrustRegion(model.net.parameters()))


def test_other_optimizers_have_no_use_for_parts():
    for other in ("adam", ddopt.TrustRegion, torch.optim.Adam([torch.zeros(1)])):
        with pytest.raises(ValueError, match=r"for ddopt's optimizers, .*; use model.compile"):
            ddopt_pinn.compile(heat(), other)


@pytest.mark.parametrize("arguments", [2, 3])
def test_auxiliary_variables_are_those_that_deepxde_has_at_each_point(arguments):
    dde = load()
    asked = []

    def slope(x):
        asked.append(len(x))
        return np.random.default_rng(len(asked)).normal(size=(len(x), 1))  # measured, say

    line = dde.geometry.Interval(-1, 1)
    ends = dde.icbc.DirichletBC(line, lambda x: 0, lambda x, on: on)
    equations = {
        2: lambda x, u: dde.grad.jacobian(u, x),
        3: lambda x, u, given: dde.grad.jacobian(u, x) - given,
    }
    data = dde.data.PDE(line, equations[arguments], ends, 9, 2, auxiliary_var_function=slope)
    model = dde.Model(data, dde.nn.FNN([1, 6, 1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3, verbose=0)
    problem = ModelProblem(model)
    theta = torch.cat([p.detach().reshape(-1) for p in model.net.parameters()])
    before = len(asked)
    losses = model.outputs_losses_train(data.train_x, None, data.train_aux_vars)[1]
    assert problem.at(theta).value == pytest.approx(float(losses.detach().sum()), rel=1e-13)
    shares = [problem.share(samples).at(theta).value for samples in halves(problem)]
    assert sum(shares) == pytest.approx(problem.at(theta).value, rel=1e-13)
    assert len(asked) == before  # once, as in DeepXDE


def test_a_regularizer_that_deepxde_has_in_its_loss_is_told_of_as_such():
    model = heat(regularization=["l1", 1e-4])
    with pytest.warns(UserWarning, match="'l1', 0.0001] is in DeepXDE's loss but has no parts"):
        ddopt_pinn.compile(model, ddopt.TrustRegion(model.net.parameters()), verbose=0)


def test_layers_that_the_display_melts_are_explained():
    model = heat()
    model.net.linears[0].requires_grad_(False)
    model.compile(ddopt.TrustRegion(model.net.parameters()), verbose=0)
    with pytest.raises(ValueError, match="give the optimizer only the parameters that shall move"):
        train(model, 1)
    model.net.linears[0].requires_grad_(False)
    before = model.net.linears[0].weight.clone()
    some = [p for p in model.net.parameters() if p.requires_grad]
    model.compile(ddopt.TrustRegion(some), verbose=0)
    with pytest.warns(UserWarning, match="depends on 2 trainable tensor"):
        train(model, 3)
    assert torch.equal(model.net.linears[0].weight, before)


def test_parts_of_nothing_are_nothing():
    problem = ModelProblem(heat())
    empty = Samples(tuple(term[:0] for term in problem.samples.terms))
    theta = torch.zeros(problem.layout.size, dtype=torch.float64)
    assert problem.share(empty).at(theta).value == 0.0


def test_levenberg_marquardt_trains_a_model_by_its_residuals():
    model = heat()
    optimizer = ddopt.LevenbergMarquardt(model.net.parameters())
    ddopt_pinn.compile(model, optimizer, loss_weights=WEIGHTS, verbose=0)
    losses, _ = train(model, 60)
    assert sum(losses.loss_train[-1]) < 1e-5 * sum(losses.loss_train[0])


def test_a_model_that_gives_its_loss_alone_is_refused_with_the_reason():
    model = heat()
    model.compile(ddopt.LevenbergMarquardt(model.net.parameters()), verbose=0)
    with pytest.raises(ValueError, match="need the residuals"):
        train(model, 1)
