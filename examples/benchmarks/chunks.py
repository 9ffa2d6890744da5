"""What adding up chunks costs: value and gradient in one pass and in two, seconds of processor.

python examples/benchmarks/chunks.py --samples 20000
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import torch

from ddopt.task import Setting
from ddopt_vision.datasets import MNIST

if TYPE_CHECKING:
    from collections.abc import Callable


def seconds(what: Callable[[], object], times: int = 5) -> float:
    """The least of a few."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        what()
        spent.append(time.process_time() - began)
    return min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--root", help="folder of the data sets")
    given = parser.parse_args()
    task = MNIST(root=given.root, train_samples=given.samples)
    task.prepare(Setting(0, torch.float32, torch.device("cpu")))
    theta = task.initial
    for pieces in (1, 4, 16):
        f = task.problem._but(chunk=-(-given.samples // pieces))
        value = seconds(lambda f=f: f.at(theta))
        lazy = seconds(lambda f=f: f.at(theta).gradient)
        eager = seconds(lambda f=f: f.both(theta).gradient)
        print(f"{pieces:3d} chunks: value {value:.3f}, then gradient {lazy:.3f}, both {eager:.3f}")


if __name__ == "__main__":
    main()
