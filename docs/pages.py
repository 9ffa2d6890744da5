"""What MkDocs does not do by itself: pages that the code writes, links, formulas.

Used by mkdocs.yml as a hook. Reference pages are made from the code when the site is built, so that
they cannot lag behind it. Formulas become MathML here, so that no page needs a script for them.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
UPWARDS = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)#]*)(?:#[^)]*)?\)")
ROOTED = re.compile(r"\[([^\]]*)\]\([A-Z_]+(?:\.md)?\)")  # links to files beside the README
NUMBER = re.compile(r"(?<![\w.-])(\d+(?:\.\d+)?e-\d+)(?![^<]*>)")  # no attribute of a tag
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
API = {
    "Train, and look at what came of it": (
        "train",
        "load",
        "compare_methods",
        "Result",
        "Comparison",
    ),
    "Optimizers": ("TrustRegion", "LevenbergMarquardt", "LeastSquares", "SAPTS"),
    "Problems": (
        *("Task", "Setting", "Problem", "AutogradProblem", "LayeredProblem", "Layer"),
        *("Point", "Samples", "Sampling", "Layout", "Parameters"),
    ),
    "Subdomains and steps": (
        *("Decomposition", "Subdomain", "Solver", "Answer", "Hessian"),
        *("Model", "Diagonalised", "Ellipsoidal", "Regularised"),
        *("Subproblem", "Candidate", "BallMinimum", "minimise_in_ball"),
        *("Recombination", "Corrections", "Recombined"),
        *("Acceptance", "Verdict", "RadiusRule", "Trial"),
    ),
    "Methods": (
        "Strategy",
        "Parts",
        "Preconditioner",
        "GlobalPass",
        "Engine",
        "StepReport",
        "Executor",
    ),
    "Components and plugins": (
        "Component",
        "Settings",
        "Chosen",
        "Registry",
        "hookimpl",
        "load_plugin",
    ),
}


def on_config(config):
    """Headings have the anchors that GitHub gives them, so that links hold in both places."""
    from ddopt.setup.plugins import manager

    config.mdx_configs["toc"]["slugify"] = slug
    seams = dict.fromkeys(seam for seam, _, _ in manager().registry)
    for section in config.nav:
        for page in section.get("Reference", []):
            if "Options" in page:
                pages = [{seam: f"reference/options/{seam}.md"} for seam in seams]
                page["Options"] = [{"Run file": page["Options"]}, *pages]
    return config


def slug(text, separator):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", html.unescape(text).lower()).replace(" ", separator)


def on_files(files, config):
    """Add the pages that are written by code, and those that lie outside the folder."""
    for path, text in {**copied(), **reference()}.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(text, page, config, files):
    """A link to a source file becomes its path: the site shows no files."""

    def kept(found):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), found[2]))
        return found[1] if target.startswith("..") else found[0]

    return UPWARDS.sub(kept, text)


def on_page_content(text, page, config, files):
    """Formulas as MathML, and numbers such as 1e-3 that no line ends in."""

    def written(found):
        block = found[2] == "["
        shown = convert(html.unescape(found[3]), display="block" if block else "inline")
        return f'<{found[1]} class="arithmatex">{shown}</{found[1]}>'

    return FORMULA.sub(written, NUMBER.sub(r'<span class="number">\1</span>', text))


def copied():
    """Pages from the root of the project."""
    pages = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
    texts = {page: (ROOT / file).read_text(encoding="utf-8") for page, file in pages.items()}
    return {page: ROOTED.sub(r"\1", text.replace("](docs/", "](")) for page, text in texts.items()}


def reference():
    """The pages of the reference, by path."""
    return {
        "reference/api.md": api(),
        "reference/hooks.md": hooks(),
        "reference/commands.md": commands(),
        "reference/columns.md": columns(),
        **options(),
    }


def api():
    """Every public name."""
    import ddopt

    told = {name for names in API.values() for name in names}
    missing = set(ddopt.__all__) - told - {"__version__"}
    if missing or told - set(ddopt.__all__):
        raise ValueError(f"docs/pages.py, API: {missing or told - set(ddopt.__all__)}")
    lines = [
        "# Python names\n\n`import ddopt` gives these names, and imports torch when one is used.\n"
    ]
    for heading, names in API.items():
        lines += [f"\n## {heading}\n", *(f"\n::: ddopt.{name}\n" for name in names)]
    return "".join(lines)


def options():
    """One page for each seam, and one with the keys of a run file."""
    from ddopt.setup.config import RunConfig
    from ddopt.setup.reference import entries, options_of

    by_seam = {}
    for entry in entries():
        by_seam.setdefault(entry.seam, []).append(entry)
    index = [
        "# Options\n\nThe keys of a run file. A key whose value is a component takes a name, or a table "
        "with a `name` and the component's options. `ddopt options NAME` prints the same.\n\n",
        table(options_of(RunConfig)),
        "\n## Components\n\n| seam | components |\n|---|---|\n",
        *(f"| [{seam}]({seam}.md) | {listed(seam, found)} |\n" for seam, found in by_seam.items()),
    ]
    pages = {"reference/options/index.md": "".join(index)}
    for seam, found in by_seam.items():
        lines = [f"# Options: {seam}\n"]
        for entry in found:
            lines.append(f"\n## {entry.name}\n\n{plain(entry.sentence)}\n\n{table(entry.options)}")
        pages[f"reference/options/{seam}.md"] = "".join(lines)
    return pages


def listed(seam, found):
    """The components of a seam, each a link to its options."""
    return ", ".join(f"[`{one.name}`]({seam}.md#{slug(one.name, '-')})" for one in found)


def table(found):
    """Options as a table."""
    if not found:
        return "It has no options.\n"
    lines = ["| option | default | takes | meaning |", "|---|---|---|---|"]
    for one in found:
        default = "must be given" if one.required else f"`{one.default}`" if one.default else ""
        lines.append(f"| `{one.key}` | {default} | {plain(one.allowed)} | {plain(one.meaning)} |")
    return "\n".join(lines) + "\n"


def plain(text):
    """Text of a docstring as Markdown: nothing in it is a tag or the end of a cell."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text.replace("``", "`"))
    for sign, told in (
        ("|", "&#124;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("*", "&#42;"),
        ("$", "&#36;"),
    ):
        text = text.replace(sign, told)
    return text.replace("[", "&#91;").replace("_", "&#95;") if "`" not in text else text


