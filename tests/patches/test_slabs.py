"""Time slabs: what a slab is given by the one before, and runs that go from one to the next."""

import itertools
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ddopt_patches
from ddopt.cli import cli
from ddopt.run.trained import trained
from ddopt.task import Setting
from ddopt.testing import check_task
from ddopt_patches.equation import Equation
from ddopt_patches.observations import Observed
from ddopt_patches.slabs import InTime, cut
from ddopt_patches.task import PatchTask
from ddopt_pinn.library import dde
from ddopt_pinn.task import PDETask

RUN = """
[problem]
name = "patches"
of = "burgers"
along = [{{ cells = 8, toward = 0.0, strength = 3.0 }}, {{ cells = 4 }}]
features = 25
slabs = 2

[strategy]
name = "patches"

[stop]
iterations = {iterations}

[output]
measure_every = 1
checkpoint_every = 1
"""


class Oscillator(PDETask):
    """A string u_tt = u_xx that swings: sin πx cos πt."""

    name = "string"
    axes = ("x", "t")

    def geometry(self):
        space, span = dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 2)
        return dde.geometry.GeometryXTime(space, span)

    def equation(self, x, u, *_):
        return dde.grad.hessian(u, x, i=1, j=1) - dde.grad.hessian(u, x, i=0, j=0)

    def conditions(self, geometry):
        return [
            dde.icbc.DirichletBC(geometry, lambda x: np.zeros((len(x), 1)), lambda _, on: on),
            dde.icbc.IC(geometry, lambda x: np.sin(np.pi * x[:, :1]), lambda _, on: on),
            dde.icbc.OperatorBC(
                geometry,
                lambda x, u, _: dde.grad.jacobian(u, x, i=0, j=1),
                lambda x, _: np.isclose(x[1], 0.0),
            ),
        ]

    def solution(self, points):
        return np.sin(np.pi * points[:, :1]) * np.cos(np.pi * points[:, 1:])


def solve(task):
    """Every slab by Gauss-Newton, as a run does."""
    from ddopt_patches import newton

    task.prepare(Setting())
    theta = task.initial
    while theta is not None:
        shape = task.problem.layout.shapes[0]
        last = newton.solve(task.problem.system, theta.view(shape)).weights.flatten()
        theta = task.proceed(last)
    return last


def test_cells_are_shared_between_slabs():
    nodes = torch.arange(8.0)
    assert [one.tolist() for one in cut(nodes, 3)] == [[0, 1, 2], [2, 3, 4], [4, 5, 6, 7]]
    with pytest.raises(ValueError, match="too few for 4 slabs"):
        cut(nodes, 4)


def test_the_orders_in_time_are_found():
    def system(x, u):
        d = dde.grad
        return [
            d.hessian(u, x, component=0, i=1, j=1) + u[:, 2:],
            d.jacobian(u, x, i=1, j=1) - d.jacobian(u, x, i=2, j=0),
        ]

    x = torch.rand(20, 2, dtype=torch.float64)
    assert Equation(system, 2, 3, x).orders(x, 1) == [2, 1, 0]
    assert Equation(system, 2, 3, x).orders(x, 0) == [0, 0, 1]


def test_a_time_belongs_to_the_first_slab_that_reaches_it():
    pieces = InTime([one, two], [1.0, 2.0])
    x = torch.tensor([[0.0, 2.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.5], [0.0, 5.0]]).double()
    assert pieces(x).flatten().tolist() == [4.0, 1.0, 0.0, 3.0, 4.0]


def one(x):
    return x[:, 1:]


def two(x):
    return 2 * x[:, 1:]


def test_value_and_speed_go_on_where_the_second_derivative_counts():
    task = PatchTask(of=Oscillator.Config(), along=[4, 8], features=40, slabs=4)
    theta = solve(task)
    assert task.measure(theta)["error"] < 1e-5
    assert task.measure(theta)["fit_loss"] < 1e-5
    task._net.weights.copy_(theta.view(task._net.weights.shape))
    nets = [*task._slabs.finished, task._net]
    for before, after in itertools.pairwise(nets):
        end = float(before.grid.bounds[1, 1])
        x = torch.tensor([[0.3, end], [0.6, end]], dtype=torch.float64, requires_grad=True)
        values = [net(x) for net in (before, after)]
        speeds = [torch.autograd.grad(v.sum(), x)[0] for v in values]
        assert torch.allclose(values[0], values[1], atol=1e-6)
        assert torch.allclose(speeds[0], speeds[1], atol=1e-4)


def test_slabs_and_the_whole_agree():
    options = {"of": "diffusion_reaction", "along": [6, 6], "features": 36}
    whole, slabs = PatchTask(**options), PatchTask(**options, slabs=3)
    ends = [(task, solve(task)) for task in (whole, slabs)]
    x = np.random.default_rng(0).uniform([-3, 0], [3, 1], (200, 2))
    first, second = (task.predict(theta, x) for task, theta in ends)
    assert abs(first - second).max() < 3e-3
    assert slabs.measure(ends[1][1])["error"] < 1e-3


