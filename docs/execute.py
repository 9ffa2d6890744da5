"""Executes the worked examples, and writes the notebooks that the site shows.

Run: make notebooks, or python docs/execute.py NAME... for some of them. The sources are
examples/notebooks/*.py; what a library says on stderr (progress, advice) is not kept.
"""

from __future__ import annotations

import base64
import io
import re
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parents[1] / "examples" / "notebooks"
PATIENCE = 1800  # seconds of one cell
WIDTH = 1100  # pixels of a figure, at most
INLINE = re.compile(r'(?<=src="data:image/png;base64,)[^"]+')


def execute(source: Path) -> Path:
    """Run a source in an empty folder, and write the notebook beside it; returns its path."""
    notebook = jupytext.read(source)
    notebook.metadata.pop("jupytext", None)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=PATIENCE, resources=resources).execute()
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # a random one would change with every execution
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)  # when, to the microsecond
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
            cell.outputs = joined(cell.outputs)
            for output in cell.outputs:
                lighten(output.get("data", {}))
    target = source.with_suffix(".ipynb")
    nbformat.write(notebook, target)
    return target


def joined(outputs: list) -> list:
    """The outputs, what was printed in one piece where stderr lay between."""
    found: list = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream":
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def lighten(data: dict) -> None:
    """Make the figures of an output small enough for a repository."""
    if "image/png" in data:
        data["image/png"] = smaller(data["image/png"])
    if "text/html" in data:
        data["text/html"] = INLINE.sub(lambda found: smaller(found[0]), data["text/html"])


def smaller(text: str) -> str:
    """A PNG in base64, no wider than ``WIDTH`` and of 128 colours."""
    picture = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
    if picture.width > WIDTH:
        height = round(picture.height * WIDTH / picture.width)
        picture = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
    kept = io.BytesIO()
    picture.quantize(128).save(kept, "PNG", optimize=True)
    return base64.b64encode(kept.getvalue()).decode("ascii")


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.py"))
    for name in names:
        print(execute(HERE / f"{name}.py"))
