"""What a trust-region step costs beside the closure: its time, and its memory.

    python examples/benchmarks/overhead.py [--batch 10000] [--memory 10]
    python examples/benchmarks/overhead.py --problem poisson2d --memory 100
    python examples/benchmarks/overhead.py --problem poisson2d --dense
    python examples/benchmarks/overhead.py --table [--sizes 1012 3120 5940 10224 100800 1000000]

Prints the time of a step outside the closure as a share of the closure's, the same as a multiple of
reading the memory [S Y] three times, and the peak of extra memory in vectors. Closure, rest and
reading are timed in turn, step by step, in processor time of one thread; the figures are medians.
The table is of a convex function of float32 parameters that costs next to nothing: the step of
pairs, of a dense matrix, and of torch's L-BFGS with as many pairs.
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


def convex(n):
    """Σ c_i log cosh(θ_i − t_i), float32, curvatures c_i from 1 to 1e6."""
    theta, t = torch.randn(n, requires_grad=True), torch.randn(n)
    c = torch.logspace(0, 6, n)

    def evaluate():
        theta.grad = None
        away = theta - t
        loss = (c * (away.abs() + torch.nn.functional.softplus(-2.0 * away.abs()))).sum()
        loss.backward()
        return loss

    return [theta], evaluate


LARGE = 500_000  # parameters from which 10 pairs are kept in the table, not 100
DENSE = 6_000  # the most with a dense matrix in the table


def rivals(n):
    """What the table compares, by name: how to make it, and its pairs."""
    memory = 10 if n > LARGE else 100

    def ours(hessian):
        return lambda parameters: ddopt.TrustRegion(parameters, hessian=hessian, stochastic=False)

    found = {"pairs": ours({"name": "lsr1", "memory": memory})}
    if n <= DENSE:
        found["dense"] = ours("ssbroyden")
    found["L-BFGS"] = lambda parameters: torch.optim.LBFGS(
        parameters, lr=0.1, max_iter=1, history_size=memory, tolerance_grad=0, tolerance_change=0
    )
    return found, memory


def beside(make, n, fill, steps):
    """Milliseconds of a step outside the closure: the median, once the memory is full."""
    torch.manual_seed(0)
    parameters, evaluate = convex(n)
    optimizer = make(parameters)
    rows = [timed_step(optimizer, evaluate) for _ in range(fill + steps)][fill:]
    return 1e3 * statistics.median(rest for _, rest in rows)


def timed_step(optimizer, evaluate):
    """Seconds of one step inside the closure ``evaluate``, and beside it."""
    inside = 0.0

    def closure():
        nonlocal inside
        begin = clock()
        loss = evaluate()
        inside += clock() - begin
        return loss

    begin = clock()
    optimizer.step(closure)
    return inside, clock() - begin - inside


def table(sizes, steps):
    """Print the milliseconds beside the closure."""
    columns = ("pairs", "dense", "L-BFGS")
    print(f"| n | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for n in sizes:
        kinds, memory = rivals(n)
        found = {name: beside(make, n, memory + 5, steps) for name, make in kinds.items()}
        cells = [f"{found[name]:.1f}" if name in found else "" for name in columns]
        print(f"| {n:,}, {memory} pairs | {' | '.join(cells)} |", flush=True)


PROBLEMS = {"mnist": mnist, "poisson2d": poisson2d}


def measure(parameters, evaluate, hessian, memory, steps):
    """Milliseconds of the closure, of the rest, and of three readings: medians over the steps."""
    optimizer = ddopt.TrustRegion(parameters, hessian=hessian, stochastic=False)
    buffer = torch.rand(2 * memory, sum(p.numel() for p in parameters), dtype=parameters[0].dtype)
    rows = []
    for step in range(memory + steps):
        inside, rest = timed_step(optimizer, evaluate)
        evaluate()  # the readings find the caches as the step does
        begin = clock()
        for _ in range(3):
            buffer.sum()
        if step >= memory:  # the memory is full
            rows.append((inside, rest, clock() - begin))
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
    parser.add_argument("--table", action="store_true", help="by the number of parameters")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1012, 3120, 5940, 10_224, 100_800, 1_000_000]
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.table:
        table(options.sizes, options.steps)
        return
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
