"""Facts: what every process of a run must have been given alike, and where they differ."""

from __future__ import annotations


def differences(given: list[dict[str, str]]) -> list[str]:
    """A sentence for each fact in which a rank differs from rank 0; ``given`` is in rank order."""
    first = given[0]
    return [
        f"{fact} of rank {rank} differs from that of rank 0: {_apart(theirs, wanted)}"
        for rank, facts in enumerate(given)
        for fact in {**first, **facts}
        if (theirs := facts.get(fact, "none")) != (wanted := first.get(fact, "none"))
    ]


def _apart(theirs: str, wanted: str) -> str:
    """Both texts, from a little before where they part."""
    start = next(
        (i for i, (a, b) in enumerate(zip(theirs, wanted, strict=False)) if a != b),
        min(len(theirs), len(wanted)),
    )
    start = max(0, start - 30)
    return f"{theirs[start : start + 80]!r} against {wanted[start : start + 80]!r}"
