"""Options, schema, examples and completion: what the program says of its own run files."""

import json
import tomllib

import pytest

from ddopt.commands.completion import candidates
from ddopt.commands.init import examples
from ddopt.setup.component import lookup
from ddopt.setup.config import RunConfig
from ddopt.setup.plugins import manager
from ddopt.setup.reference import entries, options_of
from ddopt.setup.schema import schema
from tests.runs import ROOT, write_run_file
from tests.test_cli import invoke

REGISTERED = [(seam, name) for seam, name, _ in manager().registry]


@pytest.mark.parametrize(("seam", "name"), REGISTERED)
def test_every_option_of_every_component_says_what_it_means(seam, name):
    for option in options_of(lookup(seam, name).Config):
        assert option.meaning, option.key
        assert option.allowed, option.key


def test_an_option_shows_its_default_its_range_and_its_meaning():
    found = {one.key: one for one in options_of(RunConfig)}
    threads = found["threads"]
    assert (threads.default, threads.allowed) == ("1", "whole number >= 1, <= 1024")
    assert found["dtype"].allowed == '"float64", "float32"'
    assert found["strategy"].default == '"sapts_d"'
    assert found["problem"].required
    assert not found["stop.iterations"].required
    assert found["stop.iterations"].default == ""


def test_options_of_a_seam_are_those_of_its_components():
    names = [one.name for one in entries("radius")]  # other tests may have registered more
    assert names == sorted(names)
    assert {"by_ratio", "stepwise"} <= set(names)
    done = invoke("options", "stepwise")
    assert done.exit_code == 0
    assert "radius stepwise" in done.output
    for option in options_of(lookup("radius", "stepwise").Config):
        assert f"{option.key} = {option.default}" in done.output
    assert all(len(line) <= 100 for line in invoke("options").output.splitlines())


def test_a_word_that_is_no_component_is_told_the_nearest():
    done = invoke("options", "stepwse")
    assert done.exit_code == 2
    assert "Did you mean 'stepwise'?" in done.output


def run_files():
    """The run files of the wheel, which need no plugin of examples/plugins; studies are none."""
    found = [*ROOT.glob("examples/*.toml"), *ROOT.glob("examples/*/*.toml")]
    return [path for path in found if path.parent.name != "studies"]


def errors(table):
    validator = pytest.importorskip("jsonschema").Draft7Validator
    validator.check_schema(schema())
    return [error.message for error in validator(schema()).iter_errors(table)]


def test_the_schema_takes_every_example():
    validator = pytest.importorskip("jsonschema").Draft7Validator(schema())
    for path in run_files():
        assert not list(validator.iter_errors(tomllib.loads(path.read_text()))), path


@pytest.mark.parametrize(
    "wrong",
    [
        {"problem": "none_such"},
        {"sed": 1},
        {"threads": 0},
        {"strategy": {"name": "sapts_d", "subdomain": 2}},
        {"solver": {"hessian": {"memroy": 20}}},
    ],
)
def test_the_schema_refuses_what_a_run_refuses(wrong):
    right = {"problem": {"name": "mnist"}, "stop": {"iterations": 1}}
    assert not errors(right)
    assert errors({**right, **wrong})


def test_the_schema_is_printed_as_json():
    assert json.loads(invoke("schema").output)["title"] == "ddopt run file"


def test_init_writes_the_example_that_it_names_and_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke("init", "poisson1d")
    assert done.output == "wrote poisson1d.toml; train with: ddopt run poisson1d.toml\n"
    source = ROOT / "examples" / "pinn" / "poisson1d.toml"
    assert (tmp_path / "poisson1d.toml").read_text() == source.read_text()
    assert invoke("init", "poisson1d").exit_code == 2
    assert invoke("init", "poisson1d", "--out", "other.toml").exit_code == 0
    assert "Did you mean 'burgers'?" in invoke("init", "burger").output


def test_every_example_is_listed_with_a_sentence():
    lines = invoke("init", "--list").output.splitlines()
    assert len(lines) == len(run_files()) == len(examples())
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)


def test_keys_and_values_are_completed(tmp_path):
    run_file = write_run_file(tmp_path)
    assert candidates(run_file, "strategy.sub") == ["strategy.subdomains="]
    assert candidates(run_file, "sampling=f") == ["sampling=full"]
    assert candidates(run_file, "output.figures=") == [
        "output.figures=true",
        "output.figures=false",
    ]
    assert candidates(None, "se") == ["seed="]
    assert candidates(run_file, "strategy.none.such") == []


@pytest.mark.parametrize(
    ("words", "at", "found"),
    [
        ("seed=3 dtype=float6", 4, "dtype=float64"),  # zsh, fish
        ("dtype = float6", 5, "float64"),  # bash takes the sign for a word of its own
        ("seed = 3 dty", 6, "dtype="),
    ],
)
def test_shells_are_completed_as_they_cut_words(tmp_path, monkeypatch, words, at, found):
    from tests.runs import ddopt

    done = ddopt(
        _DDOPT_COMPLETE="bash_complete",
        COMP_WORDS=f"ddopt run {write_run_file(tmp_path)} {words}",
        COMP_CWORD=str(at),
    )
    assert done.stdout.split() == [f"plain,{found}"]
