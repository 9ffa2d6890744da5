"""What the documentation says is so: its code runs, its tables are those of the program."""

import json
import re
import runpy
import shlex
import tomllib

import pytest
from pydantic_core import PydanticUndefined

from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.run.stopping import StopReason
from ddopt.setup import hookspecs, scaffold
from ddopt.setup.config import Output, RunConfig, Stop, load
from ddopt.testing import check_task
from tests.runs import ROOT, python, write_run_file

PLUGINS = (ROOT / "docs" / "plugins.md").read_text()
OPTIMIZERS = (ROOT / "docs" / "optimizers.md").read_text("utf-8")
RUNNING = (ROOT / "docs" / "running.md").read_text()


PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING")),
    *sorted(ROOT.glob("docs/**/*.md")),
]


WRITTEN = ("changelog.md", "contributing.md")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def the_block_of(word, text=PLUGINS):
    """The only block of Python with a word in it."""
    (found,) = [block for block in blocks(text, "python") if word in block]
    return found


def rows(text, heading):
    """The cells of the table under a header row."""
    table = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_plugin_of_the_tutorial_runs(tmp_path):
    source = the_block_of("class Interleaved")
    assert len(source.splitlines()) <= 45
    path = tmp_path / "ddopt_parity.py"
    path.write_text(source)
    changes = ["strategy={name='parity', subdomains=3}", "stop.iterations=5"]
    config = load(write_run_file(tmp_path), changes, [path])
    assert execute(config, None) is StopReason.ITERATIONS
    assert config.strategy.component.__module__ == "ddopt_parity"


def test_the_first_plugin_is_made_word_for_word(tmp_path):
    """Every line of the tutorial's shell, but for what installs something."""
    first, second, _ = blocks(PLUGINS, "sh")[:3]
    folder = tmp_path / "ddopt-rings"
    for block, source in ((first, None), (second, the_block_of("class Rings"))):
        if source:
            (folder / "ddopt_rings.py").write_text(source)
        for line in block.splitlines():
            words = shlex.split(line)
            where = folder if folder.exists() else tmp_path
            if words[:2] == ["python", "-m"]:
                done = python("-m", "pytest", "-p", "no:cacheprovider", cwd=where)
            elif words[0] == "ddopt":
                done = python("-m", *words, cwd=where)
            else:
                assert words[0] in ("pip", "cd")
                continue
            assert done.returncode == 0, (line, done.stdout, done.stderr)
    wrong = the_block_of("class Rings").replace(") % n)", "))")
    (folder / "ddopt_rings.py").write_text(wrong)
    done = python("-m", "pytest", "-p", "no:cacheprovider", cwd=folder)
    (promised,) = re.findall(r"fails with \*(.*?)\*\.", PLUGINS, re.DOTALL)
    assert promised.replace("\n", " ") in done.stdout


