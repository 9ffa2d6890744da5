"""Repeat the grid of the SAPTS thesis (https://n2t.net/ark:/12658/srd1335040): a table and a figure
for each problem.

    python examples/thesis/grid.py --quick                        # a few minutes on two cores
    python examples/thesis/grid.py --only poisson2d               # 500 evaluations, N = 2, 4, 8
    python examples/thesis/grid.py --only mnist problem.train_samples=6000 --out runs/small
    python examples/thesis/grid.py --only poisson2d --weak        # samples proportional to N

Each problem is a study (``ddopt study``), which this script writes down and holds: the same command
goes on where it was killed and repeats nothing. KEY=VALUE changes a setting of every cell. With
``--processes 2`` the subdomains of a cell are shared by two processes, and its traffic is counted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ddopt.setup.config import load
from ddopt.setup.overrides import parse
from ddopt.study.hold import hold
from ddopt.study.report import MARKDOWN
from ddopt.study.settings import Study

DESCRIPTION = "Repeat the grid of the SAPTS thesis: a table and a figure for each problem."
HERE = Path(__file__).parent
PROBLEMS = ("poisson2d", "mnist", "cifar10", "shakespeare")
VARIANTS = ("sapts_d", "apts", "sapts_p", "sapts_ip", "hybrid")
AGAINST = ("trust_region", "adam", "lbfgs")
RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]  # of baselines; the best one is in the table
COLUMNS = ["accepted", "rejected", "collectives", "bytes_sent"]
QUICK = {
    "poisson2d": ["problem.interior=500", "stop.evaluations=120"],
    "mnist": [
        *("problem.train_samples=1000", "problem.test_samples=1000", "sampling.size=250"),
        "stop.evaluations=15",
    ],
    "cifar10": ["problem.train_samples=2000", "problem.test_samples=1000", "sampling.size=500"],
    "shakespeare": ["problem.validation_samples=200", "stop.evaluations=1"],
}
WEAK = {  # what grows with N, and how much of it each subdomain gets
    "poisson2d": {"problem.interior": 125, "problem.boundary": 10},
    "mnist": {"problem.train_samples": 7_500, "sampling.size": 125},
    "cifar10": {"problem.train_samples": 6_250, "sampling.size": 125},
}


def strategy(variant: str, count: int) -> dict[str, Any]:
    """A variant as a run file has it; raises ``ValueError`` where there is none."""
    if variant == "hybrid":
        if count % 2:
            raise ValueError(f"two parts of the samples need an even N, not {count}")
        return {"name": "hybrid", "parts": 2, "groups": count // 2}
    found: dict[str, Any] = {"name": variant, "subdomains": count}
    if variant == "apts" and count > 1:
        found["overlap"] = 1 / (3 * count)  # the thesis's 33 %: each part, and a third of it more
    return found


def dotted(changes: list[str]) -> dict[str, Any]:
    """KEY=VALUE as dotted keys and values."""
    return {".".join(path): value for path, value in map(parse, changes)}


def methods(problem: str, given: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """The methods of a problem's study, and why others cannot be."""
    own = {key: v for key, v in dotted(given.changes).items() if key.startswith("strategy.")}
    found, missing = [], []
    for variant in given.variants:
        for count in given.subdomains:
            label = variant if count == 1 else f"{variant}, N = {count}"
            grown = WEAK[problem] if given.weak else {}
            try:
                table = strategy(variant, count)
            except ValueError as error:
                missing.append(f"{label}: {error}")
                continue
            changes = {key: each * count for key, each in grown.items()}
            # What is said of a decomposition says nothing to what has none.
            changes |= {"strategy": table, **(own if count > 1 else {})}
            processes = min(count, given.processes)
            found.append({"name": label, "set": changes, "processes": processes})
    batches = load(HERE / f"{problem}.toml").sampling.component.name != "full"
    for name in () if given.weak else given.against:
        if name == "lbfgs" and batches:
            missing.append("lbfgs: needs all samples, and this problem has mini-batches")
        elif name == "trust_region":
            found.append({"name": name, "set": {"strategy": name}})
        else:
            found.append({"baseline": name, "set": {"strategy": "trust_region"}})
    return found, missing


def study(problem: str, given: argparse.Namespace) -> Study:
    """The study of a problem."""
    changes = [*(QUICK[problem] if given.quick else []), *given.changes]
    settings = {k: v for k, v in dotted(changes).items() if not k.startswith("strategy.")}
    kinds = [kind for kind in ("quick", "weak") if getattr(given, kind)]
    stop = load(HERE / f"{problem}.toml", [c for c in changes if c.startswith("stop.")]).stop
    found, missing = methods(problem, given)
    if not found:
        raise ValueError("; ".join(missing))
    reduced = f" Other than in the thesis: {', '.join(changes)}." if changes else ""
    absent = "".join(f" Not run: {reason}." for reason in missing)
    return Study.model_validate(
        {
            "title": " ".join([problem, *map(str.upper, kinds)]),
            "about": f"The grid of the thesis.{reduced}{absent}",
            "run": f"{problem}.toml",
            "set": {k: v for k, v in settings.items() if not k.startswith("stop.")},
            "stop": stop.model_dump(),
            "seeds": given.seeds,
            "rates": RATES,
            "every": (stop.evaluations or 1000.0) / 50,
            "columns": COLUMNS,
            "methods": found,
        }
    )


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=f"{DESCRIPTION} KEY=VALUE changes a setting of every cell.",
    )
    parser.add_argument("--only", nargs="+", choices=PROBLEMS, help="problems; all, or quick: two")
    parser.add_argument("--variants", nargs="*", default=VARIANTS, help="strategies")
    parser.add_argument("--against", nargs="*", default=AGAINST, help="trust_region and baselines")
    parser.add_argument("--subdomains", type=int, nargs="+", metavar="N", help="2 4 8; quick: 2 4")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--quick", action="store_true", help="fewer samples, shorter: no thesis")
    parser.add_argument("--weak", action="store_true", help="weak scaling: samples grow with N")
    parser.add_argument("--processes", type=int, default=1, metavar="W", help="of each cell")
    parser.add_argument("--workers", type=int, default=1, metavar="K", help="cells at a time")
    parser.add_argument("--retry", action="store_true", help="run again what has failed")
    parser.add_argument("--out", type=Path, metavar="DIR", help="runs/thesis, -quick, -weak")
    words = sys.argv[1:] if arguments is None else arguments
    changes = [word for word in words if "=" in word and not word.startswith("-")]
    given = parser.parse_args([word for word in words if word not in changes])
    given.changes = changes
    for change in changes:
        if change.startswith(("seed=", "strategy=")):
            parser.error(f"{change}: cells have these from --seeds and --variants")
    given.only = given.only or (PROBLEMS[:2] if given.quick else PROBLEMS)
    given.subdomains = given.subdomains or ([2, 4] if given.quick else [2, 4, 8])
    name = "thesis" + "-quick" * given.quick + "-weak" * given.weak
    given.out = given.out or Path("runs") / name
    return given


def told(line: str) -> None:
    """What is going on goes to where it does not mix with the tables."""
    print(line, file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the grid; the exit code is 130 where it was interrupted, 2 where a problem failed."""
    given, code = options(arguments), 0
    for problem in given.only:
        folder, file = given.out / problem, HERE / f"{problem}.toml"
        try:
            if given.weak and problem not in WEAK:
                raise ValueError("its samples are one text, which does not grow; leave --weak out")
            asked = study(problem, given)
            over = hold(asked, file, folder, told, workers=given.workers, retry=given.retry)
        except (ValueError, ModuleNotFoundError) as error:
            print(f"{problem}: {error}", file=sys.stderr)
            code = 2
            continue
        except KeyboardInterrupt:
            over = False
        if not over:
            print("interrupted; the same command goes on from here", file=sys.stderr)
            return 130
        print((folder / MARKDOWN).read_text(encoding="utf-8"))
    return code


if __name__ == "__main__":
    sys.exit(main())
