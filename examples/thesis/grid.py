"""Repeat the grid of the SAPTS thesis (https://n2t.net/ark:/12658/srd1335040): a table and a figure
for each problem.

    python examples/thesis/grid.py --quick                        # a few minutes on two cores
    python examples/thesis/grid.py --only poisson2d               # 500 evaluations, N = 2, 4, 8
    python examples/thesis/grid.py --only mnist problem.train_samples=6000 --out runs/small
    python examples/thesis/grid.py --only poisson2d --weak        # samples proportional to N

Each cell - a variant, N and a seed - is a run folder, as ``ddopt run`` leaves it: the same command
goes on where it was killed and repeats nothing. KEY=VALUE changes a setting of every cell. With
``--processes 2`` the subdomains of a cell are shared by two processes, and its traffic is counted.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ddopt import figures
from ddopt.compare import carry_out, entry
from ddopt.compare.contest import Contest
from ddopt.compare.figure import logarithmic, panel
from ddopt.compare.score import MERITS, Outcome, Row, geometric, mean, merit_of, read
from ddopt.compare.ticker import Ticker
from ddopt.executor import Serial
from ddopt.executor.launch import launch
from ddopt.palette import MUTED, looks
from ddopt.run import files, record
from ddopt.run.folder import CONFIG, load_again, refuse_changes
from ddopt.run.running import Run
from ddopt.setup.config import Output, RunConfig, dumps, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DESCRIPTION = "Repeat the grid of the SAPTS thesis: a table and a figure for each problem."
HERE = Path(__file__).parent
PROBLEMS = ("poisson2d", "mnist", "cifar10", "shakespeare")
VARIANTS = ("sapts_d", "apts", "sapts_p", "sapts_ip", "hybrid")
AGAINST = ("trust_region", "adam", "lbfgs")
RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]  # of baselines; the best one is in the table
SHOWN = 100  # the last evaluation, or second, over the first one in a figure
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
NOTE = (
    "An evaluation is one full gradient; a trial whose gradient is never asked for counts whole. "
    "Loss and figure of merit are the last measured within the budget, the loss on the samples of "
    "the last iteration. W processes share the subdomains: traffic is theirs. Seconds, measuring "
    "included, are of this machine."
)


class Interrupted(Exception):  # noqa: N818 - it is how a grid ends, no error
    """A signal has ended a run, which is saved."""


def strategy(variant: str, count: int) -> str:
    """The change that makes a run this variant's; raises ``ValueError`` where there is none."""
    if variant == "hybrid":
        if count % 2:
            raise ValueError(f"two parts of the samples need an even N, not {count}")
        return f"strategy={{name='hybrid', parts=2, groups={count // 2}}}"
    # The thesis's 33 % overlap: each part, and a third as much again.
    overlap = f", overlap={1 / (3 * count)}" if variant == "apts" and count > 1 else ""
    return f"strategy={{name='{variant}', subdomains={count}{overlap}}}"


def obstacle(config: RunConfig) -> str:
    """Why this cell cannot be: more groups than layers, for example; empty if it can."""
    try:
        run = Run(config, Serial(), None)
        if run.engine.parts.preconditioner is not None:
            run.engine.parts.preconditioner.decomposition.split(run.problem)
    except ValueError as error:
        return str(error)
    return ""


def solve(config: RunConfig, folder: Path, processes: int) -> Outcome:
    """The cell's run: kept if it is finished, continued if it was interrupted, or made."""
    begun = (folder / CONFIG).exists()
    if begun:
        refuse_changes(folder, load_again(folder), config)
    if not carry_out.done(folder, config.stop):
        if processes == 1:
            ticker = Ticker(f"{folder.parent.name}, {folder.name}", config.stop)
            carry_out.own(entry.Strategy(config), folder, ticker)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            files.write_text(folder / CONFIG, dumps(config))
            try:
                launch(["resume", str(folder)], processes)
            except RuntimeError as error:  # of a process; it has said why
                raise ValueError(str(error)) from error
        if not carry_out.done(folder, config.stop):
            raise Interrupted
    return read(folder, config.stop)


