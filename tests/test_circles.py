"""No circles between files: whoever reads one file needs to have read those below it only.

Every import counts, wherever it stands: at the top, for types alone, or late in a function.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = (ROOT, ROOT / "plugins")


def modules():
    """The files of the core and of its plugins, by the names they are imported by."""
    found = {}
    for base, folders in (
        (ROOT, ["ddopt"]),
        (
            ROOT / "plugins",
            sorted(p.name for p in (ROOT / "plugins").iterdir() if p.name.startswith("ddopt_")),
        ),
    ):
        for folder in folders:
            for path in (base / folder).rglob("*.py"):
                parts = path.relative_to(base).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                found[name] = path
    return found


def imported(path, names):
    """The modules of ``names`` that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom) and node.module in names:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (one if one in names else node.module for one in inner)


def circles(arrows):
    """The sets of modules that can be reached from each other (Tarjan, SIAM J. Comput. 1, 1972)."""
    order, low, stack, found = {}, {}, [], []

    def visit(name):
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in arrows[name]:
            if other not in order:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == order[name]:
            circle = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(circle) > 1 or name in arrows[name]:
                found.append(sorted(circle))

    for name in arrows:
        if name not in order:
            visit(name)
    return found


def test_circles_are_found():
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"d"}, "e": {"a"}}
    assert circles(arrows) == [["d"], ["b", "c"]]


@pytest.fixture(scope="module")
def arrows():
    names = modules()
    return {name: set(imported(path, names)) - {name} for name, path in names.items()}


def test_no_file_needs_itself_through_others(arrows):
    assert circles(arrows) == []


def test_the_core_names_no_plugin(arrows):
    core = {name: others for name, others in arrows.items() if name.partition(".")[0] == "ddopt"}
    assert len(core) > 100
    assert not {o for others in core.values() for o in others} - core.keys()


def test_only_executors_know_torch_distributed():
    """But for the tracer of its pipelines, which cuts modules and talks to no process."""
    for name, path in modules().items():
        if name.startswith("ddopt.executor"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)]
        found += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        talking = [one for one in found if not one.startswith("torch.distributed.pipelining")]
        known = [one for one in talking if one.startswith("torch.distributed")]
        assert not known, f"{name} imports {known}"
