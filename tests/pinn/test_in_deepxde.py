"""The optimizers inside an unedited DeepXDE script: only the compile line names ddopt."""

import runpy
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ddopt
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
    assert "pip install 'ddopt[pinn]'" in result.output
    assert "Traceback" not in result.output
