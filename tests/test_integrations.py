"""The recipes for other libraries, as the documentation has them, with the libraries themselves."""

import re
import warnings

import pytest
import torch

from tests.runs import ROOT

PAGE = (ROOT / "docs" / "integrations.md").read_text("utf-8")
SECTIONS = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
RECIPES = {
    name: re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name, text in SECTIONS
}
# The package that is imported, and the largest error after each block of the section.
LIBRARIES = {
    "Plain PyTorch": ("torch", [1e-5]),
    "PINA": ("pina", [1e-2, 1e-4]),
    "neurodiffeq": ("neurodiffeq", [1e-3, 1e-5]),
    "torchphysics": ("torchphysics", [1e-2, 1e-3]),  # in float32
    "Lightning": ("lightning", [1e-2]),
    "accelerate": ("accelerate", [1e-2]),
    "skorch": ("skorch", [1e-2]),
    "ignite": ("ignite", [1e-2]),
    "Hugging Face Trainer": ("transformers", [1e-2]),
    "neuromancer": ("neuromancer", [1e-2]),
    "Distributed checkpoints": ("torch", [1e-2]),
}
FIRST = "Training frameworks"  # the block that the sections after it continue


@pytest.fixture
def alone():
    """What the libraries leave behind: a default dtype, warnings about themselves."""
    before = torch.get_default_dtype()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(before)


def _solution(name, known, x):
    """The network's solution at ``x`` (points, 1), as each library evaluates it."""
    net = known["net"]
    if name == "neurodiffeq":
        return known["solver"].get_solution()(x)
    if name == "torchphysics":
        return net(known["tp"].spaces.Points(x.float(), known["X"])).as_tensor
    return net(x)


def test_every_section_is_known():
    assert [name for name in RECIPES if name != FIRST] == list(LIBRARIES)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_recipe_solves_its_problem(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package, allowed = LIBRARIES[name]
    pytest.importorskip(package)
    known: dict = {}
    if list(RECIPES).index(name) > list(RECIPES).index(FIRST):
        exec("\n".join(RECIPES[FIRST]), known)
    x = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)[:, None]
    errors = []
    for block in RECIPES[name]:
        exec(compile(block, f"integrations.md, {name}", "exec"), known)
        off = _solution(name, known, x).detach().reshape(-1, 1) - torch.sin(torch.pi * x)
        errors.append(float(off.abs().max()))
    assert all(e < a for e, a in zip(errors, allowed, strict=True)), errors
