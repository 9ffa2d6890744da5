"""A text as numbers: its alphabet, and its first nine tenths to train on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pathlib import Path

TRAINED = 0.9  # of the text; the rest validates (nanoGPT's split)


@dataclass(frozen=True)
class Corpus:
    """A text and its alphabet, the characters that occur in it, sorted."""

    text: str

    @classmethod
    def read(cls, path: Path) -> Corpus:
        """The text of a file in UTF-8, byte for byte."""
        return cls(path.read_bytes().decode("utf-8"))

    @cached_property
    def alphabet(self) -> str:
        """Every character once."""
        return "".join(sorted(set(self.text)))

    def encode(self, text: str) -> torch.Tensor:
        """The numbers of characters, shape (len(text),).

        Raises ``ValueError`` naming characters that the corpus does not have.
        """
        number = {character: i for i, character in enumerate(self.alphabet)}
        strange = sorted(set(text) - set(number))
        if strange:
            raise ValueError(
                f"the model has never seen {', '.join(map(repr, strange))}; it knows "
                f"{self.alphabet!r}"
            )
        return torch.tensor([number[character] for character in text], dtype=torch.int64)

    def decode(self, numbers: torch.Tensor) -> str:
        """The characters of numbers."""
        return "".join(self.alphabet[i] for i in numbers.tolist())

    def split(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The numbers to train on, and those to validate with."""
        numbers = self.encode(self.text)
        border = int(TRAINED * len(numbers))
        return numbers[:border], numbers[border:]


class Windows:
    """A fixed set of sequences out of a text: sample i starts at character i times ``stride``."""

    def __init__(self, numbers: torch.Tensor, context: int, stride: int) -> None:
        self.numbers, self.stride = numbers, stride
        self.count = (len(numbers) - context - 1) // stride + 1
        if self.count < 1:
            raise ValueError(
                f"the text has {len(numbers)} characters in one of its parts, too few for one "
                f"sequence of {context}; choose a longer text, or a shorter problem.context"
            )
        self._places = torch.arange(context + 1, device=numbers.device)

    def __len__(self) -> int:
        return self.count

    def pair(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sequences and what follows each of their characters, both (batch, context)."""
        whole = self.numbers[index[:, None] * self.stride + self._places]
        return whole[:, :-1], whole[:, 1:]
