"""Runs: their lines, their reasons to stop, and that a resumed one has the same bits."""

import io
import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from ddopt.cli import cli
from ddopt.method.parts import StepReport
from ddopt.run import columns, record
from ddopt.run.execution import execute
from ddopt.run.folder import Folder, load_again, new_path
from ddopt.run.progress import Progress
from ddopt.run.report import closing
from ddopt.run.stopping import PATIENCE, StopReason, resumed, why
from ddopt.run.tally import Tally
from ddopt.setup.config import Stop, load
from tests.runs import ddopt, write_run_file

SUMMARY = {
    "problem", "strategy", "subdomains", "processes", "seed", "loss", "error", "accuracy",
    "evaluations", "seconds", "processor_seconds", "outer_iterations", "accepted", "rejected",
    "bytes_sent", "stop_reason",
}  # fmt: skip


@pytest.fixture
def run_file(tmp_path):
    return write_run_file(tmp_path)


def run(run_file, place, *changes, resume=False):
    """A run in this process: its reason, its lines, its summary."""
    reason = execute(load(run_file, changes), Folder(place), resume=resume)
    return reason, timeless(place), json.loads((place / "summary.json").read_text())


def timeless(place):
    """The lines of the record without the clock."""
    return [{k: v for k, v in line.items() if "seconds" not in k} for line in record.read(place)]


def test_a_run_leaves_its_folder(run_file, tmp_path):
    reason, lines, summary = run(run_file, tmp_path / "out", "output.keep_best=true")
    assert reason is StopReason.ITERATIONS
    assert summary.keys() >= SUMMARY
    assert [line["iteration"] for line in lines] == list(range(13))
    assert [line["iteration"] for line in lines if "error" in line] == [0, 2, 4, 6, 8, 10, 12]
    last = lines[-1]
    assert summary["loss"] == last["loss"] < lines[0]["loss"]
    assert summary["error"] == last["error"] < 1.0
    assert summary["accepted"] + summary["rejected"] == summary["outer_iterations"] == 12
    assert summary["evaluations"] == {
        "parallel": last["evaluations"],
        "total": last["evaluations_total"],
    }
    assert summary["evaluations"]["parallel"] < summary["evaluations"]["total"]
    assert (summary["problem"], summary["strategy"]) == ("bowl", "sapts_d")
    assert (summary["subdomains"], summary["processes"], summary["accuracy"]) == (3, 1, None)
    assert (tmp_path / "out" / "figure.txt").read_text() == "13 lines"
    assert load(tmp_path / "out" / "config.toml") == load(run_file, ["output.keep_best=true"])
    best = torch.load(tmp_path / "out" / "best.pt", weights_only=True)
    assert best["loss"] == min(line["loss"] for line in lines)


@pytest.mark.parametrize("strategy", ["sapts_d", "trust_region", "sapts_p", "batches"])
def test_a_resumed_run_has_the_same_bits(run_file, tmp_path, strategy):
    changes = {
        "sapts_d": [],
        "batches": ["sampling={name='batches', size=20}"],
    }.get(strategy, [f"strategy={{name='{strategy}', subdomains=1}}"])
    changes = [*changes, "stop.iterations=10"]
    _, unbroken, _ = run(run_file, tmp_path / "unbroken", *changes)
    run(run_file, tmp_path / "broken", *changes, "stop.iterations=5")
    _, resumed, summary = run(run_file, tmp_path / "broken", *changes, resume=True)
    assert resumed == unbroken
    assert summary["outer_iterations"] == 10


