"""The pages that a newcomer reads first: their code runs as it is printed."""

import json
import re

import numpy as np
import pytest

import ddopt
from tests.runs import ROOT


def blocks(page, language):
    text = (ROOT / "docs" / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_equation_of_your_own_in_five_minutes(here, capsys):
    plugin, use = blocks("start.md", "python")
    run_file = blocks("start.md", "toml")[0]
    name = re.search(r'name = "(\w+)"', plugin).group(1)
    (here / f"{name}.py").write_text(plugin)
    (here / f"{name}.toml").write_text(run_file)
    exec(use.replace('{"stop.iterations": 50}', '{"stop.iterations": 3}'), {})
    assert "[[" in capsys.readouterr().out
    summary = json.loads(next(here.glob("runs/*/summary.json")).read_text())
    assert summary["strategy"] == "trust_region"
    assert next(here.glob("runs/*/figure.png")).stat().st_size > 20_000


def test_the_page_of_the_python_interface_runs(here, capsys):
    names = {}
    for block in blocks("python.md", "python"):
        exec(block, names)
    result, first = names["result"], names["first"]
    assert result.summary["outer_iterations"] == 3
    assert first.summary["strategy"] == "trust_region"
    u = result.predict([[0.0], [0.5]])
    assert u.shape == (2, 1)
    import torch

    with torch.no_grad():
        direct = result.model(torch.tensor([[0.0], [0.5]], dtype=torch.float64))
    assert np.array_equal(u, direct.numpy())
    assert [path.name for path in result.plot("svg")] == ["figure.svg"]
    assert "<img" in result._repr_html_()
    assert isinstance(ddopt.load(result.folder), ddopt.Result)
