"""A decoder-only transformer, written plainly, that can be cut into stages at its blocks.

Source: Vaswani et al., arXiv 1706.03762, with the norms in front (Radford et al., Language Models
are Unsupervised Multitask Learners, 2019, section 2.3). Legend: B sequences, T characters, C width.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from ddopt.decomposition.layers import balanced
from ddopt.dropout import Dropout

DEVIATION = 0.02  # of the first weights; GPT-2


@dataclass(frozen=True)
class Shape:
    """The sizes of a GPT."""

    alphabet: int
    layers: int = 4
    heads: int = 4
    width: int = 128
    context: int = 64
    bias: bool = False
    dropout: float = 0.0
    tied: bool = False

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"{self.heads} heads cannot share a width of {self.width}; choose a width that is "
                "a multiple of the heads"
            )


class Attention(nn.Module):
    """Each character looks at itself and at those before it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.inputs = nn.Linear(shape.width, 3 * shape.width, bias=shape.bias)
        self.output = nn.Linear(shape.width, shape.width, bias=shape.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (B, T, C) to (B, T, C)."""
        B, T, C = x.shape
        q, k, v = (
            part.view(B, T, self.heads, C // self.heads).transpose(1, 2)
            for part in self.inputs(x).split(C, dim=2)
        )
        seen = scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed: torch.Tensor = self.output(seen.transpose(1, 2).reshape(B, T, C))
        return mixed


class Block(nn.Module):
    """Attention and a layer for each character alone, both added to what goes through."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width, bias=shape.bias)
        self.attention = Attention(shape)
        self.mlp_norm = nn.LayerNorm(shape.width, bias=shape.bias)
        self.mlp = nn.Sequential(
            nn.Linear(shape.width, 4 * shape.width, bias=shape.bias),
            nn.GELU(),
            nn.Linear(4 * shape.width, shape.width, bias=shape.bias),
        )
        self.drop = Dropout(shape.dropout, uses=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (B, T, C) to (B, T, C)."""
        x = x + self.drop(self.attention(self.attention_norm(x)))
        x = x + self.drop(self.mlp(self.mlp_norm(x)))
        return x


class Embedding(nn.Module):
    """Which character, and where."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.character = nn.Embedding(shape.alphabet, shape.width)
        self.place = nn.Embedding(shape.context, shape.width)
        self.drop = Dropout(shape.dropout)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Characters (B, T) to vectors (B, T, C)."""
        places = torch.arange(numbers.shape[1], device=numbers.device)
        vectors: torch.Tensor = self.drop(self.character(numbers) + self.place(places))
        return vectors


class Head(nn.Module):
    """The scores of the next character."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width, bias=shape.bias)
        self.scores = nn.Linear(shape.width, shape.alphabet, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (B, T, C) to scores (B, T, alphabet)."""
        scores: torch.Tensor = self.scores(self.norm(x))
        return scores


class GPT(nn.Module):
    """Embedding, blocks, head; ``tied`` makes the embedding and the scores share their weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = Embedding(shape)
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.layers)])
        self.head = Head(shape)
        if shape.tied:
            self.head.scores.weight = self.embedding.character.weight
        self._initialise()

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Characters (B, T) to scores of what follows them, (B, T, alphabet)."""
        x = numbers
        for piece in self.pieces():
            x = piece(x)
        return x

    def pieces(self) -> list[nn.Module]:
        """What may be cut apart, in order: the embedding, each block, the head."""
        return [self.embedding, *self.blocks, self.head]

    def stages(self, count: int) -> list[nn.Sequential]:
        """The network as a pipeline: ``count`` stages of about equally many parameters.

        The stages hold the network's own parameters.
        """
        if self.shape.tied and count > 1:
            raise ValueError(
                "tied weights would lie in the first and in the last stage; set problem.tied=false"
            )
        pieces = self.pieces()
        if count > len(pieces):
            raise ValueError(f"{len(pieces)} pieces make no {count} stages; use {len(pieces)}")
        sizes = [sum(p.numel() for p in piece.parameters()) for piece in pieces]
        return [
            nn.Sequential(OrderedDict((str(i), pieces[i]) for i in group))
            for group in balanced(sizes, count)
        ]

    def _initialise(self) -> None:
        """Normal weights; those that end a residual branch are smaller the more there are."""
        ends = DEVIATION / math.sqrt(2 * self.shape.layers)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:
                last = name.endswith(("attention.output.weight", "mlp.2.weight"))
                nn.init.normal_(parameter, std=ends if last else DEVIATION)
