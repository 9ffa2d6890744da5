"""Whatever component remembers something is in the checkpoint, whoever holds it."""

from pathlib import Path

import pytest
import torch

from ddopt.executor import Executor, Serial
from ddopt.run import bundle, checkpoint
from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.run.running import Run
from ddopt.setup.component import Component
from ddopt.setup.config import load
from ddopt.setup.plugins import manager
from tests.runs import write_run_file
from tests.test_run import timeless
from tests.test_variants import RELAY, VARIANTS

MINDFUL = Path(__file__).parent / "mindful_plugin.py"
SUM = "strategy={{name='{}', recombination='sum', first_radius=0.05}}"
LOCAL = (
    "strategy={{name='sapts_p', subdomains=1, global_iterations=0, local_solver="
    "{{name='{}', hessian='{}', subproblem='{}', acceptance='{}', radius='{}', "
    "first_radius=0.02}}}}"
)
PLAIN = ("trust_region", "none", "cauchy", "monotone", "stepwise")
DECOMPOSED = (
    "strategy={{name='sapts', decomposition={}, recombination='{}', acceptance='{}', "
    "radius='{}', first_radius=0.05, global_iterations={}}}"
)
DATA = "{name='data', subdomains=3}"


def local(**changed):
    """The solver of the only subdomain, one of its parts replaced."""
    kinds = ("solver", "hessian", "subproblem", "acceptance", "radius")
    found = [changed.get(kind, plain) for kind, plain in zip(kinds, PLAIN, strict=True)]
    return [LOCAL.format(*found)]


CHOICES = {
    "decomposition": [DECOMPOSED.format("'rotating'", "sum", "monotone", "stepwise", 0)],
    "decomposition in a product": [
        DECOMPOSED.format(
            "{name='product', samples={name='data', subdomains=1}, parameters='rotating'}",
            "sum", "monotone", "stepwise", 1,
        )
    ],
    "recombination": [DECOMPOSED.format(DATA, "fading", "monotone", "stepwise", 0)],
    "acceptance": [DECOMPOSED.format(DATA, "sum", "strict", "stepwise", 0)],
    "radius": [DECOMPOSED.format(DATA, "sum", "monotone", "smooth", 0)],
    "acceptance of a solver": local(acceptance="strict"),
    "radius of a solver": local(radius="smooth"),
    "subproblem": local(subproblem="growing"),
    "hessian": local(hessian="tired"),
    "solver": local(solver="short"),
    "solver of the global pass": ["strategy=trust_region", "solver={name='short', hessian='lsr1'}"],
    "sampling": ["strategy=trust_region", "sampling=shifting"],
    "problem": ["strategy=trust_region", "problem=counted"],
    "hooks": ["strategy=sapts_p", "strategy.subdomains=1", "seed=1", "strategy.first_radius=0.01"],
}  # fmt: skip


def course(folder, name, changes, *stages):
    """The record of a run that is stopped after each number of iterations, and resumed."""
    file = write_run_file(folder)
    for i, iterations in enumerate(stages):
        config = load(file, [*changes, f"stop.iterations={iterations}", "output.figures=false"])
        execute(config, Folder(folder / name), resume=i > 0)
    return timeless(folder / name)


def forget(monkeypatch):
    """Let the components lose their counts, so that a test of them can fail."""
    module = manager().load_file(MINDFUL).code
    monkeypatch.setattr(module, "load_state_dict", lambda state: None)
    monkeypatch.setattr(module.Counts, "load_state_dict", lambda self, state: None)


@pytest.mark.parametrize("seam", CHOICES)
def test_a_component_with_state_resumes_with_the_same_bits(seam, tmp_path, monkeypatch):
    changes = [*CHOICES[seam], f"plugins=['{MINDFUL}', '{MINDFUL.parent / 'bowl_plugin.py'}']"]
    unbroken = course(tmp_path, "unbroken", changes, 15)
    assert course(tmp_path, "resumed", changes, 7, 15) == unbroken
    forget(monkeypatch)
    assert course(tmp_path, "forgetful", changes, 7, 15) != unbroken


def components(root):
    """Every component that can be reached from an object, through whatever holds it."""
    found, seen, waiting = [], set(), [root]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, (str, torch.Tensor, type, torch.nn.Module)):
            continue
        seen.add(id(thing))
        if isinstance(thing, Component):
            found.append(thing)
        if isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, (list, tuple)):
            waiting += thing
        elif type(thing).__module__.partition(".")[0] in ("ddopt", "ddopt_sapts", "tests"):
            waiting += vars(thing).values() if hasattr(thing, "__dict__") else ()
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_component_of_a_run_is_asked_for_its_state(variant, tmp_path, monkeypatch):
    file = tmp_path / "relay.toml"
    file.write_text(
        f'problem = "relay"\nplugins = ["{RELAY.as_posix()}"]\n[stop]\niterations = 1\n'
    )
    running = Run(
        load(file, [*VARIANTS[variant], "stop.iterations=1"]), Serial(), Folder(tmp_path / "out")
    )
    running.folder.open(running.config, -1)
    running.train()
    asked = set()
    held = [part for part in components(running) if not isinstance(part, Executor)]
    assert {part.seam for part in held} >= {"problem", "strategy", "sampling", "solver", "radius"}
    for part in held:
        said = part.state_dict
        spy = lambda part=part, said=said: asked.add(id(part)) or said()  # noqa: E731
        monkeypatch.setattr(part, "state_dict", spy)
    bundle.save(running, None)
    running.folder.close()
    assert [part for part in held if id(part) not in asked] == []
    assert checkpoint.load(tmp_path / "out") is not None


def test_a_plugin_that_cannot_say_what_it_remembers_stops_nothing(tmp_path, recwarn):
    file = tmp_path / "amnesia.py"
    file.write_text(
        "import ddopt\n@ddopt.hookimpl\ndef ddopt_after_step(run): pass\n"
        "def state_dict(): raise KeyError('lost')\ndef load_state_dict(state): pass\n"
    )
    plugin = manager().load_file(file)
    assert plugin.module not in manager().states()
    assert "state_dict raised KeyError: 'lost'" in plugin.reason
    assert any("amnesia" in str(warning.message) for warning in recwarn)
    manager().plugins.remove(plugin)