def hooks():
    """The hooks of plugins, with their arguments."""
    from ddopt.setup import hookspecs

    lines = [
        "# Hooks\n\nA plugin implements any of these functions, marked with `@ddopt.hookimpl`, and takes "
        "those of the arguments that it needs ([how](../plugins.md#hooks)).\n"
    ]
    for name, spec in vars(hookspecs).items():
        if name.startswith("ddopt_"):
            given = ", ".join(spec.__code__.co_varnames[: spec.__code__.co_argcount])
            lines.append(f"\n## {name}\n\n`{name}({given})`\n\n{plain(spec.__doc__)}\n")
    return "".join(lines)


def commands():
    """What every command says of itself."""
    import click

    from ddopt.cli import cli

    context = click.Context(cli, info_name="ddopt", max_content_width=88, terminal_width=88)
    lines = ["# Command line\n"]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        inner = click.Context(command, parent=context, info_name=name, terminal_width=88)
        lines.append(f"\n## ddopt {name}\n\n```text\n{command.get_help(inner)}\n```\n")
    lines.append(
        "\n## Exit codes\n\n| code | when |\n|---|---|\n| 0 | the run, or the comparison, came to its end |\n"
        "| 2 | something that the user can mend; one message says what |\n"
        "| 3 | the loss, or a derivative of it, was not finite |\n| 130 | Ctrl-C or SIGTERM |\n"
    )
    return "".join(lines)


def columns():
    """The columns of a run's record."""
    from ddopt.run.columns import MERITS, METRICS, SUMMARY

    def rows(found):
        return "".join(f"| `{key}` | {plain(text)} |\n" for key, text in found.items())

    head = "| key | meaning |\n|---|---|\n"
    return (
        "# Columns of a run\n\n## metrics.jsonl\n\nOne line for each outer iteration. A number that is "
        f"not finite is null.\n\n{head}{rows(METRICS)}\n## Figures of merit\n\nThey stand in the lines "
        "in which they were measured, and in the summary. A problem may report more, such as the "
        f"unknown coefficients of an inverse problem.\n\n{head}{rows(MERITS)}\n## summary.json\n\n{head}{rows(SUMMARY)}"
    )
