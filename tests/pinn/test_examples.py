"""The run files name what exists, and the documentation's own problem works as printed."""

import re
import tomllib
from pathlib import Path

import pytest
import torch

from ddopt.task import Setting
from ddopt_pinn import PROBLEMS, PDETask

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "pinn.md"


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_problem_has_a_run_file(name):
    run = tomllib.loads((ROOT / "examples" / "pinn" / f"{name}.toml").read_text())
    problem = run["problem"]
    assert name in (problem["name"], problem.get("of"))  # as it is, or on patches
    assert run["stop"].get("evaluations", run["stop"].get("iterations")) > 0
    assert f"| `{name}` |" in GUIDE.read_text()


def test_the_options_in_the_guide_are_those_of_the_code():
    guide = GUIDE.read_text()
    for name in PDETask.Config.model_fields:
        assert f"`{name}`" in guide


def test_the_guides_problem_works_as_printed(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "def ddopt_register" in block)
    (toml,) = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    space = {"__name__": "heat"}
    exec(compile(code, "heat.py", "exec"), space)
    claimed = []
    space["ddopt_register"](claimed.append)
    assert claimed == [space["Heat"]]
    run = tomllib.loads(toml)
    task = space["Heat"](initial=run["problem"]["initial"], interior=50, width=8, depth=2)
    task.prepare(Setting())
    assert task.problem.samples.counts == (50, 80, 40)
    assert torch.isfinite(task.problem.at(task.initial).gradient).all()
    assert task.measure(task.initial)["error"] > 0.0
    assert task.draw(task.initial, [], tmp_path)[0].exists()
