"""The plugin manager: one plugin's trouble is nobody else's."""

import json
import sys
import textwrap
import threading
import tomllib
import warnings

import pytest

from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.setup import loading, plugins
from ddopt.setup.config import load as config_of
from ddopt.setup.extras import installing
from ddopt.setup.hookspecs import hookimpl as ddopt_hook
from ddopt.setup.plugins import PluginManager, PluginWarning
from tests.runs import ROOT, ddopt, write_run_file

GOOD = """
import ddopt

class Tidy(ddopt.Acceptance):
    name = "tidy"
    def ratio(self, value, trial, predicted):
        return 1.0

@ddopt.hookimpl
def ddopt_register(register):
    register(Tidy)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution: a module, its metadata, an entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(name, source, target=None):
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[ddopt]\n{name} = {target or module}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return tmp_path

    return put


def load(monkeypatch, names):
    """A fresh manager with the named entry points only."""
    monkeypatch.setenv("DDOPT_PLUGINS", names)
    manager = PluginManager()
    manager.load_entry_points()
    return manager


def by_name(manager, name):
    return next(plugin for plugin in manager.plugins if plugin.name == name)


def test_an_installed_plugin_registers(install, monkeypatch):
    install("tidy-one", GOOD)
    manager = load(monkeypatch, "tidy-one")
    (plugin,) = manager.plugins
    assert plugin.provider == "tidy_one (tidy-one 1.2)"
    assert plugin.components == [("acceptance", "tidy")]
    assert manager.hooks(plugin) == ["ddopt_register"]
    assert manager.find("acceptance", "tidy").__name__ == "Tidy"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import no_such_package", "No module named 'no_such_package'"),
        (GOOD.replace("register(Tidy)", "1 / 0"), "ddopt_register raised ZeroDivisionError"),
        (GOOD.replace("(register)", "(registrar)"), "PluginValidationError"),
        (GOOD.replace("ddopt_register", "ddopt_registr"), "no such hook: ddopt_registr"),
    ],
)
def test_a_broken_plugin_stops_nothing_else(install, monkeypatch, source, reason):
    install("a-broken", source)
    install("tidy-two", GOOD)
    with pytest.warns(PluginWarning, match="a-broken 1.2"):
        manager = load(monkeypatch, "a-broken,tidy-two")
    assert reason in by_name(manager, "a_broken").reason
    assert by_name(manager, "tidy_two").status == "ok"
    assert manager.find("acceptance", "tidy").__name__ == "Tidy"
    with pytest.raises(ValueError, match="may come from a plugin that is broken: a_broken"):
        manager.find("acceptance", "strange")


COMMIT = {"vcs": "git", "commit_id": "abc123", "requested_revision": "main"}
ORIGINS = (  # direct_url.json (PEP 610), and what pip takes
    ({"url": "file:///a%20b", "dir_info": {"editable": True}}, "--editable '/a b[space]'"),
    ({"url": "file:///a%20b", "dir_info": {}}, "'/a b[space]'"),
    ({"url": "file:///a/needy-1.2.whl", "archive_info": {}}, "'/a/needy-1.2.whl[space]'"),
    (
        {"url": "https://host/needy-1.2.whl", "archive_info": {}},
        "'needy[space] @ https://host/needy-1.2.whl'",
    ),
    (
        {"url": "https://host/needy.git", "vcs_info": COMMIT},
        "'needy[space] @ git+https://host/needy.git@abc123'",
    ),
    (
        {"url": "file:///a/needy", "vcs_info": COMMIT},
        "'needy[space] @ git+file:///a/needy@abc123'",
    ),
)


def test_a_missing_extra_is_told_with_its_command(install, monkeypatch):
    place = install("needy", GOOD.replace("register(Tidy)", "register(*LAZY[:1], **LAZY[1])"))
    (place / "needy_part.py").write_text("import rocket_science")
    source = (place / "needy.py").read_text()
    lazy = 'LAZY = ("needy_part:Part", {"seam": "acceptance", "name": "needy"})\n'
    (place / "needy.py").write_text(lazy + source)
    with (place / "needy-1.2.dist-info" / "METADATA").open("a") as metadata:
        metadata.write(
            "Provides-Extra: space\nRequires-Dist: Rocket.Science>=2; extra == 'space'\n"
        )
    manager = load(monkeypatch, "needy")
    with pytest.raises(ValueError, match=r"Install it with: pip install 'needy\[space\]'"):
        manager.find("acceptance", "needy")
    for origin, where in ORIGINS:  # where no registry has it
        (place / "needy-1.2.dist-info" / "direct_url.json").write_text(json.dumps(origin))
        assert installing("space", "needy") == f"pip install {where}"


@pytest.mark.parametrize("where", ["math:pi", "ddopt.acceptance.window:Window"])
def test_a_class_is_what_it_is_registered_as(tmp_path, where):
    path = tmp_path / f"{tmp_path.name}.py"
    lazy = f'register("{where}", seam="acceptance", name="lazy")'
    path.write_text(GOOD.replace("register(Tidy)", lazy))
    manager = PluginManager()
    manager.load_file(path)
    with pytest.raises(ValueError, match=rf"registered as '{where}', which is no acceptance of th"):
        manager.find("acceptance", "lazy")


def test_everything_that_is_registered_answers_to_its_name():
    for seam, name, _ in plugins.manager().registry:
        assert plugins.manager().find(seam, name).name == name


UNPREPARED = """
import ddopt, torch

