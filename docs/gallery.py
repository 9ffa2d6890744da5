"""Runs the commands of the page gallery.md, and puts their figures into docs/images/gallery.

Run: python docs/gallery.py [NAME...], where NAME is the last part of --out.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
WIDTH, COLOURS = 1400, 200


def runs(text: str) -> dict[str, list[str]]:
    """The commands of the page, by the names of their run folders."""
    found = [shlex.split(line) for line in re.findall(r"^ddopt run .*$", text, re.MULTILINE)]
    return {Path(words[-1]).name: words for words in found}


def carry_out(name: str, words: list[str]) -> Path:
    """Run a command in an empty folder, and keep its figure; returns the figure's path."""
    target = HERE / "images" / "gallery" / f"{name}.png"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(HERE.parent / "examples")
        subprocess.run([sys.executable, "-m", *words], cwd=folder, check=True)
        picture = Image.open(Path(folder) / words[-1] / "figure.png").convert("RGB")
    height = round(picture.height * WIDTH / picture.width)
    picture = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
    target.parent.mkdir(exist_ok=True)
    picture.quantize(COLOURS).save(target, optimize=True)
    return target


if __name__ == "__main__":
    commands = runs((HERE / "gallery.md").read_text("utf-8"))
    for name in sys.argv[1:] or commands:
        print(carry_out(name, commands[name]))
