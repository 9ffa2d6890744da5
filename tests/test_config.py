"""The run file: overrides, defaults, and messages that say what to do."""

import pytest

from ddopt.setup.config import ConfigError, dumps, load
from ddopt.setup.overrides import apply, parse
from tests.runs import write_run_file


@pytest.fixture
def run_file(tmp_path):
    return write_run_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=4", 4),
        ("a.b=1e-3", 1e-3),
        ("a.b=true", True),
        ("a.b=lsr1", "lsr1"),
        ("a.b='4'", "4"),
        ("a.b=[1, 2]", [1, 2]),
        ('a.b={name = "x", c = 1}', {"name": "x", "c": 1}),
        ("a.b=data/x.npz", "data/x.npz"),
        ("a.b=x=y", "x=y"),
        ("a.b=1\nc = 2", "1\nc = 2"),
    ],
)
def test_values_are_toml_and_bare_words_strings(text, value):
    assert parse(text) == (["a", "b"], value)


@pytest.mark.parametrize("text", ["a", "=1", "a..b=1", "a b=1", "a=", "a=[1", 'a="x'])
def test_a_malformed_override_is_an_error(text):
    with pytest.raises(ValueError, match=r"KEY=VALUE|no TOML value|no value behind"):
        parse(text)


def test_an_override_on_a_bare_name_keeps_the_name():
    table = {"solver": "adam", "stop": {"iterations": 3}}
    changed = apply(table, [(["solver", "rate"], 0.1), (["stop", "loss"], 0.0)])
    assert changed["solver"] == {"name": "adam", "rate": 0.1}
    assert changed["stop"] == {"iterations": 3, "loss": 0.0}
    assert table["solver"] == "adam"
    assert apply(changed, [(["solver"], "sgd")])["solver"] == "sgd"


def test_sapts_d_takes_what_the_sampling_wants_where_nothing_was_given(run_file):
    def taken(*changes):
        options = load(run_file, changes).strategy
        return options.overlap, options.local_iterations, options.recombination.component.name

    batches = "sampling=batches"
    assert taken() == (None, 20, "best")
    assert taken(batches) == (0.0, 8, "mean")
    assert taken("sampling=adaptive") == (0.0, 8, "mean")
    assert taken(batches, "strategy.local_iterations=20") == (0.0, 20, "mean")
    assert taken(batches, "strategy.recombination=best") == (0.0, 8, "best")
    assert taken(batches, "strategy.overlap=0.25") == (0.25, 8, "mean")
    assert taken(batches, "strategy=apts") == (0.0, 5, "sum")


@pytest.mark.parametrize("sampling", ["full", "batches"])
def test_what_was_taken_is_written_down_and_read_back(run_file, tmp_path, sampling):
    config = load(run_file, [f"sampling={sampling}"])
    written = tmp_path / "config.toml"
    written.write_text(dumps(config))
    assert load(written) == config


def test_overrides_reach_defaults_at_any_depth(run_file):
    config = load(
        run_file, ["strategy.subdomains=4", "strategy.radius.grow=3", "solver.radius.bad=0"]
    )
    assert config.strategy.subdomains == 4
    assert config.strategy.radius.grow == 3.0
    assert config.solver.hessian.memory == 4
    assert config.solver.radius.bad == 0.0
    assert load(run_file, ["strategy=trust_region"]).strategy.subdomains == 1
    assert load(run_file, ["solver.hessian=none"]).solver.hessian.component.name == "none"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["strategy=trust_region", "solver.hessian=none", "solver.subproblem.name=cauchy"],
        ["strategy.local_solver=adam", "stop.loss=1e-300", "stop.seconds=inf"],
        ["strategy.acceptance={name='window', length=3}", "dtype=float32", "output.figures=false"],
    ],
)
def test_what_is_written_reads_back_to_the_same_model(run_file, tmp_path, changes):
    config = load(run_file, changes)
    again = tmp_path / "again.toml"
    again.write_text(dumps(config))
    assert load(again) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("solver.memory=5", "Did you mean 'solver.hessian.memory'?"),
        ("solver.hessian.memry=5", "Did you mean 'solver.hessian.memory'?"),
        ("memory=5", "Did you mean 'solver.hessian.memory'?"),
        ("strategy.subdomans=4", "Did you mean 'strategy.subdomains'?"),
        ("subdomains=4", "Did you mean 'strategy.subdomains'?"),
        ("stop.iteration=4", "Did you mean 'stop.iterations'?"),
        ("sed=4", "Did you mean 'seed'? Allowed here: problem, strategy, solver,"),
        ("strategy=sapts_q", "no strategy named 'sapts_q'. Did you mean 'sapts_"),
        ("problem=bowls", "Did you mean 'bowl'?"),
        ("strategy.subdomains=0", "greater than or equal to 1, but it is 0"),
        ("dtype=float16", "'float64' or 'float32', but it is 'float16'"),
        ("stop={}", "give at least one of iterations"),
        ("stop=5", "a table is expected, but it is 5"),
        ("strategy.subdomains=four", "a whole number is expected, but it is 'four'"),
        ("strategy.overlap=much", "a number is expected, but it is 'much'"),
        ("output.figures=perhaps", "true or false is expected, but it is 'perhaps'"),
        ("solver.hessian=3", "a hessian is given by its name"),
        ("plugins=3", "a list of files is expected"),
        ("plugins=['absent.py']", "no plugin file"),
    ],
)
def test_a_wrong_override_is_one_readable_message(run_file, change, message):
    with pytest.raises(ConfigError) as caught:
        load(run_file, [change])
    text = str(caught.value)
    assert message in text
    assert "on the command line" in text or "plugin file" in text
    assert "\n" not in text
    assert "pydantic" not in text


@pytest.mark.parametrize("change", ["solver.lr=0.1", "problem.nope=1", "lr=0.1"])
def test_a_key_that_is_like_no_other_gets_no_guess(run_file, change):
    with pytest.raises(ConfigError, match=r"there is no such key\. Allowed here"):
        load(run_file, [change])


def test_an_error_in_the_file_names_the_file_and_the_key(run_file):
    run_file.write_text(run_file.read_text().replace("memory = 4", "memry = 4"))
    with pytest.raises(ConfigError, match=r"bowl\.toml: solver\.hessian\.memry: there is no such"):
        load(run_file)


def test_what_must_be_given_is_named(run_file):
    run_file.write_text('strategy = "trust_region"\n')
    with pytest.raises(ConfigError) as caught:
        load(run_file)
    assert "problem: must be given: what is trained" in str(caught.value)
    assert "stop: must be given" in str(caught.value)


def test_a_file_that_is_not_there_or_no_toml(run_file):
    with pytest.raises(ConfigError, match=r"cannot read .*Did you mean 'bowl.toml'\?"):
        load(run_file.with_name("bowk.toml"))
    with pytest.raises(ConfigError, match=r"No such file or directory; .ddopt init --list. lists"):
        load(run_file.with_name("nothing.toml"))
    run_file.write_text("problem = \n")
    with pytest.raises(ConfigError, match=r"no TOML file: Invalid value \(at line 1"):
        load(run_file)
