"""Loggers: hooks that write a run elsewhere as it goes."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import ddopt_loggers
from ddopt.run.execution import execute
from ddopt.run.folder import Folder, load_again
from ddopt.setup.config import load
from ddopt.setup.plugins import PluginWarning, manager
from ddopt.testing import check_hooks
from tests.runs import write_run_file


@pytest.fixture(autouse=True)
def plugin():
    """The plugin, which is whole again after a test in which it breaks."""
    found = next(p for p in manager().plugins if p.code is ddopt_loggers)
    yield found
    found.reason = ""


def trained(tmp_path, iterations=3):
    """The folder of a run, begun or resumed."""
    place = tmp_path / "out"
    if place.exists():
        config = load_again(place, [f"stop.iterations={iterations}"])
        execute(config, Folder(place), resume=True)
    else:
        file = write_run_file(tmp_path)
        changes = [f"stop.iterations={iterations}", "output.figures=false"]
        execute(load(file, changes), Folder(place))
    return place


def losses(place):
    lines = map(json.loads, (place / "metrics.jsonl").read_text().splitlines())
    return {line["iteration"]: line["loss"] for line in lines if line["iteration"]}


def test_they_watch_and_move_nothing(monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setenv("DDOPT_LOGGERS", "tensorboard")
    check_hooks(ddopt_loggers)


def test_without_the_variable_nothing_is_logged(tmp_path, monkeypatch):
    monkeypatch.delenv("DDOPT_LOGGERS", raising=False)
    assert not (trained(tmp_path) / "tensorboard").exists()


def test_tensorboard_has_the_losses_of_the_record_once(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("DDOPT_LOGGERS", "tensorboard")
    trained(tmp_path)
    place = trained(tmp_path, iterations=5)  # resumed
    events = EventAccumulator(str(place / "tensorboard"))
    events.Reload()
    logged = {one.step: one.value for one in events.Scalars("loss")}
    assert logged == pytest.approx(losses(place), rel=1e-6)
    assert {"radius", "parallel", "error"} <= set(events.Tags()["scalars"])


def test_mlflow_has_the_losses_of_the_record_in_one_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("DDOPT_LOGGERS", "mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions want to be asked
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    trained(tmp_path)
    place = trained(tmp_path, iterations=5)
    number = (place / "mlflow_run.txt").read_text()
    run = mlflow.get_run(number)
    assert run.info.status == "FINISHED"
    assert run.data.params["strategy.subdomains"] == "3"
    history = mlflow.MlflowClient().get_metric_history(number, "loss")
    assert {one.step: one.value for one in history} == losses(place)


def test_wandb_keeps_a_run_in_the_folder(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("DDOPT_LOGGERS", "wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    place = trained(tmp_path)
    number = (place / "wandb_run.txt").read_text()
    assert len(list(place.glob(f"wandb/offline-run-*-{number}"))) == 1


class Standing:
    """A package that is not installed here, as far as a logger uses it: it notes its calls."""

    def __init__(self):
        self.calls, self.info, self.id = [], self, "number"
        self.run_id = self.id

    def __getattr__(self, name):
        return lambda *given, **options: (self.calls.append((name, given, options)), self)[1]


@pytest.mark.parametrize(
    ("logger", "begins", "logs", "ends"),
    [
        ("mlflow", "start_run", "log_metrics", "end_run"),
        ("wandb", "init", "log", "finish"),
    ],
)
def test_what_loggers_call(logger, begins, logs, ends, tmp_path, monkeypatch):
    package = Standing()
    monkeypatch.setitem(sys.modules, logger, package)
    monkeypatch.delitem(sys.modules, f"ddopt_loggers.{logger}", raising=False)
    monkeypatch.setenv("DDOPT_LOGGERS", logger)
    place = trained(tmp_path)
    names = [name for name, _, _ in package.calls if name != "log_params"]
    assert names == [begins, logs, logs, logs, ends]
    sent = {
        options["step"]: given[0]["loss"] for name, given, options in package.calls if name == logs
    }
    assert sent == losses(place)


def test_a_name_that_is_no_logger_s_is_told_and_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("DDOPT_LOGGERS", "tensorbord")
    with pytest.warns(PluginWarning, match="DDOPT_LOGGERS names tensorbord; there are tensorboard"):
        place = trained(tmp_path)
    assert Path(place / "summary.json").exists()


def test_a_logger_that_is_not_installed_is_named_with_what_to_install(monkeypatch, tmp_path):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name="mlflow")

    monkeypatch.setenv("DDOPT_LOGGERS", "mlflow")
    monkeypatch.setattr(ddopt_loggers, "import_module", absent)
    run = SimpleNamespace(folder=SimpleNamespace(path=tmp_path))
    with pytest.raises(ValueError, match=r"asks for mlflow, .* not installed: pip install"):
        ddopt_loggers.ddopt_before_run(run)
