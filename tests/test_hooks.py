"""Hooks: when they are called, what they may change, and what they may not."""

from pathlib import Path

import pytest

from ddopt.run.execution import execute
from ddopt.run.folder import Folder, load_again
from ddopt.setup.config import load
from ddopt.setup.plugins import manager
from tests.runs import write_run_file
from tests.test_run import timeless

WATCHFUL = Path(__file__).parent / "watchful_plugin.py"


@pytest.fixture
def notes():
    found = manager().load_file(WATCHFUL).code.NOTES
    found.clear()
    return found


def test_a_configuration_is_changed_before_it_is_frozen_and_the_command_line_wins(tmp_path, notes):
    file = write_run_file(tmp_path)
    config = load(file, ["seed=77"], [WATCHFUL])
    assert (config.stop.iterations, config.output.figures) == (4, False)
    config = load(file, ["seed=77", "stop.iterations=9"], [WATCHFUL])
    assert config.stop.iterations == 9
    assert load(file, ["seed=76"], [WATCHFUL]).stop.iterations == 12


def test_checkpoints_are_told_of_when_they_are_written_and_when_they_are_read(tmp_path, notes):
    folder = Folder(tmp_path / "out")
    execute(load(write_run_file(tmp_path), ["seed=77"], [WATCHFUL]), folder)
    trials = [note[1] for note in notes if note[0] == "trials"]
    assert len(trials) == 4
    assert all(trials)
    assert [note for note in notes if note[0] != "trials"] == [
        ("before_run",), ("checkpoint", True, False), ("after_run", 4),
    ]  # fmt: skip
    notes.clear()
    config = load_again(folder.path, ["stop.iterations=5"])  # what is recorded is not changed
    execute(config, Folder(folder.path), resume=True)
    assert [note for note in notes if note[0] != "trials"] == [
        ("before_run",), ("checkpoint", True, True), ("checkpoint", True, False), ("after_run", 5),
    ]  # fmt: skip


def test_an_exception_is_told_and_raised(tmp_path, notes):
    config = load(write_run_file(tmp_path), ["stop.error=1e-3", "problem=relay"], [
        WATCHFUL, WATCHFUL.with_name("relay_plugin.py")])  # fmt: skip
    with pytest.raises(ValueError, match="no reference to measure an error"):
        execute(config, None)
    assert notes == [("before_run",), ("error", "ValueError")]


def test_theta_is_a_copy_for_whoever_watches(tmp_path, notes):
    """The plugin writes zeros into ``run.theta`` after each step."""
    file, hooks = write_run_file(tmp_path), manager().load_file(WATCHFUL)
    places = []
    for quiet in (True, False):
        places.append(tmp_path / str(quiet))
        code, hooks.code = hooks.code, None if quiet else hooks.code
        execute(load(file, ["output.figures=false"]), Folder(places[-1]))
        hooks.code = code
    assert timeless(places[0]) == timeless(places[1])


def test_what_a_plugin_configures_wrongly_is_its_fault(tmp_path):
    path = tmp_path / "hasty.py"
    path.write_text(
        "import ddopt\n@ddopt.hookimpl\ndef ddopt_configure(table):\n"
        "    if table.get('seed') == 78:\n        table['stop'] = {'iterations': 'many'}\n"
    )
    file = write_run_file(tmp_path)
    with pytest.raises(ValueError, match=r"iterations: .*ddopt_configure of .*hasty.py has set it"):
        load(file, ["seed=78"], [path])
    with pytest.raises(ValueError, match="on the command line") as error:
        load(file, ["seed=78", "stop.iterations=few"], [path])
    assert "hasty" not in str(error.value)