def test_a_slab_begins_where_the_last_one_ended():
    task = PatchTask(of="burgers", along=[8, 4], features=40, slabs=2)
    task.prepare(Setting())
    end = task.initial
    middle = task._slabs.current[-1].item()
    x = np.array([[0.1, middle], [-0.7, middle]])
    before = task.predict(end, x)
    start = task.proceed(end)
    later = x + np.array([0.0, 0.2])
    assert np.allclose(task.predict(start, later), before, atol=1e-3)
    assert np.array_equal(task.predict(start, x), before)


def test_a_task_in_slabs_conforms():
    check_task(PatchTask(of="burgers", along=[2, 4], features=9, slabs=2))


def run(tmp_path, folder, iterations, *more):
    file = tmp_path / f"{folder}.toml"
    file.write_text(RUN.format(iterations=iterations))
    place = str(tmp_path / folder)
    result = CliRunner().invoke(cli, ["run", str(file), "--out", place, *more])
    assert result.exit_code == 0, result.output
    return tmp_path / folder


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_goes_through_all_slabs_and_resumes_with_the_same_numbers(tmp_path):
    whole = run(tmp_path, "whole", 40)
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["stop_reason"] in ("stationary", "radius_too_small")
    task, theta = trained(whole)
    assert len(task._slabs.finished) == 1
    assert task.measure(theta)["error"] == lines(whole)[-1]["error"]
    assert (whole / "figure.png").exists()
    total = summary["outer_iterations"]
    part = run(tmp_path, "part", total - 2, "output.figures=false")
    more = ["stop.iterations=40", "output.figures=false", "--resume", str(part)]
    result = CliRunner().invoke(cli, ["run", str(tmp_path / "part.toml"), *more])
    assert result.exit_code == 0, result.output
    pick = [(line["loss"], line.get("error")) for line in lines(whole)]
    assert [(line["loss"], line.get("error")) for line in lines(part)] == pick


def test_slabs_need_time():
    with pytest.raises(ValueError, match="this problem has none"):
        PatchTask(of="multiscale", along=[4, 4], features=9, slabs=2).prepare(Setting())


def script(slabs, points=None, **options):
    """A DeepXDE model of heat that spreads, in slabs; its values are known at some points."""
    dde.config.set_default_float("float64")
    space = dde.geometry.Interval(0, 1)
    geometry = dde.geometry.GeometryXTime(space, dde.geometry.TimeDomain(0, 1))

    def heat(x, u):
        return dde.grad.jacobian(u, x, i=0, j=1) - 0.2 * dde.grad.hessian(u, x, i=0, j=0)

    ends = dde.icbc.DirichletBC(geometry, lambda x: np.zeros((len(x), 1)), lambda _, on: on)
    first = dde.icbc.IC(geometry, lambda x: np.sin(np.pi * x[:, :1]), lambda _, on: on)
    known = [] if points is None else [dde.icbc.PointSetBC(points, spread(points))]
    data = dde.data.TimePDE(geometry, heat, [ends, first, *known], 50, 10, 10)
    net = ddopt_patches.fbpinn(geometry, along=[3, 6], features=49, slabs=slabs)
    model = dde.Model(data, net)
    ddopt_patches.compile(model, **options)
    return model


def spread(x):
    return np.exp(-0.2 * np.pi**2 * x[:, 1:]) * np.sin(np.pi * x[:, :1])


def test_a_deepxde_model_is_solved_slab_by_slab(tmp_path):
    try:
        x = np.random.default_rng(0).uniform([0, 0], [1, 1], (300, 2))
        whole = script(3)
        whole.train(iterations=9, display_every=9)
        assert int(whole.net.turn) == 2
        assert abs(whole.predict(x) - spread(x)).max() < 1e-5
        part = script(3)
        part.train(iterations=4, display_every=4)
        saved = part.save(str(tmp_path / "model"))
        other = script(3)
        other.restore(saved)
        assert int(other.net.turn) == int(part.net.turn) > 0
        for model in (part, other):
            model.train(iterations=5, display_every=5)
        assert np.array_equal(part.predict(x), whole.predict(x))
        assert np.array_equal(other.predict(x), whole.predict(x))
    finally:
        dde.config.set_default_float("float32")


def test_values_at_points_weigh_in_a_slab_what_they_are_told_to():
    def weights(**options):
        try:
            model = script(2, np.array([[0.2, 0.1], [0.7, 0.4]]), **options)
            rows = model.opt._objective.source(None).system.rows
        finally:
            dde.config.set_default_float("float32")
        return [one.weight for one in rows if isinstance(one.equation.function, Observed)]

    (heavy,), (light,) = weights(), weights(observed=0.03)
    assert light == pytest.approx(0.01 * heavy)


def test_slabs_in_a_script_need_time():
    with pytest.raises(ValueError, match="slabs need a geometry with time"):
        ddopt_patches.fbpinn(dde.geometry.Rectangle([0, 0], [1, 1]), slabs=2)


def test_u_has_its_slope_in_time_at_the_end_and_none_beyond():
    whole = InTime([lambda x: x[:, :1] * x[:, 1:] ** 2], [0.99])
    x = torch.tensor([[2.0, 0.5], [2.0, 0.99], [2.0, 1.5]], dtype=torch.float64).requires_grad_()
    (slopes,) = torch.autograd.grad(whole(x).sum(), x)
    assert slopes[:, 1].tolist() == pytest.approx([2.0, 3.96, 0.0])
