"""Pages of the site from the executed notebooks, with their outputs and figures; a MkDocs hook."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from mkdocs.structure.files import File

HERE = Path(__file__).parents[1] / "examples" / "notebooks"
INLINE = re.compile(r'<img alt="[^"]*"[^>]*src="data:image/png;base64,([^"]+)">')
STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
LINKS = ((r"\]\(\.\./\.\./docs/", "](../"), (r"\]\((\w+)\.ipynb", r"](\1.md"))


def on_files(files, config):
    """Add a page for each notebook, and its figures."""
    for path in sorted(HERE.glob("*.ipynb")):
        text, pictures = page(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def page(path):
    """A notebook as Markdown, and its figures by their file names."""
    pictures = {}
    lines = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for pattern, target in LINKS:
                source = re.sub(pattern, target, source)
            lines.append(source)
        elif source:
            lines.append(f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            lines.append(shown(output, path.stem, pictures))
    note = (
        f"*This page is the notebook `examples/notebooks/{path.stem}.ipynb`, executed; its source is "
        f"`{path.stem}.py` beside it. Seconds are those of a shared machine.*"
    )
    return "\n\n".join([*lines, note, ""]), pictures


def shown(output, stem, pictures):
    """An output as Markdown; figures go into ``pictures``."""
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```"
    data = output["data"]
    if "image/png" in data:
        return picture(data["image/png"], stem, pictures)
    if "text/html" in data:
        html = STYLE.sub("", "".join(data["text/html"]))
        drawn = [picture(text, stem, pictures) for text in INLINE.findall(html)]
        words = " ".join(INLINE.sub("", html).split())
        return "\n\n".join([f'<div class="output">{words}</div>', *drawn])
    return f"```text\n{''.join(data['text/plain'])}\n```"


def picture(text, stem, pictures):
    """A figure that is given in base64, as Markdown."""
    name = f"{stem}-{len(pictures) + 1}.png"
    pictures[name] = base64.b64decode("".join(text))
    return f"![Figure {len(pictures)}: the output of the code above it]({name})"
