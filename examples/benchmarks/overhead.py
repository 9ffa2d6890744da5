"""What a trust-region step costs beside the closure, on MNIST-FC (535,818 parameters).

    python examples/benchmarks/overhead.py [--batch 10000] [--memory 10] [--threads 1]

Prints, measured in one run: the time of a step outside the closure as a share of the closure's, the
same as a multiple of reading the memory [S Y] three times, and the peak of extra memory in vectors.
Random images serve as well as real ones here: only the shapes matter.
"""

import argparse
import statistics
import time

import torch
from torch import nn

import ddopt


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--memory", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    x, y = torch.rand(options.batch, 784), torch.randint(10, (options.batch,))
    hessian = {"name": "lsr1", "memory": options.memory}
    optimizer = ddopt.TrustRegion(model.parameters(), hessian=hessian, stochastic=False)
    inside = 0.0

    def closure():
        nonlocal inside
        begin = time.perf_counter()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        inside += time.perf_counter() - begin
        return loss

    n = sum(p.numel() for p in model.parameters())
    closures, outside = [], []
    for step in range(options.memory + options.steps):
        inside = 0.0
        begin = time.perf_counter()
        optimizer.step(closure)
        whole = time.perf_counter() - begin
        if step >= options.memory:  # the memory is full
            closures.append(inside)
            outside.append(whole - inside)

    memory = torch.rand(2 * options.memory, n)
    reads = []
    for _ in range(20):
        begin = time.perf_counter()
        for _ in range(3):
            memory.sum()
        reads.append(time.perf_counter() - begin)
    inside, beside, read = map(statistics.median, (closures, outside, reads))
    print(f"parameters {n:,}, batch {options.batch:,}, memory {options.memory}, float32")
    print(f"closure               {inside * 1e3:8.1f} ms")
    print(f"rest of the step      {beside * 1e3:8.1f} ms = {beside / inside:.1%} of the closure")
    print(f"reading [S Y] 3 times {read * 1e3:8.1f} ms; the rest is {beside / read:.2f} times that")


if __name__ == "__main__":
    main()
