"""The plugins in examples/plugins: their own tests pass, and their run files are right."""

import os
import subprocess
import sys

import pytest

from ddopt.setup.config import load
from tests.runs import ROOT

PLUGINS = sorted(path.parent for path in ROOT.glob("examples/plugins/*/pyproject.toml"))


def test_their_own_tests_pass():
    paths = [*map(str, PLUGINS), str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, PLUGINS)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "file", [file for plugin in PLUGINS for file in plugin.glob("*.toml")
             if file.name != "pyproject.toml"], ids=lambda file: file.stem,
)  # fmt: skip
def test_their_run_files_are_right(file, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent))
    assert load(file, [], sorted(file.parent.glob("ddopt_*.py"))).stop is not None
