"""The grid of the thesis: its cells run once, go on where they were cut, and say what cannot be."""

import runpy
from importlib.util import find_spec

import pytest

from tests.runs import ROOT

pytestmark = pytest.mark.skipif(find_spec("deepxde") is None, reason="needs deepxde")
GRID = ROOT / "examples" / "thesis" / "grid.py"
PROBLEM = ["problem.interior=40", "problem.boundary=8", "problem.depth=2", "stop.evaluations=12"]


def test_a_grid_runs_its_cells_once_and_goes_on_with_those_that_were_cut(tmp_path, capsys):
    main = runpy.run_path(str(GRID))["main"]
    words = ["--only", "poisson2d", *PROBLEM, "--variants", "sapts_p"]
    words += ["--subdomains", "2", "4", "--against", "trust_region", "--out", str(tmp_path)]
    assert main(words) == 0
    table = capsys.readouterr().out
    for cell in ("sapts_p, N = 2", "trust_region"):
        assert f"| {cell} |" in table
    assert "sapts_p, N = 4, seed 0: cannot group 3 layers into 4 subdomains" in table
    assert (tmp_path / "poisson2d" / "figure.png").stat().st_size > 20_000

    records = list(tmp_path.rglob("metrics.jsonl"))
    before = {path: path.stat().st_mtime_ns for path in records}
    cut = tmp_path / "poisson2d" / "sapts_p-n-2" / "seed-0"
    (cut / "summary.json").unlink()
    assert main(words) == 0
    assert capsys.readouterr().out == table
    assert {path for path in records if path.stat().st_mtime_ns != before[path]} == {
        cut / "metrics.jsonl"
    }


def test_other_settings_do_not_mix_with_the_cells_that_are_there(tmp_path, capsys):
    main = runpy.run_path(str(GRID))["main"]
    words = ["--only", "poisson2d", *PROBLEM, "--variants", "sapts_d", "--subdomains", "2"]
    words += ["--against", "--out", str(tmp_path)]
    assert main(words) == 0
    assert main([*words, "problem.depth=3"]) == 2
    assert "made with another problem" in capsys.readouterr().err
