"""The optimizers inside an unedited DeepXDE script: only the compile line names ddopt."""

import copy
import pickle
import re
import runpy
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ddopt
import ddopt_pinn
from ddopt.cli import cli
from ddopt_pinn.library import building, load, numbers
from tests.runs import ROOT

MAKERS = {
    "trust_region": lambda net: ddopt.TrustRegion(net.parameters()),
    "layers": lambda net: ddopt.SAPTS(net.parameters(), variant="P", subdomains=2),
}


@pytest.fixture
def model():
    dde, double = load(), torch.float64
    with building(0, double):
        made = poisson(dde)
    with numbers(double, torch.device("cpu")):
        yield made


def poisson(dde):
    def equation(x, u):
        return -dde.grad.hessian(u, x) - np.pi**2 * torch.sin(np.pi * x)

    interval = dde.geometry.Interval(-1, 1)
    ends = dde.icbc.DirichletBC(interval, lambda x: 0, lambda x, on: on)
    data = dde.data.PDE(interval, equation, ends, 16, 2)
    net = dde.nn.FNN([1, 20, 20, 1], "tanh", "Glorot uniform")
    return dde.Model(data, net)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("maker", MAKERS)
def test_it_solves_the_equation_and_survives_save_and_restore(model, maker, tmp_path):
    optimizer = MAKERS[maker](model.net)
    model.compile(optimizer, verbose=0)
    model.train(iterations=120, display_every=1000, verbose=0)
    points = np.linspace(-1, 1, 101)[:, None]
    assert np.abs(model.predict(points) - np.sin(np.pi * points)).max() < 1e-2
    path = model.save(str(tmp_path / "model"), verbose=0)
    before = [p.detach().clone() for p in model.net.parameters()]
    model.train(iterations=3, display_every=1000, verbose=0)
    after = [p.detach().clone() for p in model.net.parameters()]
    model.restore(path, verbose=0)
    assert all(torch.equal(p, q) for p, q in zip(model.net.parameters(), before, strict=True))
    model.train(iterations=3, display_every=1000, verbose=0)
    assert all(torch.equal(p, q) for p, q in zip(model.net.parameters(), after, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_checkpoint_of_another_optimizer_gives_the_weights_and_fresh_curvature(model, tmp_path):
    model.compile("adam", lr=1e-3, verbose=0)
    model.train(iterations=3, display_every=1000, verbose=0)
    path = model.save(str(tmp_path / "model"), verbose=0)
    before = [p.detach().clone() for p in model.net.parameters()]
    optimizer = MAKERS["trust_region"](model.net)
    model.compile(optimizer, verbose=0)
    model.train(iterations=10, display_every=1000, verbose=0)
    with pytest.warns(UserWarning, match="another optimizer: it is left out, and the curvature"):
        model.restore(path, verbose=0)
    assert all(torch.equal(p, q) for p, q in zip(model.net.parameters(), before, strict=True))
    model.train(iterations=100, display_every=1000, verbose=0)
    points = np.linspace(-1, 1, 101)[:, None]
    assert np.abs(model.predict(points) - np.sin(np.pi * points)).max() < 1e-2


def line_through_two_points(dde):
    """u'' = 0 with its ends given, by a network that is a straight line: f reaches 0."""
    interval = dde.geometry.Interval(-1, 1)
    ends = dde.icbc.DirichletBC(interval, lambda x: 2 * x + 1, lambda x, on: on)
    data = dde.data.PDE(interval, lambda x, u: 0 * dde.grad.jacobian(u, x), ends, 8, 2)
    return dde.Model(data, dde.nn.FNN([1, 1], "tanh", "Glorot uniform").double())


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_that_has_converged_ends_or_rests(model, ended, capsys):
    model = line_through_two_points(load())
    optimizer = ddopt.TrustRegion(model.net.parameters())
    model.compile(optimizer, verbose=0)
    callbacks = [ddopt_pinn.Converged()] if ended else []
    model.train(iterations=2000, display_every=10000, verbose=0, callbacks=callbacks)
    assert optimizer.converged
    assert optimizer.evaluations < 150
    slope, end = model.net.parameters()
    assert abs(slope.item() - 2.0) + abs(end.item() - 1.0) < 1e-12
    if ended:
        assert model.train_state.iteration < 150
        assert "TrustRegion has converged" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_optimizer_that_was_compiled_is_copied_with_its_model_and_pickled_without(model):
    optimizer = ddopt.SAPTS(model.net.named_parameters(), variant="PINN", subdomains=2)
    ddopt_pinn.compile(model, optimizer, verbose=0)
    model.train(iterations=2, display_every=1000, verbose=0)
    restored = pickle.loads(pickle.dumps(optimizer))
    copied = copy.deepcopy(optimizer)
    expected = optimizer.step(lambda: None)
    assert copied.step(lambda: None) == expected
    with pytest.raises(ValueError, match=r"call ddopt_pinn\.compile\(model, optimizer\)"):
        restored.step(lambda: None)


@pytest.mark.parametrize("compiled", ["model.compile", "ddopt_pinn.compile"])
def test_a_variable_in_a_boundary_function_is_told(model, compiled):
    dde = load()
    wanted = dde.Variable(2.0, dtype=torch.float64)
    interval = dde.geometry.Interval(-1, 1)
    ends = dde.icbc.DirichletBC(interval, lambda x: wanted * torch.as_tensor(x), lambda x, on: on)
    data = dde.data.PDE(interval, lambda x, u: dde.grad.hessian(u, x), ends, 8, 2)
    model = dde.Model(data, dde.nn.FNN([1, 5, 1], "tanh", "Glorot uniform").double())
    optimizer = ddopt.TrustRegion([*model.net.parameters(), wanted])
    compile = model.compile if compiled == "model.compile" else ddopt_pinn.compile
    arguments = [optimizer] if compiled == "model.compile" else [model, optimizer]
    compile(*arguments, external_trainable_variables=[wanted], verbose=0)
    with pytest.raises(ValueError, match=r"inside the closure.*dde\.icbc\.OperatorBC instead"):
        model.train(iterations=5, display_every=1000, verbose=0)


SCRIPT = """
import deepxde as dde

line = dde.geometry.Interval(-1, 1)
ends = dde.icbc.DirichletBC(line, lambda x: x**2, lambda x, on: on)
data = dde.data.PDE(
    line, lambda x, u: dde.grad.hessian(u, x) - 2, ends, 16, 2, solution=lambda x: x**2, num_test=50
)
net = dde.nn.FNN([1, 10, 10, 1], "tanh", "Glorot uniform")
model = dde.Model(data, net)
model.compile("adam", lr=1e-3)
model.train(iterations=10000)
model.compile(
    "L-BFGS", loss_weights=[1, 1]
)
losshistory, train_state = model.train(iterations=10000)
dde.saveplot(losshistory, train_state, issave=True, isplot=True)
"""


@pytest.mark.filterwarnings("error:.*ddopt")
def test_a_script_as_it_is_with_other_compile_lines_within_the_same_budget(tmp_path):
    benchmark = runpy.run_path(str(ROOT / "examples/benchmarks/deepxde_examples.py"))
    for folder in ("dataset", "pinn_forward"):
        (tmp_path / "examples" / folder).mkdir(parents=True)
    (tmp_path / "examples/pinn_forward/parabola.py").write_text(SCRIPT)
    errors = {}
    for method, text in benchmark["METHODS"].items():
        error, spent = benchmark["run"](tmp_path, "parabola", text, 0, 80, torch.float64)
        assert len(spent) == 2
        assert all(20 <= stage <= 40 for stage in spent)
        errors[method] = error
    assert errors["TrustRegion"] < errors["its own"]


def test_a_missing_deepxde_is_one_message_with_the_command(monkeypatch, tmp_path):
    load.cache_clear()
    monkeypatch.setitem(sys.modules, "deepxde", None)
    out = tmp_path / "out"
    result = CliRunner().invoke(
        cli, ["run", str(ROOT / "examples/poisson2d.toml"), "--out", str(out)]
    )
    load.cache_clear()
    assert result.exit_code == 2
    assert re.search(r"pip install .*\[pinn\]'", result.output)
    assert "Traceback" not in result.output
