"""The benchmarks' runner: every run is kept, and none is repeated."""

import json
import runpy

from tests.runs import ROOT

CASES = str(ROOT / "examples/benchmarks/cases.py")


def test_a_benchmark_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    called = []

    def case(seed):
        called.append(seed)
        return {"unknowns": 1200, "seconds": 1.0 + seed, "error": 10.0**-seed}

    out = tmp_path / "runs.jsonl"
    first = {"case": "a; small", "seed": 0, "unknowns": 1200, "seconds": 9.0, "error": 1e-3}
    out.write_text(json.dumps(first) + "\n" + '{"case": "a; sm')  # the second was cut off
    monkeypatch.setattr("sys.argv", ["cases", "a", "--seeds", "3", "--out", str(out)])
    runpy.run_path(CASES)["main"]({"a; small": case, "b": case}, "A description.")
    assert called == [1, 2]
    assert "| a; small | 3 | 1,200 | 3.0 | 1.0e-02 | 1.0e-01 |" in capsys.readouterr().out
    runpy.run_path(CASES)["main"]({"a; small": case}, "A description.")
    assert called == [1, 2]
