"""Colours and line styles: a method has the same look in every figure.

The colours differ for readers who do not see red or green (ΔE of at least 20 in CIE 1976, as
Machado, Oliveira and Fernandes 2009 simulate it), in grey (lightness at least 5 apart), and from
white paper (contrast 3:1; text 4.5:1). Line styles say the same once more: of two looks with one
style the lightnesses are at least 14 apart, so that thin lines differ on a grey printer too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

INK = "#22303c"  # of text
MUTED = "#5b6874"  # of text that steps back, and of axes
FAINT = "#e3e8ec"  # of grids
BLACK, PLUM, BRICK = "#0b1008", "#3d0542", "#8b2616"
BLUE, OLIVE, OCHRE, SKY = "#2e59be", "#607b53", "#af780b", "#279cd4"
COLOURS = (BLUE, BRICK, SKY, OCHRE, OLIVE, PLUM, BLACK)
SOLID, DASHED, DOTTED = "-", (0, (5, 1.6)), (0, (1.2, 1.4))
DOT_DASHED, LONG_DASHED = (0, (5, 1.4, 1.2, 1.4)), (0, (9, 2))
DOTS_DASHED = (0, (5, 1.4, 1.2, 1.4, 1.2, 1.4))
MARKS = ("", "o", "s", "^", "D", "v")  # of one method with several numbers of subdomains


@dataclass(frozen=True)
class Look:
    """How one method is drawn."""

    colour: str
    style: Any = SOLID
    mark: str = ""

    def line(self) -> dict[str, Any]:
        """The arguments of ``Axes.plot``."""
        marked = {"marker": self.mark, "markersize": 4.5, "markevery": 0.12} if self.mark else {}
        return {"color": self.colour, "linestyle": self.style, **marked}


LOOKS = (
    Look(BLUE),
    Look(BRICK, LONG_DASHED),
    Look(SKY, LONG_DASHED),
    Look(PLUM, LONG_DASHED),
    Look(OLIVE, DOTS_DASHED),
    Look(PLUM),
    Look(OCHRE, DASHED),
    Look(BLACK, DOT_DASHED),
    Look(SKY, DOTTED),
    Look(PLUM, DASHED),
    Look(PLUM, DOTTED),
    Look(BRICK, DOT_DASHED),
    Look(BLUE, DASHED),
    Look(BRICK, DOTTED),
    Look(SKY),
    Look(SKY, DOT_DASHED),
)


def looks(methods: Iterable[tuple[str, int | None]]) -> list[Look]:
    """The looks of methods, given by name and by the place that they ask for in ``LOOKS``.

    One that asks for none gets a place by its name. The same name once more gets a mark; another
    name at a place that is taken gets the next that is free.
    """
    taken: dict[int, str] = {}
    seen: dict[str, int] = {}
    found = []
    for name, wanted in methods:
        place = sum(map(ord, name)) if wanted is None else wanted
        free = (k % len(LOOKS) for k in range(place, place + len(LOOKS)))
        place = next((k for k in free if taken.get(k, name) == name), place % len(LOOKS))
        taken[place], seen[name] = name, seen.get(name, -1) + 1
        look = LOOKS[place]
        found.append(Look(look.colour, look.style, MARKS[seen[name] % len(MARKS)]))
    return found
