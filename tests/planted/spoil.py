"""Defects that authors make, one component each: what the kit must tell, and in which words.

``made(above, **methods)`` is a component like one of ours with some methods replaced; a replaced
method is given what the right one returns, the object, and the arguments.
"""

from __future__ import annotations

import os

RANDOM = "drew from the global random numbers of torch, or seeded"
UNSEEDED = "gives other numbers for a second object with the same options"
RESUMED = r"goes on differently after load_state_dict\(state_dict\(\)\)"
RANKS = r"on process \[[01, ]+\] of two than in one process alone"
BUFFER = "it returns a buffer of its own"


def made(above, _name="odd", _attributes=None, **methods):
    """A component like ``above``, with methods that get the right answer and spoil it."""

    class Odd(above):
        name = _name
        calls = 0

    for method, spoil in methods.items():
        setattr(Odd, method, _spoilt(above, method, spoil))
    for key, value in (_attributes or {}).items():
        setattr(Odd, key, value)
    return Odd


def _spoilt(above, method, spoil):
    if method == "iterate":
        return _spoilt_asking(above, spoil)

    def wrong(self, *arguments):
        self.calls += 1
        return spoil(getattr(above, method)(self, *arguments), self, *arguments)

    return wrong


def _spoilt_asking(above, spoil):
    def wrong(self, *arguments):
        self.calls += 1
        found = yield from above.iterate(self, *arguments)
        return spoil(found, self, *arguments)

    return wrong


def rank():
    return int(os.environ.get("RANK", "0"))


def kept(found, self):
    """``found`` in a buffer of the object's own."""
    if not hasattr(self, "_buffer") or self._buffer.shape != found.shape:
        self._buffer = found.clone()
    self._buffer.copy_(found)
    return self._buffer


def raises(*arguments):
    raise KeyError("weights")


def in_place(which, found, argument):
    getattr(argument, which).add_(1e-3)
    return found
