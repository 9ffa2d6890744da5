"""The worked examples: sources run with small budgets, and the notebooks are these sources."""

import importlib
import json
import re
import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from tests.runs import ROOT

plt = pytest.importorskip("matplotlib.pyplot")

HERE = ROOT / "examples" / "notebooks"
SOURCES = sorted(HERE.glob("*.py"))
CELL = re.compile(r"^# %%(.*)\n", re.MULTILINE)


def cells(text):
    """The cells of a source as pairs of head and code; those of text have no code."""
    parts = CELL.split(text)[1:]
    return [
        (head.strip(), "" if "[markdown]" in head else body.strip())
        for head, body in zip(parts[::2], parts[1::2], strict=True)
    ]


def falls(run, factor):
    """Whether a run's loss falls by a factor."""
    losses = np.asarray(run.metrics["loss"], dtype=float)
    return losses[-1] < losses[0] / factor


def poisson(names, printed):
    assert falls(names["result"], 2.0)
    assert falls(names["gauss_newton"], 1.0)
    assert 0.0 < float(printed.split("y = 1/2: ")[1].split()[0]) < 2.0


def pde(names, printed):
    assert falls(names["result"], 2.0)


def inverse(names, printed):
    assert abs(names["result"].summary["c"] - names["TRUE"]) < 0.35  # from a distance of 0.7
    assert [len(values) for values in names["found"].values()] == [2, 2]
    assert len(set(names["found"][0.04])) == 2  # each draw has its own answer


def deepxde(names, printed):
    error = np.ravel(names["after"].metrics_test)
    assert error[-1] < error[0] / 1.5
    assert names["before"].steps[-1] == names["before_steps"]


def libraries(names, printed):
    assert all(float((u - names["exact"]).abs().max()) < 0.5 for u in names["found"].values())
    assert "PyTorch" in names["found"]


def digits(names, printed):
    assert "the same bits: True" in printed
    assert names["one"][-1][1] < np.log(10.0) + 0.1
    assert names["two"][-1][3] > names["one"][-1][3] == 0


def decomposition(names, printed):
    assert "subdomain 0: its indices must be" in printed
    assert all(falls(run, 1.0) for run in names["runs"].values())


def comparison(names, printed):
    methods = {row["method"]: row for row in names["comparison"].rows}
    assert sorted(methods) == ["adam", "lbfgs", "sapts_d, N = 2", "trust_region"]
    spent = names["summary"]["evaluations"]
    assert spent["total"] > 1.5 * spent["parallel"]


# What the cell of parameters says instead, and what must come of it.
SMALL = {
    "poisson_in_five_minutes": ({"steps": 40}, poisson),
    "your_own_pde": ({"steps": 15}, pde),
    "inverse_problem": ({"steps": 3, "draws": 2}, inverse),
    "deepxde_before_and_after": ({"before_steps": 20, "after_steps": 20}, deepxde),
    "other_libraries": ({"steps": 30}, libraries),
    "digits_on_two_processes": ({"steps": 2}, digits),
    "your_own_decomposition": ({"steps": 4}, decomposition),
    "reading_a_comparison": ({"budget": 20, "seeds": 1, "rates": [1e-2]}, comparison),
}


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """An empty folder, and nothing left behind of what a notebook sets for itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'plugins'}")
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    plt.switch_backend("agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say of themselves; Agg shows no window
        yield
    plt.close("all")
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    if "deepxde" in sys.modules:
        sys.modules["deepxde"].config.set_default_float("float32")


def test_every_example_is_tried():
    assert [path.stem for path in SOURCES] == sorted(SMALL)


@pytest.mark.ranks
@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("name", SMALL)
def test_an_example_runs_with_a_small_budget(name, capsys):
    pytest.importorskip("deepxde")
    small, holds = SMALL[name]
    names = {"__name__": "__main__"}
    for number, (head, code) in enumerate(cells((HERE / f"{name}.py").read_text("utf-8"))):
        needed = re.search(r"needs:(\w+)", head)
        if needed and not find_spec(needed[1]):
            continue
        exec(compile(code, f"{name}, cell {number}", "exec"), names)
        if "parameters" in head:
            assert small.keys() <= names.keys()
            names.update(small)
    holds(names, capsys.readouterr().out)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_its_source_executed(source):
    found = json.loads(source.with_suffix(".ipynb").read_text("utf-8"))["cells"]
    code = [cell for cell in found if cell["cell_type"] == "code"]
    written = [code for _, code in cells(source.read_text("utf-8")) if code]
    assert ["".join(cell["source"]).strip() for cell in code] == written, "run: make notebooks"
    assert all(cell["execution_count"] for cell in code)
    outputs = [output for cell in code for output in cell["outputs"]]
    assert all(output["output_type"] != "error" for output in outputs)
    shown = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    drawn = any("image/png" in output.get("data", {}) for output in outputs)
    assert drawn or any("data:image/png" in html for html in shown)
    assert sum(bool(line.strip()) for cell in written for line in cell.splitlines()) <= 120


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(source):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", source.read_text("utf-8")):
        assert (HERE / target).resolve().exists(), target


def test_pages_of_notebooks_show_their_outputs(monkeypatch):
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    page = importlib.import_module("notebooks").page
    for source in SOURCES:
        text, pictures = page(source.with_suffix(".ipynb"))
        assert pictures
        assert all(content.startswith(b"\x89PNG") for content in pictures.values())
        assert all(text.count(name) == 1 for name in pictures)
        assert ".ipynb)" not in text
        assert "../../docs/" not in text
        site = (ROOT / "mkdocs.yml").read_text("utf-8")
        assert f"notebooks/{source.stem}.md" in site