class Grid:
    """What the cells of one problem have in common."""

    def __init__(self, problem: str, given: argparse.Namespace) -> None:
        self.problem, self.given, self.folder = problem, given, given.out / problem
        self._quick = QUICK[problem] if given.quick else []
        self.processes: dict[str, set[int]] = {}  # of the runs behind a label

    def config(self, change: str, seed: int, count: int) -> RunConfig:
        """The settings of a cell."""
        grown = WEAK[self.problem] if self.given.weak else {}
        grown = [f"{key}={each * count}" for key, each in grown.items()]
        # An outer iteration of a decomposed strategy costs as much as several others, whose
        # options are not those of a decomposition either.
        decomposed = count > 1
        own = [c for c in self.given.changes if decomposed or not c.startswith("strategy.")]
        config = load(HERE / f"{self.problem}.toml", [*self._quick, *grown, change, *own])
        output = Output(
            measure_every=config.output.measure_every * (1 if decomposed else 4),
            checkpoint_every=10 if decomposed else None,
            figures=False,
        )
        return config.model_copy(update={"seed": seed, "output": output})

    def cell(self, variant: str, count: int) -> Row | str:
        """A line of the table, or why there is none."""
        label = variant if count == 1 else f"{variant}, N = {count}"
        outcomes = []
        for seed in self.given.seeds:
            try:
                config = self.config(strategy(variant, count), seed, count)
            except ValueError as error:
                return f"{label}: {error}"
            folder = self.folder / entry.slug(label) / f"seed-{seed}"
            known = (folder / CONFIG).exists()
            if not known and (reason := obstacle(config)):
                return f"{label}: {reason}"
            outcomes.append(solve(config, folder, min(count, self.given.processes)))
            summary = json.loads((folder / record.SUMMARY).read_text(encoding="utf-8"))
            self.processes.setdefault(label, set()).add(summary["processes"])
            told = f"{outcomes[-1].last('loss'):.2e} after {outcomes[-1].last('seconds'):.3g} s"
            print(f"{self.problem}, {label}, seed {seed}: loss {told}", file=sys.stderr)
        return Row(label, outcomes, count, look=entry.Strategy(config).look)

    def baseline(self, name: str) -> Row | str:
        """Another optimizer, at its best learning rate on the first seed if it has one."""
        row, rates = None, RATES
        for seed in self.given.seeds:
            config = self.config("strategy=trust_region", seed, 1)
            (opponent,) = entry.opponents(config, [name])
            if name == "lbfgs" and config.sampling.component.name != "full":
                return "lbfgs: needs all samples, and this problem has mini-batches"
            every = (config.stop.evaluations or 1000.0) / 50
            contest = Contest(self.folder, config.stop, 1, rates, every, lambda line: None)
            contest.claim(config)
            found = contest.opponent(opponent)
            row = replace(row, outcomes=[*row.outcomes, *found.outcomes]) if row else found
            rates = [found.rate] if found.rate else rates
        assert row is not None
        return row

    def rows(self) -> tuple[list[Row], list[str]]:
        """All cells that can be, and why the others cannot."""
        given = self.given
        found = [self.cell(variant, n) for variant in given.variants for n in given.subdomains]
        for name in () if given.weak else given.against:
            found.append(self.cell(name, 1) if name == "trust_region" else self.baseline(name))
        return [x for x in found if isinstance(x, Row)], [x for x in found if isinstance(x, str)]

    def title(self) -> str:
        """What is shown, and in what it is not the thesis's problem."""
        kinds = [kind for kind in ("quick", "weak") if getattr(self.given, kind)]
        changed = dict(change.split("=", 1) for change in [*self._quick, *self.given.changes])
        settings = [f"{key}={value}" for key, value in changed.items()]
        grown = ["samples proportional to N"] if self.given.weak else []
        parts = ", ".join([*grown, *settings])
        return " ".join(
            [self.problem, *(kind.upper() for kind in kinds), *([f"({parts})"] if parts else [])]
        )


