"""What a run file and a command line may hold, and how a message shows what is longer.

Free of everything else, so that whoever writes a message can use it.
"""

from __future__ import annotations

import sys
from typing import Any

DEPTH = 20  # tables and lists inside each other; components nest a handful deep
KEY = 200  # characters of one key
LARGEST = 2**63 - 1  # TOML's integers have 64 bits, as torch's have
SHOWN = 60  # characters of a value in a message
NESTED = f"it is nested more than {DEPTH} deep; no setting is"


def brief(value: object, limit: int = SHOWN) -> str:
    """``value`` as a message shows it: as it is written in Python, cut where it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 4]}...{text[0] if value else ''}"


def refuse_extremes(table: dict[str, Any], path: str = "") -> None:
    """Raise ``ValueError`` naming the key for what no setting is, before anything computes with it.

    That is a table deeper than any, a key longer than any, an integer of more than 64 bits, and a
    number so near to zero that its digits are lost. Whoever walks a table later may then recurse.
    """
    waiting: list[tuple[str, Any, int]] = [(path, table, 1)]
    while waiting:
        path, value, depth = waiting.pop()
        if depth > DEPTH:
            raise ValueError(f"{path[:SHOWN]}...: {NESTED}")
        if isinstance(value, dict):
            for key, inner in value.items():
                if len(key) > KEY:
                    raise ValueError(f"{brief(key)} is a key of {len(key)} characters; none is")
                waiting.append((f"{path}.{key}".lstrip("."), inner, depth + 1))
        elif isinstance(value, list):
            waiting += [(path, inner, depth + 1) for inner in value]
        elif isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"{path}: a whole number of at most 64 bits is expected")
        elif isinstance(value, float) and 0.0 < abs(value) < sys.float_info.min:
            raise ValueError(
                f"{path}: {value!r} is below the smallest number with all its digits, "
                f"{sys.float_info.min:.3g}; give 0 or a larger one"
            )
