"""Results in Python: what a run and a comparison hand out, in a script and in a notebook."""

import json
import sys

import numpy as np
import pytest
import torch

import ddopt
from ddopt.results.columns import Columns, columns
from tests.bowl_plugin import Bowl
from tests.runs import BOWL, write_run_file
from tests.test_cli import invoke

TABLE = {"problem": "bowl", "plugins": [str(BOWL)], "stop": {"iterations": 12}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_file_and_a_table_give_the_same_run(here, capsys):
    run_file = write_run_file(here)
    one = ddopt.train(run_file, show=False, **{"stop.iterations": 3})
    assert capsys.readouterr().out == ""
    table = {**TABLE, "strategy": {"name": "sapts_d", "subdomains": 3}}
    changes = {"solver.hessian.memory": 4, "output.measure_every": 2, "stop.iterations": 3}
    other = ddopt.train(table, out="other", show=False, **changes)
    assert one.folder.parent.name == "runs"
    assert torch.equal(one.theta, other.theta)
    assert one.summary["loss"] == other.summary["loss"]


def test_a_result_has_numbers_parameters_and_a_config(here):
    result = ddopt.train(TABLE, out="out", seed=2, show=False)
    assert result.summary["stop_reason"] == "iterations"
    assert len(result.metrics) == 13
    assert np.asarray(result.metrics["loss"])[-1] == result.summary["loss"]
    assert result.config.seed == 2
    assert result.theta.shape == (10,)
    assert result.task.measure(result.theta)["error"] == result.summary["error"]
    assert "bowl with sapts_d: loss" in repr(result)
    assert "<table>" in result._repr_html_()


def test_a_result_goes_on_with_the_same_numbers(here):
    short = ddopt.train(TABLE, out="short", show=False, **{"stop.iterations": 5})
    long = short.resume(**{"stop.iterations": 12})
    whole = ddopt.train(TABLE, out="whole", show=False)
    assert torch.equal(long.theta, whole.theta)
    with pytest.raises(ValueError, match="another seed"):
        short.resume(seed=1)


def test_a_folder_that_is_not_there_is_told_from_one_that_holds_nothing(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        ddopt.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds neither a run nor a comparison"):
        ddopt.load(tmp_path)


def test_a_run_of_before_is_loaded_by_its_name(here):
    ddopt.train(TABLE, out="out", show=False)
    assert ddopt.load("out").summary["outer_iterations"] == 12
    with pytest.raises(ValueError, match="there are runs in it: out"):
        ddopt.load(".")


def test_a_wrong_setting_is_told_as_on_the_command_line(here):
    with pytest.raises(ValueError, match=r"strategy.subdomain in the call: there is no such key"):
        ddopt.train(TABLE, **{"strategy.subdomain": 4})
    with pytest.raises(ValueError, match="stop: must be given"):
        ddopt.train({"problem": "bowl", "plugins": [str(BOWL)]})
    assert not (here / "runs").exists()


def test_a_problem_without_a_network_says_so(here):
    result = ddopt.train(TABLE, out="out", show=False)
    with pytest.raises(ValueError, match="'bowl' gives no network"):
        assert result.model


def test_a_problem_may_be_an_object(here):
    result = ddopt.train({"problem": Bowl(size=4), "stop": {"iterations": 2}}, out="o", show=False)
    assert result.summary["parameters"] == 4


class Slope(Bowl):
    """A problem of a notebook: no plugin registers it."""

    name = "slope"


def test_a_problem_that_nobody_registered_is_used_and_goes_on(here):
    table = {"problem": Slope(size=4), "stop": {"iterations": 2}}
    short = ddopt.train(table, out="short", show=False)
    assert short.theta.shape == (4,)
    assert short.task.measure(short.theta)["error"] == short.summary["error"]
    long = short.resume(**{"stop.iterations": 5})
    whole = ddopt.train(table, out="whole", show=False, **{"stop.iterations": 5})
    assert torch.equal(long.theta, whole.theta)
    with pytest.raises(ValueError, match="another seed"):
        long.resume(seed=1)
    with pytest.raises(ValueError, match="no problem named 'slope'"):
        assert ddopt.load("short").config


def test_figures_are_drawn_again(here):
    result = ddopt.train(TABLE, out="out", show=False)
    (file,) = result.plot()
    assert file.name == "figure.txt"
    with pytest.raises(ValueError, match="png, pdf, svg, not as 'jpg'"):
        result.plot("jpg")


def test_a_comparison_has_a_table_runs_and_a_figure(here):
    found = ddopt.compare_methods(
        TABLE, against=["adam"], evaluations=30, seeds=1, rates=[1e-2, 1e-1], show=False
    )
    assert found.folder.name == "bowl"
    assert found.rows[0]["method"] in ("sapts_d, N = 2", "adam")
    best = found.rows[0]
    assert found.run(best["method"]).metrics["loss"] is not None
    assert "<table>" in found._repr_html_()
    assert [path.suffix for path in found.plot("svg")] == [".svg"]
    assert isinstance(ddopt.load(found.folder), ddopt.Comparison)
    with pytest.raises(ValueError, match="no method 'lbfgs' took part"):
        found.run("lbfgs")
    done = invoke("plot", found.folder, "--format", "pdf")
    assert done.exit_code == 0, done.output
    assert (found.folder / "figure.pdf").stat().st_size > 5_000


def test_plot_draws_a_run_again_from_the_command_line(here):
    ddopt.train(TABLE, out="out", show=False)
    done = invoke("plot", "out")
    assert done.output == "out/figure.txt\n"
    assert "there is no folder none" in invoke("plot", "none").output
    (here / "empty").mkdir()
    assert "neither a run nor a comparison" in invoke("plot", "empty").output


def test_columns_are_a_frame_where_pandas_is_installed(monkeypatch):
    rows = [{"iteration": 0, "loss": 2.0}, {"iteration": 1, "loss": 1.0, "error": None}]
    monkeypatch.setitem(sys.modules, "pandas", None)
    plain = columns(rows)
    assert isinstance(plain, Columns)
    assert plain["loss"].tolist() == [2.0, 1.0]
    assert np.isnan(plain["error"]).all()
    assert (len(plain), list(plain)) == (2, ["iteration", "loss", "error"])
    with pytest.raises(KeyError, match="no column 'los'"):
        plain["los"]
    monkeypatch.undo()
    pd = pytest.importorskip("pandas")
    assert isinstance(columns(rows), pd.DataFrame)


def test_the_names_of_packages_are_not_taken():
    import ddopt.compare.terms
    import ddopt.run.running

    assert ddopt.run.running.Run
    assert ddopt.compare.terms.Terms


def test_the_table_of_a_comparison_knows_its_budget(here):
    ddopt.compare_methods(TABLE, against=[], evaluations=12, seeds=2, show=False)
    table = json.loads((here / "comparisons" / "bowl" / "table.json").read_text())
    assert table["budget"] == {
        "evaluations": 12.0,
        "seconds": None,
        "processor_seconds": None,
    }
    assert table["seeds"] == [0, 1]
