"""Points and weights follow from the seed alone, and DeepXDE leaves no trace."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ddopt.cli import cli
from ddopt.task import Setting
from ddopt_pinn import PROBLEMS, dde, library
from ddopt_pinn.library import building, load
from ddopt_pinn.operator import Antiderivative
from tests.pinn.problems import prepared
from tests.runs import ROOT, ddopt


def same(one, other):
    terms = range(len(one.problem.samples.terms))
    return torch.equal(one.initial, other.initial) and all(
        torch.equal(one.problem.coordinates(t), other.problem.coordinates(t)) for t in terms
    )


def test_deepxde_is_not_loaded_for_who_only_looks(monkeypatch):
    monkeypatch.setattr(library, "load", lambda: pytest.fail("loaded"))
    assert not hasattr(dde, "__wrapped__")
    assert not hasattr(dde, "_private")


def test_an_activation_that_deepxde_does_not_have_is_told():
    with pytest.raises(ValueError, match=r"has no activation 'tahn'; it has elu, .*tanh"):
        prepared("poisson1d", activation="tahn")
    with pytest.raises(ValueError, match="has no activation 'tahn'"):
        Antiderivative(activation="tahn").prepare(Setting())


CAUSES = {
    "DDE_BACKEND": ("jax", "DDE_BACKEND is 'jax', but ddopt trains PyTorch networks"),
    "OMPI_COMM_WORLD_SIZE": ("2", "cannot be imported under mpirun"),
}


@pytest.mark.parametrize("variable", CAUSES)
def test_what_prevents_deepxde_is_told_and_not_something_else(variable, tmp_path):
    value, message = CAUSES[variable]
    done = ddopt(
        "run", ROOT / "examples/poisson2d.toml", "--out", tmp_path / "out", **{variable: value}
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "activation" not in done.stderr
    assert not (tmp_path / "out").exists()


SIZES = ["width=1000000", "depth=1000000000", "interior=1000000000000", "condition_weight=inf"]


@pytest.mark.parametrize("change", SIZES)
def test_a_size_that_no_machine_holds_is_one_message(change, tmp_path):
    folder = tmp_path / "out"
    file = ROOT / "examples/poisson2d.toml"
    arguments = ["run", str(file), f"problem.{change}", "--out", str(folder)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert len(done.stderr) < 400
    assert not folder.exists()


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_seed_decides_points_and_weights(name):
    first = prepared(name)
    np.random.random(17)  # whatever anybody did before
    torch.rand(17)
    assert same(first, prepared(name))
    assert not same(first, prepared(name, seed=1))


@pytest.mark.parametrize("distribution", ["pseudo", "LHS", "Sobol", "uniform"])
def test_every_distribution_is_repeatable(distribution):
    options = {"distribution": distribution, "interior": 36}
    assert same(prepared("poisson2d", **options), prepared("poisson2d", **options))


def test_random_states_dtype_device_and_float_type_are_untouched():
    load()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    settings = torch.get_default_dtype(), torch.get_default_device(), dde.config.real.precision
    task = prepared("burgers")
    assert task.initial.dtype == torch.float64
    task.problem.at(task.initial).gradient.sum()
    task.measure(task.initial)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert settings == (
        torch.get_default_dtype(),
        torch.get_default_device(),
        dde.config.real.precision,
    )


def test_states_are_put_back_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), building(3, torch.float64):
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32


def test_single_precision():
    task = prepared("poisson2d", dtype=torch.float32)
    point = task.problem.at(task.initial)
    assert point.gradient.dtype == torch.float32
    assert point.value == pytest.approx(
        prepared("poisson2d").problem.at(prepared("poisson2d").initial).value, rel=1.0
    )


def test_poisson2d_is_the_benchmark():
    task = prepared("poisson2d", interior=1000, boundary=80, width=20, depth=8)
    assert task.Config() == task.config
    assert task.problem.samples.counts == (1000, 80)
    assert len(task.initial) == 3021
    edge = task.problem.coordinates(1)
    for axis in (0, 1):
        for side in (0.0, 1.0):
            on_corner = (edge[:, 1 - axis] == 0.0) | (edge[:, 1 - axis] == 1.0)
            assert 19 <= int(((edge[:, axis] == side) & ~on_corner).sum()) <= 20
    inside = task.problem.coordinates(0)
    assert float(inside.min()) > 0.0
    assert float(inside.max()) < 1.0


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_deepxde_is_silent_and_writes_nothing(tmp_path):
    done = python(
        "import torch, ddopt_pinn.library as l; l.load(); "
        "print(torch.get_default_device(), torch.get_default_dtype())",
        HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cpu torch.float32\n"
    assert done.stderr == ""
    assert not (tmp_path / ".deepxde").exists()


def test_names_cost_neither_torch_nor_deepxde():
    code = "import ddopt_pinn, sys; print({'torch', 'deepxde', 'numpy'} & set(sys.modules))"
    assert python(code).stdout == "set()\n"


def test_problems_are_described_without_deepxde():
    from importlib import import_module

    for where in PROBLEMS.values():
        module, _, name = where.partition(":")
        assert getattr(import_module(module), name).__doc__
    code = (
        "import sys\n"
        "from importlib import import_module\n"
        "from ddopt_pinn import PROBLEMS\n"
        "for where in PROBLEMS.values(): import_module(where.partition(':')[0])\n"
        "print('deepxde' in sys.modules)"
    )
    assert python(code).stdout == "False\n"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "--processes"),
        ({"DDE_BACKEND": "jax"}, "DDE_BACKEND=pytorch"),
    ],
)
def test_what_deepxde_refuses_is_explained(monkeypatch, environment, message):
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ValueError, match=message):
        load.__wrapped__()


def test_a_missing_deepxde_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepxde", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .*\[pinn\]'"):
        load.__wrapped__()
