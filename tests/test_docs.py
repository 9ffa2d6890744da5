"""What the documentation says is so: its code runs, its tables are those of the program."""

import re
import runpy
import tomllib

import pytest
from pydantic_core import PydanticUndefined

from ddopt import hookspecs
from ddopt.config import Output, RunConfig, Stop, load
from ddopt.run.execution import execute
from ddopt.run.stopping import StopReason
from ddopt.testing import check_task
from tests.runs import ROOT, write_run_file

PLUGINS = (ROOT / "docs" / "plugins.md").read_text()
RUNNING = (ROOT / "docs" / "running.md").read_text()


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def rows(text, heading):
    """The cells of the table under a header row."""
    table = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_plugin_of_the_tutorial_runs(tmp_path):
    source = blocks(PLUGINS, "python")[0]
    assert len(source.splitlines()) <= 45
    path = tmp_path / "ddopt_parity.py"
    path.write_text(source)
    changes = ["strategy={name='parity', subdomains=3}", "stop.iterations=5"]
    config = load(write_run_file(tmp_path), changes, [path])
    assert execute(config, None) is StopReason.ITERATIONS
    assert config.strategy.component.__module__ == "ddopt_parity"


def test_the_problem_of_the_tutorial_conforms_and_runs(tmp_path):
    (source,) = [block for block in blocks(PLUGINS, "python") if "class Waves" in block]
    path = tmp_path / "ddopt_waves.py"
    path.write_text(source)
    config = load(write_run_file(tmp_path), ["problem=waves", "stop.iterations=3"], [path])
    check_task(config.problem.build())
    assert execute(config, None) is StopReason.ITERATIONS


def test_the_plugin_s_project_file_is_toml():
    project = tomllib.loads(blocks(PLUGINS, "toml")[0])
    assert project["project"]["entry-points"]["ddopt"] == {"parity": "ddopt_parity"}


def test_the_hook_table_is_that_of_the_hookspecs():
    found = {
        hook.strip("`"): re.findall(r"`(\w+)`", given)
        for hook, given, _ in rows(PLUGINS, "| hook |")
    }
    code = {name: getattr(hookspecs, name) for name in dir(hookspecs) if name.startswith("ddopt_")}
    assert found == {
        name: list(spec.__code__.co_varnames[: spec.__code__.co_argcount])
        for name, spec in code.items()
    }


def test_the_key_table_is_that_of_the_config():
    documented = {
        key.strip("`"): (default.strip("`"), text)
        for key, default, text in rows(RUNNING, "| key |")
    }
    fields = dict(RunConfig.model_fields)
    for name, part in (("stop", Stop), ("output", Output)):
        fields |= {f"{name}.{key}": field for key, field in part.model_fields.items()}
    del fields["output"]
    assert documented.keys() == fields.keys()
    for key, field in fields.items():
        default, text = documented[key]
        assert text == field.description
        absent = field.default is None or field.default is PydanticUndefined
        assert default == ("" if absent else "[]" if field.default == () else _toml(field.default))


def _toml(value):
    return str(value).lower() if isinstance(value, (bool, int)) else f'"{value}"'


def test_every_stop_reason_is_documented():
    words = [
        word
        for first, _ in rows(RUNNING, "| stop_reason |")
        for word in re.findall(r"`(\w+)`", first)
    ]
    assert sorted(words) == sorted(reason.key for reason in StopReason)


@pytest.mark.parametrize("text", blocks(RUNNING, "toml"))
def test_the_run_file_of_the_manual_is_right_but_for_its_problem(tmp_path, text):
    # The bowl stands in for the problem, which may need an extra.

    path = tmp_path / "manual.toml"
    path.write_text('plugins = ["bowl.py"]\n' + text.replace("poisson2d", "bowl"))
    (tmp_path / "bowl.py").symlink_to(ROOT / "tests" / "bowl_plugin.py")
    assert load(path).strategy.subdomains == 2


def test_the_readme_shows_the_example_that_is_run():
    example = (ROOT / "examples" / "digits.py").read_text("utf-8").partition('"""\n\n')[2]
    assert blocks((ROOT / "README.md").read_text("utf-8"), "python") == [example]


def test_the_example_of_the_readme_trains_a_classifier(capsys):
    runpy.run_path(str(ROOT / "examples" / "digits.py"))
    accuracy = float(re.search(r"accuracy ([\d.]+)%", capsys.readouterr().out).group(1))
    assert accuracy > 85.0