class Lazy(ddopt.Task):
    name = "lazy_{number}"
    def prepare(self, setting):
        {prepared}

@ddopt.hookimpl
def ddopt_register(register):
    register(Lazy)
"""


@pytest.mark.parametrize(
    ("prepared", "reason"),
    [
        ("pass", "it has not set problem and initial"),
        (
            "from ddopt.testing.problems import regression\n"
            "        self.problem, self.initial = regression()[0], torch.zeros(3)",
            r"self.initial has the shape \(3,\); its layout has 113 parameters",
        ),
    ],
)
def test_a_problem_that_is_not_prepared_is_explained(tmp_path, prepared, reason):
    number = len(prepared)
    path = tmp_path / f"unprepared_{number}.py"
    path.write_text(UNPREPARED.format(number=number, prepared=prepared))
    config = config_of(write_run_file(tmp_path), [f"problem=lazy_{number}"], [path])
    with pytest.raises(ValueError, match=reason):
        execute(config, None)


def test_strict_mode_does_not_go_on(install, monkeypatch):
    install("a-broken", "raise RuntimeError('no luck')")
    monkeypatch.setenv("DDOPT_STRICT_PLUGINS", "1")
    with pytest.raises(ValueError, match=r"a-broken 1.2\) is broken: RuntimeError: no luck"):
        load(monkeypatch, "a-broken")


def test_two_plugins_with_one_name_are_both_named(install, monkeypatch):
    install("tidy-three", GOOD)
    install("tidy-four", GOOD)
    manager = load(monkeypatch, "tidy-three,tidy-four")
    assert [plugin.status for plugin in manager.plugins] == ["ok", "ok"]
    with pytest.raises(ValueError, match=r"tidy-four 1.2\) and tidy_three \(tidy-three 1.2\)"):
        manager.find("acceptance", "tidy")
    for name in ("tidy-three", "tidy_four"):
        found = manager.find("acceptance", f"{name}:tidy")
        assert found.__module__ == name.replace("-", "_")
    assert "choose it as 'tidy-four:tidy'" in manager.remarks(by_name(manager, "tidy_four"))[0]


def test_a_claim_of_a_built_in_name_stops_nobody(tmp_path):
    """The built-in one is meant by the name, the other by its source, which the record keeps."""
    path = tmp_path / f"{tmp_path.name}.py"
    path.write_text(GOOD.replace("tidy", "window"))
    rival = f"{path.stem}:window"
    file, options = write_run_file(tmp_path), "strategy={{name='sapts_d', acceptance='{}'}}"
    for name in (rival, "window"):
        done = ddopt("show-config", file, options.format(name), "--plugin", path)
        assert tomllib.loads(done.stdout)["strategy"]["acceptance"]["name"] == name
        told = f"'window' is ddopt's own; plugins claim the name too, as '{rival}'"
        assert (told in done.stderr) == (name == "window")


def test_what_a_plugin_prints_when_it_is_imported_is_not_the_command_s(tmp_path):
    path = tmp_path / "chatty.py"
    path.write_text("print('good morning')\n" + GOOD)
    done = ddopt("show-config", write_run_file(tmp_path), "--plugin", path)
    assert "good morning" in done.stderr
    assert tomllib.loads(done.stdout)["problem"]["name"] == "bowl"


def test_a_plugin_that_ends_the_process_is_a_broken_plugin(install, monkeypatch):
    install("a-quitter", "import os; os._exit(3)")
    with pytest.warns(PluginWarning, match=r"a-quitter 1.2\) is broken: .* os._exit\(3\)"):
        load(monkeypatch, "a-quitter")


def test_a_plugin_that_hangs_is_named(tmp_path, monkeypatch):
    """It waits until it has been named, so the test ends only if it is."""
    told = threading.Event()
    monkeypatch.setattr(loading, "PATIENCE", 0.01)
    monkeypatch.setattr(loading, "tell_of", lambda who: (named.append(who), told.set()))
    named = []
    monkeypatch.setattr(sys, "ddopt_test_told", told, raising=False)
    path = tmp_path / "sleepy.py"
    path.write_text("import sys; assert sys.ddopt_test_told.wait(60)\n" + GOOD)
    PluginManager().load_file(path)
    assert str(path) in named


def test_what_names_a_slow_plugin_says_what_to_do(capsys):
    loading.tell_of("sleepy (sleepy 1.2)")
    assert "plugin sleepy (sleepy 1.2) has been loading for 10 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wanted", "status"),
    [(">=0.0.1", "ok"), (">=77,<78", "broken"), ("", "ok"), (">=77; extra == 'more'", "ok")],
)
def test_a_distribution_says_which_ddopt_it_needs(install, monkeypatch, wanted, status):
    place = install("choosy", GOOD)
    with (place / "choosy-1.2.dist-info" / "METADATA").open("a") as metadata:
        metadata.write(f"Requires-Dist: ddopt{wanted}\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        (plugin,) = load(monkeypatch, "choosy").plugins
    assert plugin.status == status
    assert (status == "broken") == ("works with ddopt" in plugin.reason) == bool(told)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("'>=77,<78'", r"works with ddopt>=77,<78, and this is ddopt .* pip install 'ddopt>=77"),
        ("'new'", "ddopt_api is a range of versions"),
        ("2", "ddopt_api is a range of versions"),
    ],
)
def test_a_file_says_which_ddopt_it_needs(tmp_path, wanted, reason):
    path = tmp_path / f"{tmp_path.name}.py"
    path.write_text(f"ddopt_api = {wanted}\n{GOOD}")
    with pytest.raises(ValueError, match=reason):
        PluginManager().load_file(path)
    right = path.with_stem(f"{path.stem}_right")
    right.write_text(f"ddopt_api = '>=0.0.1'\n{GOOD}")
    assert PluginManager().load_file(right).status == "ok"


def test_two_distributions_with_one_module_are_told_apart(install, monkeypatch):
    install("tidy-seven", GOOD)
    install("other", GOOD, target="tidy_seven")
    with pytest.warns(PluginWarning, match="other brings a module 'tidy_seven' too"):
        manager = load(monkeypatch, "tidy-seven,other")
    assert sorted(plugin.status for plugin in manager.plugins) == ["broken", "ok"]


def test_one_module_may_bring_two_plugins(install, monkeypatch):
    source = textwrap.dedent(
        """
        import ddopt
        class One:
            @ddopt.hookimpl
            def ddopt_register(self, register):
                register("math:pi", seam="acceptance", name="one")
        class Two:
            @ddopt.hookimpl
            def ddopt_register(self, register):
                register("math:pi", seam="acceptance", name="two")
        """
    )
    place = install("pair", source, target="pair:One")
    with (place / "pair-1.2.dist-info" / "entry_points.txt").open("a") as entries:
        entries.write("second = pair:Two\n")
    manager = load(monkeypatch, "pair")
    assert sorted(manager.registry.names("acceptance")) == ["one", "two"]


def test_a_seam_of_one_s_own_is_listed(tmp_path):
    path = tmp_path / "opener.py"
    path.write_text(GOOD.replace("register(Tidy)", 'register("m:C", seam="flux", name="up")'))
    manager = PluginManager()
    assert manager.remarks(manager.load_file(path)) == ["opens the seam 'flux'"]


def test_an_entry_point_may_name_a_class(install, monkeypatch):
    source = """
        import ddopt
        class Plugin:
            @ddopt.hookimpl
            def ddopt_register(self, register):
                register("math:pi", seam="acceptance", name="lazy")
    """
    install("classy", textwrap.dedent(source), target="classy:Plugin")
    manager = load(monkeypatch, "classy")
    assert manager.plugins[0].components == [("acceptance", "lazy")]


@pytest.mark.parametrize("listed", ["", " , "])
def test_the_environment_switches_plugins_off(install, monkeypatch, listed):
    install("tidy-five", GOOD)
    assert load(monkeypatch, listed).plugins == []


def test_a_plugin_that_is_listed_must_be_there(monkeypatch):
    with pytest.warns(PluginWarning, match="not installed"):
        manager = load(monkeypatch, "nobody")
    assert by_name(manager, "nobody").status == "broken"


def observed(folder, name, then="pass"):
    """A manager with one plugin of this ``name``, which keeps reports in ``calls``, ``then`` ..."""
    path = folder / f"{name}.py"
    path.write_text(
        "import ddopt\ncalls = []\n"
        f"@ddopt.hookimpl\ndef ddopt_after_step(report):\n    calls.append(report)\n    {then}\n"
    )
    manager = PluginManager()
    return manager, manager.load_file(path)


def test_an_observer_that_raises_is_not_called_again(tmp_path):
    manager, plugin = observed(tmp_path, "grumpy", "1 / 0")
    with pytest.warns(PluginWarning, match="ddopt_after_step raised ZeroDivisionError"):
        manager.call("ddopt_after_step", run=None, report=1)
    manager.call("ddopt_after_step", run=None, report=2)
    assert plugin.code.calls == [1]


def test_a_hook_that_is_tried_and_raises_breaks_no_other_plugin(tmp_path, monkeypatch):
    """The calls that others had before must leave it out."""
    manager, counting = observed(tmp_path, "counting")
    monkeypatch.setattr(counting, "distribution", plugins.CORE)  # those stay beside what is tried
    manager.call("ddopt_after_step", run=None, report=1)

    class Raising:
        @staticmethod
        @ddopt_hook
        def ddopt_after_step(report):
            raise ArithmeticError

    with manager.only(Raising), pytest.warns(PluginWarning, match="raised ArithmeticError"):
        manager.call("ddopt_after_step", run=None, report=2)
    assert not counting.reason
    assert counting.code.calls == [1, 2]


def test_a_file_is_loaded_once_and_must_work(tmp_path):
    good = tmp_path / "one_file_plugin.py"
    good.write_text(GOOD)
    manager = PluginManager()
    assert manager.load_file(good) is manager.load_file(good)
    assert manager.registry.names("acceptance") == ["tidy"]
    bad = tmp_path / "bad_file_plugin.py"
    bad.write_text("1 / 0")
    with pytest.raises(ValueError, match="does not work: ZeroDivisionError"):
        manager.load_file(bad)
    with pytest.raises(ValueError, match="no plugin file"):
        manager.load_file(tmp_path / "absent.py")
    clash = tmp_path / "json.py"
    clash.write_text("")
    with pytest.raises(ValueError, match="rename the file"):
        manager.load_file(clash)


def test_hook_calls_can_be_traced(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DDOPT_TRACE_PLUGINS", "1")
    path = tmp_path / "traced_plugin.py"
    path.write_text(GOOD)
    PluginManager().load_file(path)
    assert f"-> {path}" in capsys.readouterr().err


def test_the_command_lists_broken_plugins(install):
    place = install("a-broken", "raise RuntimeError('no luck')")
    done = ddopt("plugins", "--json", PYTHONPATH=str(place))
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["a_broken"]["status"] == "broken"
    assert rows["a_broken"]["reason"] == "RuntimeError: no luck"
    assert rows["a_broken"]["version"] == "1.2"
    assert rows["ddopt.builtin"]["hooks"] == ["ddopt_register"]
    assert {"seam": "hessian", "name": "lsr1"} in rows["ddopt.builtin"]["components"]


def test_at_most_eight_hooks():
    hooks = [name for name in dir(plugins.hookspecs) if name.startswith("ddopt_")]
    assert len(hooks) <= 8


OPTIONS = "    class Config():\n        x: int = 1\n    def"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (GOOD.replace("@ddopt.hookimpl\n", ""), "ddopt_register must be marked with @ddopt.hook"),
        (GOOD.partition("@")[0], "it has no hook"),
        (GOOD.replace("register(Tidy)", "register(Tidy())"), "takes a class or 'module:Class'"),
        (GOOD.replace("ratio", "ration"), "Tidy'> does not define ratio"),
        (
            GOOD.replace("value, trial, predicted", "value, trial"),
            r"Tidy.ratio must take \(self, value, trial, predicted\): too many positional",
        ),
        (GOOD.replace('"tidy"', "3"), "words, and not 'acceptance' and 3"),
        (
            GOOD.replace(
                "    def", "    class Config(ddopt.Settings):\n        x: int = 1\n    def"
            ),
            "Tidy.Config lacks threshold; derive it from Acceptance.Config",
        ),
        (
            GOOD.replace("    def", OPTIONS),
            "Tidy.Config must derive from ddopt.Settings",
        ),
    ],
)
def test_what_authors_forget_is_said_where_the_plugin_is_loaded(tmp_path, source, reason):
    path = tmp_path / f"{tmp_path.name}.py"  # a module of its own
    path.write_text(source)
    with pytest.raises(ValueError, match=reason):
        PluginManager().load_file(path)


def test_a_file_that_is_installed_too(install, monkeypatch, tmp_path):
    place = install("tidy-six", GOOD)
    manager = load(monkeypatch, "tidy-six")
    assert manager.load_file(place / "tidy_six.py") is manager.plugins[0]
    copy = tmp_path / "elsewhere" / "tidy_six.py"
    copy.parent.mkdir()
    copy.write_text(GOOD)
    with pytest.raises(ValueError, match=r"installed plugin, tidy_six \(tidy-six 1.2\): leave"):
        manager.load_file(copy)


def test_an_error_of_a_plugin_says_where_it_comes_from(tmp_path):
    path = tmp_path / "sulky_plugin.py"
    path.write_text(GOOD.replace("return 1.0", "raise ValueError('not today')"))
    run_file = write_run_file(tmp_path)
    done = ddopt("run", run_file, "strategy.acceptance=tidy", "--dry-run", "--plugin", path)
    assert done.returncode == 2
    assert f"Error: not today ({path}, line 7; DDOPT_TRACEBACK=1 shows how" in done.stderr


def test_n_is_what_the_decomposition_gave(tmp_path):
    mindful = ROOT / "tests" / "mindful_plugin.py"
    changes = ["strategy={name='sapts', decomposition='rotating'}", "stop.iterations=1"]
    execute(config_of(write_run_file(tmp_path), changes, [mindful]), Folder(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["subdomains"] == 2


def test_a_plugin_that_comes_later_is_called_once(tmp_path):
    """After hooks have been called already."""
    manager, source = PluginManager(), "@ddopt.hookimpl\ndef ddopt_after_step(report):\n"
    for name in ("earlier_one", "later_one"):
        path = tmp_path / f"{name}.py"
        path.write_text(f"import ddopt\ncalls = []\n{source}    calls.append(report)\n")
        plugin = manager.load_file(path)
        manager.call("ddopt_after_step", run=None, report=name)
    assert plugin.code.calls == ["later_one"]