@pytest.mark.parametrize(
    ("change", "reason", "iterations"),
    [
        ("stop.iterations=7", "iterations", 7),  # measured since the run ended there
        ("stop.iterations=8", "iterations", 8),  # measured anyway
        ("stop.iterations=0", "iterations", 0),
        ("stop.evaluations=9", "evaluations", None),
        ("stop.loss=0.01", "loss", None),
        ("problem.cusp=true", "no_finite_step", 1),
        ("problem.broken=true", "non_finite", 0),
    ],
)
def test_a_run_that_has_ended_stays_as_it_is(run_file, tmp_path, change, reason, iterations):
    place, changes = tmp_path / "out", (change, "strategy.subdomains=2")
    _, lines, summary = run(run_file, place, *changes)
    assert summary["stop_reason"] == reason
    assert iterations in (None, summary["outer_iterations"])
    names = ("metrics.jsonl", "summary.json")
    before = [(place / name).read_bytes() for name in names]
    for _ in range(2):
        again = CliRunner().invoke(cli, ["resume", str(place)])
        assert "Nothing was left to do" in again.stdout, again
        assert [(place / name).read_bytes() for name in names] == before
    assert "error" in lines[-1]


@pytest.mark.parametrize("before", [7, 0])
def test_a_run_that_was_looked_at_goes_on_with_the_same_bits(run_file, tmp_path, before):
    place = tmp_path / "looked"
    for _ in range(2):
        run(run_file, place, f"stop.iterations={before}", resume=place.exists())
    _, lines, _ = run(run_file, place, resume=True)
    assert lines == run(run_file, tmp_path / "unbroken")[1]


def test_a_run_that_ends_where_it_was_interrupted_has_the_lines_of_its_end(
    run_file, tmp_path, monkeypatch
):
    monkeypatch.setenv("BOWL_SIGINT", "4")
    _, lines, _ = run(run_file, tmp_path / "out")
    assert lines[-1]["iteration"] == 5
    assert "error" not in lines[-1]
    monkeypatch.delenv("BOWL_SIGINT")
    limit = "stop.iterations=5"
    reason, lines, summary = run(run_file, tmp_path / "out", limit, resume=True)
    assert reason is StopReason.ITERATIONS
    assert lines == run(run_file, tmp_path / "unbroken", limit)[1]
    assert summary["stop_reason"] == "iterations"
    assert summary["error"] == lines[-1]["error"]


def test_where_a_method_has_come_to_an_end_no_limit_lets_it_go_on():
    tally = Tally(iterations=5, loss=1.0)
    assert resumed(Stop(iterations=9), tally, "stationary", None) is StopReason.STATIONARY
    assert resumed(Stop(iterations=9), tally, "underflow", None) is StopReason.UNDERFLOW
    assert resumed(Stop(iterations=5), tally, "interrupted", None) is StopReason.ITERATIONS
    for ended in (None, "iterations", "interrupted", "requested", "evaluations"):
        assert resumed(Stop(iterations=9), tally, ended, None) is None
    assert resumed(Stop(loss=2.0), tally, "stationary", None) is StopReason.LOSS


def test_a_killed_run_continues_with_the_same_bits(run_file, tmp_path):
    killed = ddopt("run", run_file, "--out", tmp_path / "killed", BOWL_SIGKILL="11")
    assert killed.returncode == -9
    assert len(record.read(tmp_path / "killed")) == 12
    _, unbroken, _ = run(run_file, tmp_path / "unbroken")
    _, resumed, summary = run(run_file, tmp_path / "killed", resume=True)
    assert resumed == unbroken
    assert summary["stop_reason"] == "iterations"


def test_an_interrupted_run_can_be_resumed(run_file, tmp_path, monkeypatch):
    monkeypatch.setenv("BOWL_SIGINT", "4")
    reason, lines, summary = run(run_file, tmp_path / "out")
    assert reason is StopReason.INTERRUPTED
    assert (len(lines), summary["stop_reason"]) == (6, "interrupted")
    monkeypatch.delenv("BOWL_SIGINT")
    _, resumed, _ = run(run_file, tmp_path / "out", resume=True)
    _, unbroken, _ = run(run_file, tmp_path / "unbroken")
    assert resumed == unbroken


