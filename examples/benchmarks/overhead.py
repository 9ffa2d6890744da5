"""What a trust-region step costs beside the closure: its time, and its memory.

    python examples/benchmarks/overhead.py [--batch 10000] [--memory 10]
    python examples/benchmarks/overhead.py --problem poisson2d --memory 100
    python examples/benchmarks/overhead.py --problem poisson2d --dense

Prints the time of a step outside the closure as a share of the closure's, the same as a multiple of
reading the memory [S Y] three times, and the peak of extra memory in vectors. Closure, rest and
reading are timed in turn, step by step, in processor time of one thread; the figures are medians.
Random images serve as well as real ones here: only the shapes matter.
"""

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn

import ddopt
from ddopt.setup.component import lookup
from ddopt.task import Setting

clock = time.process_time  # one thread: what other programs on the machine take is not counted


def mnist(batch):
    """MNIST-FC, 535,818 parameters, float32: its parameters, and f with its gradient."""
    model = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    x, y = torch.rand(batch, 784), torch.randint(10, (batch,))

    def evaluate():
        model.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    return list(model.parameters()), evaluate


def poisson2d(batch):
    """The reference problem of physics-informed networks, 3,021 parameters, float64."""
    task = lookup("problem", "poisson2d")()
    task.prepare(Setting(seed=0))
    theta = task.initial.clone().requires_grad_()

    def evaluate():
        point = task.problem.at(theta.detach().clone())
        theta.grad = point.gradient.clone()
        return torch.tensor(point.value)

    return [theta], evaluate


PROBLEMS = {"mnist": mnist, "poisson2d": poisson2d}


def measure(parameters, evaluate, hessian, memory, steps):
    """Milliseconds of the closure, of the rest, and of three readings: medians over the steps."""
    optimizer = ddopt.TrustRegion(parameters, hessian=hessian, stochastic=False)
    buffer = torch.rand(2 * memory, sum(p.numel() for p in parameters), dtype=parameters[0].dtype)
    inside, rows = 0.0, []

    def closure():
        nonlocal inside
        begin = clock()
        loss = evaluate()
        inside += clock() - begin
        return loss

    for step in range(memory + steps):
        inside = 0.0
        begin = clock()
        optimizer.step(closure)
        whole = clock() - begin
        evaluate()  # the readings find the caches as the step does
        begin = clock()
        for _ in range(3):
            buffer.sum()
        if step >= memory:  # the memory is full
            rows.append((inside, whole - inside, clock() - begin))
    return [1e3 * statistics.median(column) for column in zip(*rows, strict=True)]


def extra_vectors(parameters, evaluate, memory):
    """Peak resident memory above a process that has evaluated f, in vectors."""
    evaluate()
    ddopt.TrustRegion([torch.zeros(1, requires_grad=True)])  # imports what it needs
    before = resident()
    optimizer = ddopt.TrustRegion(
        parameters, hessian={"name": "lsr1", "memory": memory}, stochastic=False
    )
    for _ in range(memory + 3):
        optimizer.step(evaluate)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    return (peak - before) / sum(p.numel() * p.element_size() for p in parameters)


def resident():
    """Resident memory now, in bytes; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", choices=PROBLEMS, default="mnist")
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--memory", type=int, default=10)
    parser.add_argument("--dense", action="store_true", help="a dense matrix, and no pairs")
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    build, memory = PROBLEMS[options.problem], options.memory
    if options.problem == "mnist":  # where a vector is large enough to be seen
        vectors = extra_vectors(*build(10), memory)
        print(f"extra memory          {vectors:8.1f} vectors; [S Y] has {2 * memory}")
    parameters, evaluate = build(options.batch)
    pairs = {"name": "lsr1", "memory": memory}
    hessian = "ssbroyden" if options.dense else pairs
    inside, beside, read = measure(parameters, evaluate, hessian, memory, options.steps)
    n = sum(p.numel() for p in parameters)
    kept = "a dense matrix" if options.dense else f"memory {memory}"
    print(f"parameters {n:,}, batch {options.batch:,}, {kept}, {parameters[0].dtype}")
    print(f"closure               {inside:8.2f} ms")
    print(f"rest of the step      {beside:8.2f} ms = {beside / inside:.1%} of the closure")
    print(f"reading [S Y] 3 times {read:8.2f} ms; the rest is {beside / read:.2f} times that")


if __name__ == "__main__":
    main()
