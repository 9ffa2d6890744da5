"""Studies: every cell is run once, goes on where it was cut, and is told of where it failed."""

import json
import os
import shlex
import signal
import subprocess

import pytest

from ddopt.commands.bench import STUDIES
from ddopt.compare.score import Outcome, Row, merit_of
from ddopt.study import hold, pictures, plan, settings, tidy
from ddopt.study.report import reached
from tests.runs import BOWL, ddopt
from tests.test_cli import invoke

RUN = """\
problem = "bowl"
plugins = ["{bowl}"]
strategy = "trust_region"
[stop]
evaluations = 20
"""
STUDY = """\
title = "Sizes"
run = "bowl.toml"
seeds = 2
rates = [1e-2, 1e-1]
targets = [0.9]
[grid]
"problem.size" = [3, 5]
[[methods]]
[[methods]]
baseline = "adam"
[[methods]]
set = { strategy = "sapts_d" }
points = [{ "strategy.subdomains" = 2 }]
"""
FAILING = """
[[methods]]
name = "too many layers"
set = { strategy = "sapts_p", "strategy.subdomains" = 3 }
"""
ONE = """\
run = "bowl.toml"
seeds = [4]
[[methods]]
[[methods]]
baseline = "lbfgs"
"""


def files(tmp_path, text=STUDY):
    (tmp_path / "bowl.toml").write_text(RUN.replace("{bowl}", BOWL.as_posix()))
    path = tmp_path / "sizes.toml"
    path.write_text(text)
    return path


def study(tmp_path, *more, text=STUDY):
    return invoke("study", files(tmp_path, text), "--out", tmp_path / "out", *more)


def test_a_study_runs_every_cell_and_keeps_it(tmp_path):
    done = study(tmp_path)
    assert done.exit_code == 0, done.output
    assert "left]" in done.output
    table = tidy.read(tmp_path / "out")
    assert table.varied == ["problem.size", "strategy.subdomains"]
    (rows,) = tidy.rows(table).values()
    assert {(row.label, len(row.outcomes)) for row in rows} == {
        *((f"{name}, size {n}", 2) for name in ("trust_region", "adam") for n in (3, 5)),
        *((f"sapts_d, N = 2, size {n}, subdomains 2", 2) for n in (3, 5)),
    }
    adam = next(row for row in rows if row.label == "adam, size 3")
    assert adam.rate == min(adam.tried, key=adam.tried.get)
    assert adam.sweep.runs == 1
    assert adam.sweep.evaluations == 20.0
    assert all(line["evaluations"] <= 20.0 + 1e-9 for line in table.lines)
    text = (tmp_path / "out" / "table.md").read_text()
    assert "evaluations to 9e-01" in text
    assert r"\toprule" in (tmp_path / "out" / "table.tex").read_text()
    assert (tmp_path / "out" / "figure.png").stat().st_size > 20_000

    records = list((tmp_path / "out").rglob("metrics.jsonl"))
    before = {path: path.stat().st_mtime_ns for path in records}
    again = study(tmp_path)
    told = [line for line in again.output.splitlines() if ", seed " in line and "] " in line]
    assert len(told) == len(records) == 2 * (2 + 3 + 2)
    assert all(line.endswith("(kept)") for line in told)
    assert {path: path.stat().st_mtime_ns for path in records} == before
    assert (tmp_path / "out" / "table.md").read_text() == text


def test_a_failure_is_kept_with_its_reason_and_the_rest_goes_on(tmp_path):
    done = study(tmp_path, text=ONE + FAILING)
    assert done.exit_code == 0, done.output
    assert "failed: cannot group 1 layers into 3 subdomains" in done.output
    text = (tmp_path / "out" / "table.md").read_text()
    assert "Without a result: too many layers, seed 4: cannot group 1 layers" in text
    assert "| lbfgs |" in text
    assert "(kept)" in study(tmp_path, text=ONE + FAILING).output
    again = study(tmp_path, "--retry", text=ONE + FAILING)
    line = next(line for line in again.output.splitlines() if "failed" in line)
    assert not line.endswith("(kept)")


def test_workers_give_the_numbers_of_one_process(tmp_path):
    assert study(tmp_path, text=ONE + FAILING).exit_code == 0
    path = tmp_path / "sizes.toml"
    done = ddopt("study", path, "--out", tmp_path / "two", "--workers", 2)
    assert done.returncode == 0, done.stderr
    one, two = (tidy.read(tmp_path / name).lines for name in ("out", "two"))
    timeless = [
        [{k: v for k, v in line.items() if "seconds" not in k} for line in lines]
        for lines in (one, two)
    ]
    assert timeless[0] == timeless[1]
    assert len(one) > 10