def test_a_run_without_a_checkpoint_starts_again(run_file, tmp_path):
    run(run_file, tmp_path / "out", "stop.iterations=3")
    for path in (tmp_path / "out" / "checkpoints").iterdir():
        path.unlink()
    _, lines, _ = run(run_file, tmp_path / "out", "stop.iterations=2", resume=True)
    assert [line["iteration"] for line in lines] == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("stop.loss=0.01", StopReason.LOSS),
        ("stop.error=0.5", StopReason.ERROR),
        ("stop.evaluations=9", StopReason.EVALUATIONS),
        ("stop.seconds=1e-9", StopReason.SECONDS),
        ("stop.processor_seconds=1e-9", StopReason.PROCESSOR_SECONDS),
        ("stop.iterations=0", StopReason.ITERATIONS),
        ("problem.broken=true", StopReason.NON_FINITE),
        ("problem.cusp=true", StopReason.NO_FINITE_STEP),
    ],
)
def test_reasons_to_stop(run_file, tmp_path, change, reason):
    found, lines, summary = run(run_file, tmp_path / "out", change, "output.figures=false")
    assert found is reason
    assert summary["stop_reason"] == reason.key
    assert summary["stop_message"] == reason.value
    assert len(lines) < 13
    assert not (tmp_path / "out" / "figure.txt").exists()


def test_nothing_left_to_do_is_stationary_and_a_stuck_radius_is_told():
    stop, tally = Stop(iterations=1000), Tally(loss=1.0)
    assert why(stop, tally, StepReport(), None) is StopReason.STATIONARY
    stuck = StepReport(loss=1.0, radius=1e-12, global_radius=None, local_rejected=1)
    for _ in range(PATIENCE):
        tally.count(stuck)
        assert why(stop, tally, stuck, None) is None
    tally.count(stuck)
    assert why(stop, tally, stuck, None) is StopReason.RADIUS_TOO_SMALL
    tally.count(replace(stuck, radius=2e-12))
    assert why(stop, tally, stuck, None) is None


def test_a_plugin_can_ask_a_run_to_stop(run_file, tmp_path, monkeypatch):
    from ddopt.setup.plugins import manager

    class Impatient:
        def call(self, hook, **arguments):
            if hook == "ddopt_after_step" and arguments["report"].iteration == 2:
                arguments["run"].request_stop()

        def states(self):
            return {}

    monkeypatch.setattr("ddopt.run.running.manager", Impatient)
    assert manager() is not None
    reason, lines, _ = run(run_file, tmp_path / "out")
    assert (reason, lines[-1]["iteration"]) == (StopReason.REQUESTED, 4)


def test_a_resumed_run_may_only_change_when_it_ends(run_file, tmp_path):
    run(run_file, tmp_path / "out", "stop.iterations=1")
    assert load_again(tmp_path / "out", ["stop.iterations=9"]).stop.iterations == 9
    with pytest.raises(ValueError, match="made with another strategy; a resumed run may only"):
        load_again(tmp_path / "out", ["strategy.subdomains=2"])
    with pytest.raises(ValueError, match="holds no run"):
        load_again(tmp_path)


def test_a_new_run_does_not_overwrite_one(run_file, tmp_path, monkeypatch):
    run(run_file, tmp_path / "out", "stop.iterations=0")
    with pytest.raises(ValueError, match="holds a run already"):
        new_path(run_file, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "now")
    assert new_path(run_file, None).as_posix() == "runs/bowl-now"
    (tmp_path / "runs" / "bowl-now").mkdir(parents=True)
    assert new_path(run_file, None).as_posix() == "runs/bowl-now-2"


def test_user_errors_come_before_the_first_iteration(run_file, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch finds no GPU here"):
        run(run_file, tmp_path / "out", "device=cuda")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib"), "matplotlib"),
        (ZeroDivisionError("no axis"), "ZeroDivisionError: no axis"),
    ],
)
def test_a_figure_that_fails_does_not_cost_the_run(run_file, tmp_path, monkeypatch, error, message):
    config = load(run_file, ["stop.iterations=1"])

    def draw(*_):
        raise error

    monkeypatch.setattr(config.problem.component, "draw", draw)
    with pytest.warns(UserWarning, match=f"no figures: .*{message}"):
        execute(config, Folder(tmp_path / "out"))
    assert (tmp_path / "out" / "summary.json").exists()


