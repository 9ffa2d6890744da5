"""Levenberg-Marquardt on physics-informed problems: the error by processor seconds of one thread.

    python examples/benchmarks/gauss_newton.py \\
        --problem burgers --seeds 0 1 2 --seconds 120 --out rows.jsonl
    python examples/benchmarks/gauss_newton.py --table rows.jsonl

The first line appends a JSON line at each mark to ``rows.jsonl``, and leaves out runs that are
complete there, so that it can be started again; a run that was cut off begins anew. What each
problem is, its points and its network stand in ``gauss_newton_problems.py``. What has to be
imported is not counted in the seconds: a step of a small problem comes before the first run.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from gauss_newton_problems import PROBLEMS, made

from ddopt_pinn.library import load

MARKS = (2, 5, 10, 20, 30, 35, 60, 120, 180, 300, 400, 600)


def known(path):
    """The lines of a file; the last one may be cut off."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def key(line):
    return line["problem"], line["solver"], line["seed"], line["limit"]


def warm_up():
    """Import what a run with Sobol points and a Jacobian imports on its way."""
    made("poisson", "levenberg_marquardt", 0).step()


def train(name, solver, seed, limit, file):
    """Train, and append a line at each mark that has been reached, and at the limit."""
    start = time.process_time()
    run = made(name, solver, seed)
    spent, iterations = time.process_time() - start, 0
    marks = [m for m in MARKS if m < limit] + [limit]
    while marks:
        start = time.process_time()
        run.step()
        spent += time.process_time() - start
        iterations += 1
        if spent < marks[0]:
            continue
        found = {"loss": run.loss, "validation": run.validation(), "error": run.error()}
        while marks and spent >= marks[0]:
            line = {
                **{"problem": name, "solver": solver, "seed": seed, "limit": limit},
                **{"mark": marks.pop(0), "seconds": round(spent, 2), "iterations": iterations},
                **{"evaluations": round(run.evaluations, 1), "n": run.size, **found},
            }
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(*(f"{one:.2g}" if isinstance(one, float) else one for one in line.values()))


def table(lines):
    """A row for each problem and solver: the median error over the seeds at each mark."""
    cells = {}
    for line in lines:
        row = cells.setdefault((line["problem"], line["solver"]), {})
        row.setdefault(line["mark"], {})[line["seed"]] = line
    marks = sorted({mark for row in cells.values() for mark in row})
    ends = ("loss", "fresh points")
    titles = ["problem", "solver", "n", "seeds", *(f"{m:g} s" for m in marks), *ends]
    print("|", " | ".join(titles), "|")
    print("|" + "---|" * len(titles))
    for (problem, solver), row in cells.items():
        last = list(row[max(row)].values())
        seeds = sorted({seed for found in row.values() for seed in found})
        shown = [_median(row[m], "error") if m in row else "" for m in marks]
        ends = [_median(row[max(row)], name) for name in ("loss", "validation")]
        print("|", " | ".join([problem, solver, str(last[0]["n"]), str(seeds), *shown, *ends]), "|")


def _median(by_seed, name):
    return f"{statistics.median(line[name] for line in by_seed.values()):.1e}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--problem", nargs="+", choices=PROBLEMS, default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--solver", default="levenberg_marquardt")
    parser.add_argument("--seconds", type=float, default=120.0, help="processor seconds of a run")
    parser.add_argument("--out", type=Path, default=Path("runs/gauss_newton.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of such a file, train nothing")
    options = parser.parse_args()
    if options.table:
        table(known(options.table))
        return
    torch.set_num_threads(1)
    load()
    warm_up()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {key(line) for line in known(options.out) if line["mark"] == line["limit"]}
    with options.out.open("a") as file:
        for seed in options.seeds:
            for name in options.problem:
                if (name, options.solver, seed, options.seconds) not in done:
                    train(name, options.solver, seed, options.seconds, file)


if __name__ == "__main__":
    main()
