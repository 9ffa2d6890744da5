"""Files of figures, which a notebook shows."""

from __future__ import annotations

import base64
from pathlib import Path

KINDS = {".png": "image/png", ".svg": "image/svg+xml", ".gif": "image/gif"}


class Pictures(list[Path]):
    """The paths of figures; as the last value of a notebook's cell they are shown."""

    def _repr_html_(self) -> str:
        return "".join(map(embedded, self))


def embedded(path: Path) -> str:
    """An image as HTML that needs no file; a PDF as its path."""
    kind = KINDS.get(path.suffix)
    if kind is None:
        return f"<p>{path}</p>"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{path.stem}" style="max-width: 100%" src="data:{kind};base64,{data}">'