def three_iterations_shown(terminal):
    """What the display writes of three iterations; the error is measured in the second."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    shown = Progress(Stop(iterations=40), console)
    for iteration in range(3):
        line = record.line(Tally(iterations=iteration, loss=0.25), StepReport(), {})
        shown.show(line | ({"error": 0.125} if iteration == 1 else {}))
    shown.close()
    return stream.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_the_numbers(terminal):
    text = three_iterations_shown(terminal)
    assert "0.25" in text
    assert "0.125" in text
    assert ("2 of 40 iterations" in text) == terminal
    assert text.count("\n") == 2 or terminal  # the first line, and the last


@pytest.mark.parametrize("terminal", [True, False])
def test_an_error_of_an_earlier_iteration_says_so(terminal):
    assert "0.125 (iteration 1)" in three_iterations_shown(terminal)


def test_a_validation_loss_is_shown(tmp_path, run_file):
    stream = io.StringIO()
    shown = Progress(Stop(iterations=40), Console(file=stream, width=120))
    shown.show(record.line(Tally(loss=0.25), StepReport(), {"validation_loss": 1.5}))
    shown.close()
    assert "validation_loss 1.5" in stream.getvalue()
    _, _, summary = run(run_file, tmp_path / "out")
    summary |= {"error": None, "validation_loss": 1.5}
    (tmp_path / "out" / "summary.json").write_text(json.dumps(summary))
    assert ", validation_loss 1.5" in closing(tmp_path / "out")


def test_a_run_that_cannot_begin_leaves_no_folder(run_file, tmp_path):
    place = tmp_path / "out"
    with pytest.raises(ValueError, match="cannot group 1 layers into 40 subdomains"):
        run(run_file, place, "strategy=sapts_p", "strategy.subdomains=40")
    assert not place.exists()
    run(run_file, place)
    with pytest.raises(ValueError, match="only change stop"):
        load_again(place, ["seed=1"])
    with pytest.raises(ValueError, match="holds a run already"):
        new_path(run_file, place)


@pytest.mark.ranks
def test_two_processes_write_the_same_lines_and_continue_what_one_began(run_file, tmp_path):
    done = ddopt("run", run_file, "--processes", 2, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "two")
    run(run_file, tmp_path / "one")
    assert unsent(tmp_path / "two") == unsent(tmp_path / "one")
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert summary["processes"] == 2
    assert summary["bytes_sent"] > 0
    for name in ("one", "two"):
        run(run_file, tmp_path / name, "stop.iterations=15", resume=True)
    assert unsent(tmp_path / "two") == unsent(tmp_path / "one")


def unsent(place):
    """The lines without what depends on the number of processes."""
    apart = ("bytes_sent", "collectives")
    return [{k: v for k, v in line.items() if k not in apart} for line in timeless(place)]


def test_every_column_of_the_record_and_every_key_of_the_summary_is_explained(tmp_path):
    execute(load(write_run_file(tmp_path), ["stop.iterations=2"]), Folder(tmp_path / "out"))
    assert set(columns.METRICS) == record.KEYS
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(columns.SUMMARY) - set(summary) == set()
    assert set(summary) - set(columns.SUMMARY) <= {*columns.MERITS, "distance"}


def test_work_adds_up_over_sessions_and_is_no_more_than_the_clock_allows(run_file, tmp_path):
    place, quiet = tmp_path / "out", "output.figures=false"
    _, _, half = run(run_file, place, quiet, "stop.iterations=6")
    lines = record.read(place)
    assert lines[0]["processor_seconds"] == 0.0
    _, _, whole = run(run_file, place, quiet, resume=True)
    worked = [line["processor_seconds"] for line in record.read(place)]
    assert worked == sorted(worked)
    assert worked[:7] == [line["processor_seconds"] for line in lines]
    assert 0.0 < half["processor_seconds"] < whole["processor_seconds"] == worked[-1]
