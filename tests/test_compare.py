"""Comparisons: equal budgets, counted as they should be; what is finished is kept."""

import json

import pytest
import torch

from ddopt.compare.descent import SGD
from ddopt.compare.lbfgs import LBFGS
from ddopt.compare.objective import Objective, Spent
from ddopt.run.lock import Lock
from ddopt.setup.config import Stop
from ddopt.task import Setting
from tests.bowl_plugin import Bowl
from tests.runs import ddopt, write_run_file
from tests.test_cli import invoke


def table(folder):
    return json.loads((folder / "table.json").read_text())


def compare(tmp_path, *more):
    return invoke(
        *("compare", write_run_file(tmp_path), "--evaluations", 40, "--seeds", 2),
        *("--rates", "1e-2,1e-1", "--out", tmp_path / "out", *more),
    )


def test_a_comparison_is_a_table_and_a_figure_and_is_kept(tmp_path):
    done = compare(tmp_path, "--against", "adam,lbfgs", "--with", "trust_region,sapts_d:2")
    assert done.exit_code == 0, done.output
    rows = {row["method"]: row for row in table(tmp_path / "out")["rows"]}
    assert set(rows) == {"sapts_d, N = 3", "sapts_d, N = 2", "trust_region", "adam", "lbfgs"}
    for row in rows.values():
        assert all(spent <= 40.0 + 1e-9 for spent in row["seeds"]["evaluations"])
        assert len(row["seeds"]["error"]) == 2
    losses = rows["adam"]["tried_rates"]
    assert f"{rows['adam']['rate']:.3e}" == min(losses, key=losses.get)
    assert (tmp_path / "out" / "figure.png").stat().st_size > 20_000
    assert "| sapts_d, N = 3 |" in (tmp_path / "out" / "table.md").read_text()

    before = table(tmp_path / "out")
    again = compare(tmp_path, "--against", "adam,lbfgs", "--with", "trust_region,sapts_d:2")
    told = [line for line in again.output.splitlines() if ", seed " in line]
    assert told
    assert all(line.endswith("(kept)") for line in told)
    assert table(tmp_path / "out") == before


def test_an_interrupted_comparison_ends_as_if_it_had_not_been(tmp_path):
    arguments = ("compare", write_run_file(tmp_path), "--evaluations", 60, "--seeds", 1)
    arguments = (*arguments, "--against", "lbfgs", "--out")
    cut = ddopt(*arguments, tmp_path / "cut", BOWL_SIGINT="2")
    assert cut.returncode == 130, cut.stderr
    assert not (tmp_path / "cut" / "table.json").exists()
    for folder in (tmp_path / "cut", tmp_path / "whole"):
        assert invoke(*arguments, folder).exit_code == 0
    whole, cut_short = (table(tmp_path / name)["rows"] for name in ("whole", "cut"))
    assert [row["seeds"]["loss"] for row in whole] == [row["seeds"]["loss"] for row in cut_short]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--against", "adma"], "no baseline named 'adma'. Did you mean 'adam'?"),
        (["--with", "sapts_d:two"], "NAME:N"),
        (["--seconds", "3"], "give one of them"),
        (["--rates", "fast"], "--rates is FIRST:LAST:COUNT"),
    ],
)
def test_mistakes_are_one_message(tmp_path, more, message):
    done = compare(tmp_path, *more)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}"])
@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl"])
def test_a_run_of_a_comparison_that_was_damaged_is_run_again(tmp_path, content, name):
    assert compare(tmp_path, "--against", "lbfgs").exit_code == 0
    before = table(tmp_path / "out")["rows"]
    damaged = tmp_path / "out" / "lbfgs" / "seed-1" / name
    more = b"\n{}\n" if content and name == "metrics.jsonl" else b""
    damaged.write_bytes(content + more)
    with pytest.warns(UserWarning, match="is damaged"):
        assert compare(tmp_path, "--against", "lbfgs").exit_code == 0
    after = table(tmp_path / "out")["rows"]
    assert [row["seeds"]["loss"] for row in after] == [row["seeds"]["loss"] for row in before]


def test_a_comparison_has_its_folder_for_itself(tmp_path):
    assert compare(tmp_path, "--against", "lbfgs").exit_code == 0
    assert not list((tmp_path / "out").rglob(".lock"))
    lock = Lock(tmp_path / "out")
    done = compare(tmp_path, "--against", "lbfgs")
    lock.release()
    assert done.exit_code == 2
    assert "one folder holds one run" in done.output


def test_another_problem_does_not_mix_with_a_comparison(tmp_path):
    assert compare(tmp_path, "--against", "lbfgs").exit_code == 0
    done = compare(tmp_path, "problem.size=5", "--against", "lbfgs")
    assert done.exit_code == 2
    assert "holds a comparison on something else" in done.output


def test_a_baseline_that_ends_by_itself_says_why(tmp_path):
    done = compare(tmp_path, "--against", "lbfgs", "--evaluations", 400)
    lines = [line for line in done.output.splitlines() if "] lbfgs, seed " in line]
    assert [line.rpartition(", ")[2] for line in lines] == ["stop reason line_search"] * 2


def test_a_baseline_that_stands_still_spends_its_budget():
    task = Bowl()
    task.prepare(Setting())
    task.initial = task.solution.clone()  # the gradient is zero there
    f = Objective(task, None, Stop(evaluations=7), 10)
    with pytest.raises(Spent):
        SGD(rate=0.1).minimise(f)
    assert f.lines[-1]["evaluations"] == 7.0
    ended = Objective(task, None, Stop(evaluations=7), 10)
    assert LBFGS().minimise(ended) == "line_search"


def test_lbfgs_is_that_of_torch_closure_by_closure():
    task = Bowl()
    task.prepare(Setting())
    f = Objective(task, None, Stop(evaluations=30), 10)
    with pytest.raises(Spent, match="evaluations"):
        LBFGS().minimise(f)

    theta, losses = torch.nn.Parameter(task.initial.clone()), []
    optimizer = torch.optim.LBFGS(
        [theta], max_iter=9, max_eval=1000, history_size=100, line_search_fn="strong_wolfe"
    )

    def closure():
        point = task.problem.at(theta.detach().clone())
        theta.grad = point.gradient
        losses.append(point.value)
        return torch.tensor(point.value, dtype=theta.dtype)

    optimizer.step(closure)
    line = f.lines[9]
    assert line["evaluations"] == len(losses)
    assert line["loss"] == task.problem.at(theta.detach()).value
