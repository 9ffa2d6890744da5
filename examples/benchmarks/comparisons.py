"""One table out of many comparisons: a row for each problem, a column for each method.

    for problem in poisson1d burgers; do ddopt compare examples/pinn/$problem.toml; done
    python examples/benchmarks/comparisons.py comparisons/*

Each cell is the mean over the seeds (geometric, for errors and losses); the best is bold. What has
not been run is a dash.
"""

import argparse
import json
from pathlib import Path


def label(row):
    return row["method"] + (" (tuned)" if row["tried_rates"] else "")


def cell(found, row):
    value = row["mean"] if found["higher_is_better"] else row["geometric_mean"]
    if value is None:
        return "diverged"
    shown = f"{value:.2%}" if found["higher_is_better"] else f"{value:.1e}"
    return f"**{shown}**" if row is found["rows"][0] else shown


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders of ddopt compare")
    folders = [f for f in parser.parse_args().folders if (f / "table.json").exists()]
    tables = {f.name: json.loads((f / "table.json").read_text()) for f in folders}
    columns = dict.fromkeys(label(row) for found in tables.values() for row in found["rows"])
    print(f"| problem | seeds | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 2) + "|")
    for name, found in tables.items():
        rows = {label(row): row for row in found["rows"]}
        seeds = len(found["rows"][0]["seeds"]["loss"])
        cells = [cell(found, rows[one]) if one in rows else "-" for one in columns]
        print(f"| `{name}` | {seeds} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