def test_a_loop_of_one_s_own_uses_a_plugin_by_name(tmp_path):
    """In a process of its own: modules of one name are loaded once."""
    (tmp_path / "ddopt_parity.py").write_text(the_block_of("class Interleaved"))
    loop = the_block_of("optimizer = ddopt.SAPTS(") + "\nassert loss < 0.05, loss\n"
    more = 'ddopt.SAPTS(net.named_parameters(), variant="parity").step(closure)\n'
    (tmp_path / "loop.py").write_text(loop + more)
    done = python("loop.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_page_of_seams_is_what_new_plugin_writes():
    page = runpy.run_path(str(ROOT / ".ci" / "seams.py"))
    assert sorted(page["NOTES"]) == scaffold.kinds()
    assert (ROOT / "docs" / "seams.md").read_text("utf-8") == page["page"](), "python .ci/seams.py"


def test_the_plugin_s_project_file_is_toml():
    project = tomllib.loads(blocks(PLUGINS, "toml")[-1])
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
    printed = capsys.readouterr().out.strip()
    assert float(re.search(r"accuracy ([\d.]+)%", printed).group(1)) > 85.0
    said = re.search(r"It prints `loss ([\de.-]+), test", (ROOT / "README.md").read_text("utf-8"))
    assert float(said.group(1)) == pytest.approx(float(printed.split()[1].rstrip(",")), rel=0.5)


def test_the_loops_of_the_optimizers_page_train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec("\n".join(blocks(OPTIMIZERS, "python")), names)
    assert names["loss"] < 0.1
    assert names["optimizer"].evaluations > 0.0
    assert (tmp_path / "checkpoint.pt").exists()


def test_the_model_of_ones_own_runs(tmp_path):
    (tmp_path / "sine.py").write_text(the_block_of("class Sine"))
    run_file = tmp_path / "sine.toml"
    run_file.write_text('problem = "sine"\nplugins = ["sine.py"]\nstop.iterations = 3\n')
    check_task(load(run_file).problem.build())
    for changes in ([], ["strategy=sapts_p", "strategy.subdomains=3", "problem.width=8"]):
        folder = Folder(tmp_path / str(len(changes)))
        assert execute(load(run_file, changes), folder) is StopReason.ITERATIONS
        summary = json.loads((folder.path / "summary.json").read_text())
        assert summary["error"] < 0.9


def test_the_trained_network_is_used_as_the_manual_says(tmp_path):
    run_file = write_run_file(tmp_path)
    execute(load(run_file, ["stop.iterations=2"]), Folder(tmp_path / "out"))
    source = blocks((ROOT / "docs" / "troubleshooting.md").read_text("utf-8"), "python")[0]
    source = source.replace("runs/poisson2d-20260101-120000", (tmp_path / "out").as_posix())
    names = {}
    exec(source.partition("u = ")[0], names)  # the bowl has no points
    assert names["named"]["x"].shape == (10,)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]*[./#][^)\s]*)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if (ROOT / "docs" / "reference") in file.parents or file.name in WRITTEN:
            continue  # by docs/pages.py; a build of the site looks at these
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in [slug(head) for head in heads], target


def slug(head):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")


def test_the_solver_of_the_manual_conforms_and_runs(tmp_path):
    from ddopt.run.execution import execute
    from ddopt.testing import check_solver

    (source,) = (text for text in blocks(PLUGINS, "python") if "BarzilaiBorwein" in text)
    assert sum(bool(line.strip()) for line in source.splitlines()) < 45
    path = tmp_path / "ddopt_spectral.py"
    path.write_text(source)
    run_file = tmp_path / "run.toml"
    run_file.write_text('problem = "poisson2d"\nsolver = "barzilai_borwein"\nstop.iterations = 2\n')
    config = load(run_file, ["problem.interior=40", "problem.width=6"], [path])
    check_solver(config.solver.build())
    assert execute(config, None) == StopReason.ITERATIONS


def test_the_executor_of_the_manual_conforms_and_notes_what_is_asked(tmp_path):
    from ddopt.testing import check_executor

    path = tmp_path / "ddopt_noted.py"
    path.write_text(the_block_of("class Noted"))
    run_file = tmp_path / "run.toml"
    run_file.write_text('problem = "poisson2d"\nexecutor = "noted"\nstop.iterations = 2\n')
    small = ["problem.interior=40", "problem.width=6", "output.figures=false"]
    config = load(run_file, small, [path])
    check_executor(config.executor.build())
    execute(config, Folder(tmp_path / "run"))
    asked = json.loads((tmp_path / "run" / "asked.json").read_text())
    assert asked.keys() == {"Both", "Work", "Value"}


def test_the_wrapper_of_the_manual_forgets_nothing(tmp_path, monkeypatch):
    from ddopt.testing import check_problem
    from tests.test_derived import THETA, Sines

    (tmp_path / "ddopt_decay.py").write_text(the_block_of("class Decayed"))
    monkeypatch.syspath_prepend(tmp_path)
    namespace = {}
    exec(the_block_of("test_decayed_is_one"), namespace)
    namespace["test_decayed_is_one_function"]()
    check_problem(namespace["Decayed"](Sines(), 0.1), THETA)  # which has residuals, too
