"""The display: whatever the width of the terminal, a number is whole or it is not there."""

import io
import re
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from ddopt.compare.ticker import Ticker, fitted
from ddopt.run.notebook import Notebook, display_of
from ddopt.run.progress import Progress, duration, fitting, share
from ddopt.setup.config import Stop

LONG = {
    "loss": 2.1641e-13,
    "ratio": -1.2345e-12,
    "radius": 9.8765e-11,
    "accepted": 123_456,
    "rejected": 654_321,
    "evaluations": 1.2345e6,
    "error": 7.6543e-12,
    "validation_loss": 3.3333e-13,
}


def shown(width, stop):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, height=40, color_system=None)
    progress = Progress(stop, console)
    for k in range(6):
        progress.show({"iteration": 1000 + k, "seconds": 10.0 * k, **LONG})
    progress.close()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_number_is_cut_at_any_width(width):
    text = shown(width, Stop(iterations=2000))
    assert "…" not in text
    rows = [line for line in text.splitlines() if line.startswith("│")]
    whole = {f"{value:.4g}" for value in LONG.values()} | {str(v) for v in LONG.values()}
    whole |= {str(1000 + k) for k in range(6)}
    for row in rows:
        assert len(row) <= width
        assert {cell.strip() for cell in row.strip("│").split("│")} <= whole
    assert max(map(len, text.splitlines())) <= width


def test_what_matters_most_stays_where_there_is_little_room():
    narrow, wide = shown(60, Stop(iterations=9)), shown(140, Stop(iterations=9))
    assert all(word in narrow for word in ("iter", "loss", "error"))
    assert "accepted" not in narrow
    assert "accepted" in wide
    assert fitting({"a": 5, "b": 50, "c": 5, "d": 5}, 40) == ["a", "b", "c"]


def test_elapsed_time_and_time_left_are_shown():
    text = shown(100, Stop(iterations=1010))
    assert "1005 of 1010 iterations" in text
    assert "elapsed 50.0 s  left 50.0 s" in text
    assert share(Stop(iterations=10, seconds=4.0), {"iteration": 1, "seconds": 3.0}) == 0.75
    assert share(Stop(loss=1e-3), {"iteration": 1, "seconds": 3.0}) is None


def test_seconds_are_said_as_people_say_them():
    assert [duration(s) for s in (0.04, 59.94, 61.0, 3723.0)] == [
        "0.0 s",
        "59.9 s",
        "1:01",
        "1:02:03",
    ]


def test_a_comparison_says_which_run_goes_on_and_how_far_it_is():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    ticker = Ticker("[3 of 12] adam, seed 0", Stop(evaluations=100), stream)
    ticker.show({"loss": 0.25, "evaluations": 40.0, "error": 0.5})
    ticker.close()
    assert (
        "[3 of 12] adam, seed 0: 40 of 100 evaluations, error 0.5, loss 0.25" in stream.getvalue()
    )
    assert stream.getvalue().endswith("\r")


def test_a_notebook_has_one_table_that_is_brought_up_to_date(monkeypatch):
    outputs = []

    class Handle:
        def update(self, data, raw):
            outputs.append(data)

    def display(data, raw, display_id):
        assert raw
        assert display_id
        outputs.append(data)
        return Handle()

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setattr("ddopt.run.notebook.EVERY", 0.0)
    notebook = Notebook(Stop(iterations=10))
    for k in range(3):
        notebook.show({"iteration": k, "seconds": 1.0 * k, "loss": 1.0 / (k + 1), "error": 0.5})
    notebook.close()
    assert len(outputs) == 4
    last = outputs[-1]["text/plain"]
    assert all(cell in last for cell in ("0.3333", "2 of 10 iterations", "left 8.0 s"))
    assert "\x1b" not in last
    assert outputs[-1]["text/html"].startswith("<pre>")


def test_the_display_is_that_of_where_it_runs(monkeypatch):
    assert type(display_of(Stop(iterations=1))) is Progress
    shell = type("ZMQInteractiveShell", (), {})()  # by whose name a notebook is known
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)
    assert type(display_of(Stop(iterations=1))) is Notebook


@pytest.mark.parametrize("room", [20, 40, 60, 79, 120])
def test_the_line_of_a_comparison_has_whole_numbers(room):
    pieces = ["500 of 1000 evaluations", "error 0.001234", "loss 1.234e-05"]
    text = fitted("[12 of 45] sapts_d, N = 4, seed 2", pieces, room)
    assert len(text) <= room
    head, _, rest = text.partition(": ")
    kept = rest.split(", ") if rest else []
    assert kept == pieces[: len(kept)]
    assert head == "[12 of 45] sapts_d, N = 4, seed 2"[:room]
