"""Plugins need nothing that is private: what templates, pages and examples import, and touch."""

import ast
import re

import pytest

import ddopt
from ddopt.setup import scaffold
from ddopt.setup.plugins import manager
from tests.runs import ROOT
from tests.test_docs import blocks, rows

POLICY = (ROOT / "docs" / "plugins.md").read_text("utf-8")
PAGES = ("plugins", "seams", "pinn", "optimizers", "integrations", "distributed", "python")
WHOLE = ("ddopt.testing", "ddopt.testing.problems")  # modules that are public as they are


def public():
    """The names of each public module, as the policy lists them; None for all."""
    found = {"ddopt": set(ddopt.__all__)}
    for module, names in rows(POLICY, "| module | what of it is public |")[1:-1]:
        found[module.strip("`")] = set(re.findall(r"`(\w+)`", names))
    for seam, name, _ in manager().registry:
        component = manager().find(seam, name)
        found.setdefault(component.__module__, set()).add(component.__name__)
    return found | dict.fromkeys(WHOLE)


PUBLIC = public()


def examples():
    """Python that authors read, by a label."""
    for path in sorted(ROOT.glob("examples/plugins/**/*.py")):
        yield str(path.relative_to(ROOT)), path.read_text("utf-8")
    for page in PAGES:
        text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
        for number, block in enumerate(blocks(text, "python")):
            yield f"docs/{page}.md, block {number}", block


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What ``ddopt new-plugin`` writes of every kind."""
    place = tmp_path_factory.mktemp("kinds")
    folders = [scaffold.write(f"public-{kind}", kind, place)[0] for kind in scaffold.kinds()]
    return [(path.name, path.read_text()) for folder in folders for path in folder.glob("*.py")]


def private(text):
    """What a piece of code uses of ddopt that is not public."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ddopt"):
            found += [f"{node.module}.{one.name}" for one in node.names if not open_(node, one)]
        elif isinstance(node, ast.Import):
            found += [
                one.name for one in node.names
                if one.name.startswith("ddopt") and one.name not in PUBLIC and ours(one.name)
            ]  # fmt: skip
        elif isinstance(node, ast.Attribute) and not own(node):
            found.append(node.attr)
    return found


def ours(module):
    """Whether it is a module of ddopt's distribution, and not of a plugin in an example."""
    top = module.partition(".")[0]
    return (ROOT / top).is_dir() or (ROOT / "plugins" / top).is_dir()


def open_(node, one):
    names = PUBLIC.get(node.module, ())
    return not ours(node.module) or names is None or one.name in names


def own(node):
    """Whether an attribute is public, a special one, or the author's: of self, or defined there."""
    hidden = node.attr.startswith("_") and not node.attr.endswith("__")
    return not hidden or (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))


@pytest.mark.parametrize(("label", "text"), list(examples()))
def test_examples_use_public_names_alone(label, text):
    assert private(text) == []


def test_new_plugins_use_public_names_alone(written):
    assert {label: private(text) for label, text in written if private(text)} == {}


def test_the_policy_names_what_there_is():
    from importlib import import_module

    for module, names in PUBLIC.items():
        there = import_module(module)
        assert [name for name in names or () if not hasattr(there, name)] == [], module


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from ddopt.method.engine import Engine", ["ddopt.method.engine.Engine"]),
        ("from ddopt import Engine", []),
        ("import ddopt.run.bundle", ["ddopt.run.bundle"]),
        ("import ddopt.testing\nself._x = problem._sums", ["_sums"]),
        ("from ddopt.solver.trust_region import TrustRegion, _private", None),
        ("from ddopt_rings import Rings", []),
    ],
)
def test_what_is_private_is_found(text, told):
    assert private(text) == (["ddopt.solver.trust_region._private"] if told is None else told)
