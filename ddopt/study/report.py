"""What a study came to, in markdown and in LaTeX; made of the tidy table alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ddopt.compare import table as comparison
from ddopt.compare.score import WORK, mean, merit_of
from ddopt.run import files
from ddopt.study import tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddopt.compare.score import Merit, Outcome, Row
    from ddopt.study.settings import Study

MARKDOWN, LATEX = "table.md", "table.tex"
ESCAPED = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {"±": r"$\pm$", "−": "$-$"})


def reached(outcome: Outcome, merit: Merit, target: float, key: str) -> float:
    """What a run had paid when it first measured the target; infinite if it never did."""
    for line in outcome.lines:
        value = line.get(merit.key)
        if value is not None and (value >= target if merit.higher else value <= target):
            return float(line[key])
    return math.inf


def to_target(row: Row, merit: Merit, target: float, key: str) -> str:
    """The mean over the seeds that got there, and how many did if not all; a dash if none."""
    found = [reached(outcome, merit, target, key) for outcome in row.outcomes]
    there = [value for value in found if math.isfinite(value)]
    if not there:
        return "–"
    share = "" if len(there) == len(found) else f" ({len(there)} of {len(found)})"
    value = mean(there)
    return (f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}") + share


def cells(rows: Sequence[Row], study: Study) -> tuple[list[str], list[list[str]]]:
    """Head and body of one problem's table: a comparison's, with targets and further columns."""
    rows = [row for row in rows if row.outcomes]
    if not rows:
        return [], []
    merit = merit_of(rows)
    head, body = comparison.cells(rows, merit)
    for target in study.targets:
        goal = f"{target:.0%}" if merit.higher else f"{target:.0e}"
        head += [f"evaluations to {goal}", f"cpu s to {goal}"]
    head += study.columns
    for row, line in zip(comparison.ranked(rows, merit), body, strict=True):
        for target in study.targets:
            line += [to_target(row, merit, target, key) for key in ("evaluations", WORK)]
        for key in study.columns:
            value = mean(row.values(key))
            line.append("–" if math.isnan(value) else f"{value:,.4g}")
    return head, body


def notes(rows: Sequence[Row], published: str) -> list[str]:
    """What one must know of a problem's table: sweeps, failures, what others have published."""
    said = [f"Published: {published}"] if published else []
    for row in rows:
        if row.tried:
            said.append(comparison.swept(row))
    failed = [reason for row in rows for reason in row.failures]
    return said + [f"Without a result: {reason}." for reason in failed]


def write(folder: Path, study: Study, title: str, pictures: Sequence[Path] = ()) -> str:
    """Write ``table.md``, with pictures, and ``table.tex``; returns the former."""
    found = tidy.rows(tidy.read(folder))
    published = {p.name or Path(p.run).stem: p.published for p in study.problems}
    text = [f"# {title}", *([study.about] if study.about else [])]
    latex = []
    for problem, rows in found.items():
        head, body = cells(rows, study)
        if len(found) > 1:
            text.append(f"## {problem}")
        if head:
            text.append(_markdown(head, body))
            latex.append(_latex(head, body, f"{title}: {problem}" if len(found) > 1 else title))
        text += notes(rows, published.get(problem, ""))
        own = [path for path in pictures if path.parent.name == problem and path.parent != folder]
        text += [_image(folder, path, problem) for path in own]
    text += [_image(folder, path, title) for path in pictures if path.parent == folder]
    budgets = "Mean ± std over the seeds; the first column is geometric where it is an error."
    text += [budgets, comparison.COUNTING]
    whole = "\n\n".join(text) + "\n"
    files.write_text(folder / MARKDOWN, whole)
    files.write_text(folder / LATEX, "\n".join(latex))
    return whole


def _image(folder: Path, path: Path, title: str) -> str:
    return f"![{title}](<{path.relative_to(folder).as_posix()}>)"


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _latex(head: Sequence[str], body: Sequence[Sequence[str]], caption: str) -> str:
    """A table for ``booktabs``."""

    def line(texts: Sequence[str]) -> str:
        return " & ".join(text.translate(ESCAPED) for text in texts) + r" \\"

    columns = "l" + "r" * (len(head) - 1)
    return "\n".join(
        [
            r"\begin{table}",
            rf"  \caption{{{caption.translate(ESCAPED)}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {line(head)}",
            r"    \midrule",
            *(f"    {line(texts)}" for texts in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )
