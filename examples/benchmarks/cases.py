"""Runs named cases with several seeds, one JSON line a run, and prints a table row a case.

A file given by ``--out`` is appended to; runs that it has already are not repeated, so a benchmark
that was stopped goes on where it was.
"""

import argparse
import json
import math
import statistics
from pathlib import Path

import torch

from ddopt_pinn.library import building

COLUMNS = {"unknowns": ",d", "seconds": ".1f", "error": ".1e"}


def arguments(description):
    """What every benchmark of this kind can be told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", help="beginnings of the cases; all by default")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ..")
    parser.add_argument("--out", type=Path, help="a file of JSON lines: appended to, read first")
    return parser


def known(path):
    """The runs of a file by case and seed; a line that was cut off is left out."""
    found = {}
    for line in path.read_text().splitlines() if path is not None and path.exists() else []:
        try:
            run = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[run["case"], run["seed"]] = run
    return found


def noted(path, run):
    """Append a run to a file, on a line of its own whatever was cut off before."""
    if path is not None:
        whole = not path.exists() or path.read_text()[-1:] in ("", "\n")
        with path.open("a") as file:
            file.write(("" if whole else "\n") + json.dumps(run, ensure_ascii=False) + "\n")


def main(cases, description, more=None):
    """Run the cases that the command line asks for.

    ``cases`` are functions of a seed that return a dictionary with the numbers of ``COLUMNS``, and
    of ``more``, {column: format}. The medians are printed, and the worst error.
    """
    options = arguments(description).parse_args()
    torch.set_num_threads(1)
    columns = {**COLUMNS, **(more or {})}
    print(f"| problem | seeds | {' | '.join(columns)} | worst |")
    print("|---" * (len(columns) + 3) + "|", flush=True)
    before = known(options.out)
    for name, case in cases.items():
        if options.names and not any(name.startswith(one) for one in options.names):
            continue
        runs = []
        for seed in range(options.seeds):
            run = before.get((name, seed))
            if run is None:
                with building(seed, torch.float64):
                    run = {"case": name, "seed": seed, **case(seed)}
                noted(options.out, run)
            runs.append(run)
        print(row(name, runs, columns), flush=True)


def row(name, runs, columns):
    """A row of the table."""
    cells = []
    for column, shape in columns.items():
        middle = statistics.median(run.get(column, math.nan) for run in runs)
        cells.append(format(int(middle) if shape.endswith("d") else middle, shape))
    worst = max(run["error"] for run in runs)
    return f"| {name} | {len(runs)} | {' | '.join(cells)} | {worst:.1e} |"
