"""``ddopt init``: write a run file to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from ddopt.commands.errors import courteous

EXAMPLES = Path(__file__).parent.parent / "examples"
FIRST = "poisson2d"


@click.command("init")
@click.argument("example", required=False, metavar="[EXAMPLE]")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where it goes.")
@click.option("--list", "listing", is_flag=True, help="List the examples.")
def command(example: str | None, out: Path | None, listing: bool) -> None:
    """Write the run file EXAMPLE into this folder; by default poisson2d."""
    with courteous():
        found = examples()
        if listing:
            width = max(map(len, found))
            for name, path in found.items():
                click.echo(f"{name:<{width}}  {remark(path)}")
            return
        source = found.get(example or FIRST)
        if source is None:
            from ddopt.setup.registry import nearest

            raise ValueError(
                f"there is no example {example!r}.{nearest(str(example), found)} "
                "ddopt init --list shows them"
            )
        target = out or Path(source.name)
        if target.exists():
            raise ValueError(f"{target} is there already; choose another name with --out")
        target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    click.echo(f"wrote {target}; train with: ddopt run {target}")


def examples() -> dict[str, Path]:
    """The run files that come with ddopt, by name; one of a name that two have has its folder."""
    files = [*EXAMPLES.glob("*.toml"), *EXAMPLES.glob("*/*.toml")]  # deeper are those of plugins
    files = [path for path in files if path.parent.name != "studies"]  # no run files
    paths = sorted(files, key=lambda path: (len(path.parts), path))
    found: dict[str, Path] = {}
    for path in paths:
        taken = path.stem in found
        found[f"{path.parent.name}/{path.stem}" if taken else path.stem] = path
    return found


def remark(path: Path) -> str:
    """The first comment of a run file, in one line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    said = []
    for line in lines:
        if not line.startswith("#"):
            break
        said.append(line.lstrip("# "))
    return " ".join(said).partition(". ")[0].rstrip(".")