def average(
    row: Row,
    key: str,
    middle: Callable[[Sequence[float]], float] = mean,
    form: str = "",
    scale: float = 1.0,
) -> str:
    """A mean over the seeds; a dash where it was not counted."""
    value = middle(row.values(key)) * scale
    form = form or ("{:,.0f}" if value >= 100.0 else "{:.3g}")
    return "-" if math.isnan(value) else form.format(value)


def table(grid: Grid, rows: list[Row], missing: list[str]) -> str:
    """The table of a problem, in markdown."""
    merit = merit_of(rows)
    head = [
        *("method", "loss", merit.label, "evaluations per process", "total"),
        *("steps taken", "refused", "W", "collectives", "MB sent", "s"),
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        processes = grid.processes.get(row.label, {1})
        sent = processes != {1}
        cells = [
            row.title,
            average(row, "loss", geometric, "{:.1e}"),
            average(row, merit.key, *((mean, "{:.1%}") if merit.higher else (geometric, "{:.1e}"))),
            average(row, "evaluations"),
            average(row, "evaluations_total"),
            average(row, "accepted"),
            average(row, "rejected"),
            " and ".join(map(str, sorted(processes))),
            average(row, "collectives") if sent else "-",
            average(row, "bytes_sent", scale=1e-6) if sent else "-",
            average(row, "seconds"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    given = grid.given
    of = f"Seeds {', '.join(map(str, given.seeds))}. {NOTE}"
    absent = [f"Not run: {reason}." for reason in missing]
    return "\n\n".join([f"## {grid.title()}", "\n".join(lines), of, *absent]) + "\n"


def figure(grid: Grid, rows: list[Row]) -> Path:
    """Loss and figure of merit against what was paid: a look a variant, a mark an N."""
    found = looks((row.label.partition(",")[0], row.look) for row in rows)
    merits = list(dict.fromkeys([MERITS[-1], merit_of(rows)]))
    made = figures.figure(12.5, 3.6 * len(merits) + 0.7)
    seeds = "one seed" if len(grid.given.seeds) == 1 else "median and range of the seeds"
    figures.heading(made, grid.title(), f"Thesis grid; {seeds}")
    axes = made.subplots(len(merits), 2, squeeze=False, sharey="row")
    for line, merit in zip(axes, merits, strict=True):
        for one, key, label in (
            (line[0], "evaluations", "evaluations per process"),
            (line[1], "seconds", "seconds"),
        ):
            panel(one, rows, key, merit, found)
            logarithmic(one)
            last = max(outcome.last(key) for row in rows for outcome in row.outcomes)
            one.set_xlim(last / SHOWN, last * 1.1)
            one.set_xlabel(label, fontsize=9.5, color=MUTED)
        line[1].set_ylabel("")
    handles, labels = axes[0][0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    return figures.save(made, grid.folder / "figure.png")


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


def main(arguments: list[str] | None = None) -> int:
    """Run the grid; the exit code is 130 where it was interrupted, 2 where a problem failed."""
    from torch.distributed.elastic.multiprocessing.api import SignalException

    given, code = options(arguments), 0
    for problem in given.only:
        grid = Grid(problem, given)
        try:
            if given.weak and problem not in WEAK:
                raise ValueError("its samples are one text, which does not grow; leave --weak out")
            carry_out.warm(grid.config("strategy=trust_region", given.seeds[0], 1))
            rows, missing = grid.rows()
        except (ValueError, ModuleNotFoundError) as error:
            print(f"{problem}: {error}", file=sys.stderr)
            code = 2
            continue
        except (Interrupted, SignalException, KeyboardInterrupt):
            print("interrupted; the same command goes on from here", file=sys.stderr)
            return 130
        text = table(grid, rows, missing) if rows else "\n".join(missing)
        print(text)
        if rows:
            files.write_text(grid.folder / "table.md", text)
            print(figure(grid, rows), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
