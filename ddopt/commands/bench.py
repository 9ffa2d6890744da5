"""``ddopt bench``: the studies that come with ddopt, by their names."""

from __future__ import annotations

from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous
from ddopt.commands.init import EXAMPLES, remark
from ddopt.commands.study import carry_out

STUDIES = EXAMPLES / "studies"
REDUCED = "_reduced"


def names() -> dict[str, Path]:
    """The studies that come with ddopt; a reduced one belongs to the one it is made of."""
    found = {path.stem: path for path in sorted(STUDIES.glob("*.toml"))}
    return {name: path for name, path in found.items() if not name.endswith(REDUCED)}


@click.command("bench")
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--reduced", is_flag=True, help="Minutes instead of hours, where there is that.")
@arguments.folder
@arguments.workers
@arguments.retry
def command(name: str | None, reduced: bool, out: Path | None, workers: int, retry: bool) -> None:
    """Run the study NAME that comes with ddopt; without NAME they are listed.

    The same command goes on where it was stopped. The page, with its figures, is in
    benchmarks/NAME, or in the folder given by --out.
    """
    with courteous():
        known = names()
        if name is None:
            width = max(map(len, known))
            for stem, path in known.items():
                click.echo(f"{stem:<{width}}  {remark(path)}")
            return
        file = chosen(name, known, reduced=reduced)
    carry_out(file, out or Path("benchmarks") / file.stem, workers=workers, retry=retry)


def chosen(name: str, known: dict[str, Path], *, reduced: bool) -> Path:
    """The file of a study; raises ``ValueError`` with the nearest name, or what is not there."""
    from ddopt.setup.registry import nearest

    if name not in known:
        raise ValueError(
            f"there is no benchmark {name!r}.{nearest(name, known)} ddopt bench lists them"
        )
    file = known[name]
    if reduced:
        file = file.with_name(f"{name}{REDUCED}.toml")
        if not file.exists():
            raise ValueError(f"benchmark {name!r} has no reduced form; leave --reduced out")
    return file