def test_there_are_no_more_workers_than_cores_and_one_of_several_is_still_apart(monkeypatch):
    said = []
    monkeypatch.setattr(hold, "cores", lambda: 1)
    assert [hold.apart(workers, said.append) for workers in (1, 2)] == [0, 1]
    assert said == ["--workers 2 is cut to 1, the cores that this process may use"]
    monkeypatch.setattr(hold, "cores", lambda: 4)
    assert [hold.apart(workers, said.append) for workers in (1, 2, 4)] == [0, 2, 4]
    assert len(said) == 1


def test_a_heatmap_leaves_out_what_does_not_vary_both():
    pytest.importorskip("matplotlib")
    end = Outcome([{"iteration": 0, "error": 0.1, "loss": 1.0}], "evaluations")
    wide = [
        Row("m", [end], where={"method": "m", "problem.width": x, "problem.depth": y})
        for x in (5, 10)
        for y in (1, 2)
    ]
    other = [Row("m", [end], where={"method": "m", "problem.width": 5})]
    found = {"both": wide, "one": other}
    merits = {problem: merit_of(rows) for problem, rows in found.items()}
    keys = {"x": "problem.width", "y": "problem.depth"}
    picture = settings.Picture(kind="heatmap", **keys)
    made = pictures.heatmap(found, "Sizes", merits, picture)
    assert [axes.get_ylabel() for axes in made.axes] == ["both\ndepth"]
    with pytest.raises(ValueError, match="no run varies both"):
        pictures.heatmap({"one": other}, "Sizes", merits, picture)


def test_a_worker_that_dies_is_a_failure_and_is_replaced(tmp_path):
    path = files(tmp_path, ONE.replace("[4]", "[4, 5]"))
    out = tmp_path / "out"
    done = ddopt("study", path, "--out", out, "--workers", 2, BOWL_SIGKILL="2")
    assert done.returncode == 0, done.stderr
    assert "seed 4: failed: its process died (SIGKILL)" in done.stdout
    told = json.loads((out / "trust_region" / "seed-5" / "failure.json").read_text())
    assert told["reason"] == f"its process died ({signal.SIGKILL.name})"
    assert "lbfgs, seed 5: relative L2 error" in done.stdout


def test_an_interrupted_study_goes_on(tmp_path):
    path = files(tmp_path, ONE)
    cut = ddopt("study", path, "--out", tmp_path / "cut", BOWL_SIGINT="2")
    assert cut.returncode == 130, cut.stderr
    assert not (tmp_path / "cut" / "table.csv").exists()
    for name in ("cut", "whole"):
        assert invoke("study", path, "--out", tmp_path / name).exit_code == 0
    cut, whole = (tidy.read(tmp_path / name).lines for name in ("cut", "whole"))
    assert [line["loss"] for line in cut] == [line["loss"] for line in whole]


def test_slurm_gets_a_command_for_each_run_that_is_missing(tmp_path):
    script = study(tmp_path, "--launch", "slurm", text=STUDY).output
    lines = [line.strip() for line in script.splitlines() if "--only" in line]
    assert "#SBATCH --array=0-11\n" in script  # two rates on one seed; the other seed comes later
    assert len(lines) == 12
    assert not (tmp_path / "out").exists()
    words = shlex.split(shlex.split(lines[0])[0])
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, env=os.environ)
    assert done.returncode == 0, done.stderr
    listed = study(tmp_path, "--list").output.splitlines()
    assert [line for line in listed if line.endswith("  done")] == [f"{words[-1]}  done"]
    assert "array=0-10" in study(tmp_path, "--launch", "slurm").output
    assert f"| {'trust_region, size 3'} |" in study(tmp_path, "--table").output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 2", "give run, the run file of one problem, or problems"),
        (ONE.replace("seeds", "sedes"), "Did you mean 'seeds'"),
        (
            ONE + "[stop]\nprocessor_second = 1",
            "Did you mean 'stop.processor_seconds'? Allowed here: i",
        ),
        ('[[problems]]\nrum = "x"', "problems.0.rum: there is no such key. Did you mean"),
        (ONE + '[grid]\n"problem.sise" = [1]', "problem.sise"),
        (ONE + '[grid]\n"problem size" = [1]', 'a dotted key like "solver.radius" is expected'),
        (ONE.replace("lbfgs", "lbfsg"), "no baseline named 'lbfsg'. Did you mean 'lbfgs'?"),
        (ONE + "[[methods]]", "two methods of the study are 'trust_region'"),
        (ONE + '[[methods]]\ngrid = {"baseline.rate" = [1.0]}', "are for a method with a baseline"),
        (ONE.replace("bowl", "bowel"), "bowel.toml"),
        (ONE.replace("[4]", "1_000_000_000"), "seeds"),
    ],
)
def test_mistakes_are_one_message(tmp_path, text, message):
    done = study(tmp_path, text=text)
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert not (tmp_path / "out").exists()


def test_other_settings_do_not_mix_with_runs_that_are_there(tmp_path):
    assert study(tmp_path, text=ONE).exit_code == 0
    done = study(tmp_path, text=ONE + '[set]\n"problem.size" = 4')
    assert done.exit_code == 2
    assert "was made with another problem" in done.output


def test_combinations_of_a_grid_go_with_every_listed_point():
    made = settings.Varied(grid={"a": [1, 2], "b": [3]}, points=[{"c.d": 5}, {"c.d": 6}])
    assert plan.points(made) == [{"a": a, "b": 3, "c.d": d} for a in (1, 2) for d in (5, 6)]
    assert plan.points(settings.Varied()) == [{}]


def test_a_target_is_reached_at_the_first_measurement_that_meets_it():
    lines = [
        {"evaluations": k, "error": e} if e else {"evaluations": k}
        for k, e in ((1, 1.0), (2, None), (3, 0.1), (4, 0.2), (5, 0.01))
    ]
    outcome = Outcome(lines, "evaluations")
    row = type("Row", (), {"outcomes": [outcome]})
    merit = merit_of([row])
    assert reached(outcome, merit, 0.1, "evaluations") == 3.0
    assert reached(outcome, merit, 0.05, "evaluations") == 5.0
    assert reached(outcome, merit, 1e-3, "evaluations") == float("inf")


def test_what_comes_with_ddopt_can_be_planned(tmp_path):
    """Every study is read, and its run files are, with all that it changes in them."""
    pytest.importorskip("deepxde")
    pytest.importorskip("pytorch_optimizer")
    pytest.importorskip("torchvision")
    for path in sorted(STUDIES.glob("*.toml")):
        made = settings.load(path)
        found = plan.cells(made, path, tmp_path)
        assert len({cell.where["problem"] for cell in found}) == max(1, len(made.problems))
        assert len(found) >= 2 * len(made.problems)
        assert len({job.folder for cell in found for job in cell.sweep()}) == sum(
            len(cell.rates) for cell in found
        )


def test_a_bench_is_a_study_by_its_name(tmp_path, monkeypatch):
    files(tmp_path, ONE)
    (tmp_path / "sizes_reduced.toml").write_text(ONE.replace("[4]", "[5]"))
    monkeypatch.setattr("ddopt.commands.bench.STUDIES", tmp_path)
    (tmp_path / "bowl.toml").rename(tmp_path / "run.bowl")
    for name in ("sizes", "sizes_reduced"):
        path = tmp_path / f"{name}.toml"
        path.write_text(
            "# As small as can be.\n" + path.read_text().replace("bowl.toml", "run.bowl")
        )
    assert invoke("bench").output == "sizes  As small as can be\n"
    done = invoke("bench", "sizes", "--reduced", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "lbfgs" / "seed-5" / "summary.json").exists()
    wrong = invoke("bench", "sise")
    assert wrong.exit_code == 2
    assert "Did you mean 'sizes'?" in wrong.output
    (tmp_path / "sizes_reduced.toml").unlink()
    assert "has no reduced form" in invoke("bench", "sizes", "--reduced").output


def test_the_columnar_table_is_the_tidy_one(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = [
        {
            "problem": "p",
            "method": "m",
            "a.b": 1,
            "rate": None,
            "chosen": True,
            "seed": 0,
            "loss": 2.0,
        },
        {"problem": "p", "method": "m", "a.b": "[1, 2]", "rate": 0.1, "chosen": False, "seed": 1},
    ]
    tidy.write(tmp_path, lines)
    found = parquet.read_table(tmp_path / "table.parquet").to_pylist()
    assert [{k: v for k, v in row.items() if v is not None} for row in found] == [
        {"problem": "p", "method": "m", "a.b": "1", "chosen": True, "seed": 0, "loss": 2.0},
        {"problem": "p", "method": "m", "a.b": "[1, 2]", "rate": 0.1, "chosen": False, "seed": 1},
    ]
    assert tidy.read(tmp_path).varied == ["a.b"]
