"""The optimizers inside an unedited DeepXDE script: only the compile line names ddopt."""

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
    "layers": lambda net: ddopt.SAPTS(net.named_parameters(), variant="P", subdomains=2),
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
