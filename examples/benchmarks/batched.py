"""What one call for all subdomains saves: an outer iteration by ``batched`` against ``serial``.

    python examples/benchmarks/batched.py [--subdomains 16] [--samples 1024] [--device cpu]

A network of three hidden layers of 20 units learns a surface from points in the plane. Both
executors solve the same problem in turn, iteration by iteration; the figures are medians of
processor time of one thread, in milliseconds (on a GPU: of time, after the device is done).
"""

import argparse
import statistics
import time
from itertools import pairwise

import torch
from torch import nn
from torch.func import functional_call

import ddopt
from ddopt.executor import shared
from ddopt.executor.batched import Batched
from ddopt.executor.serial import Serial
from ddopt.method.engine import Engine
from ddopt.numerics.space import Parameters
from ddopt.setup.component import chosen
from ddopt.setup.resolved import resolve

APART = {"name": "sapts_d", "overlap": 0.0}
PLAIN = {"name": "trust_region", "hessian": "none", "subproblem": "cauchy"}
METHODS = {  # strategy, solver, and samples for each that --samples gives
    "sapts_m": ({"name": "sapts_m"}, "trust_region", 8),
    "sapts_d": ({"name": "sapts_d"}, "trust_region", 1),
    "sapts_d, no overlap": (APART, "trust_region", 1),
    "sapts_d, no overlap, no B": (APART, PLAIN, 1),
}


def surface(samples, device):
    """The problem, and its first parameters."""
    torch.manual_seed(0)
    sizes = [2, 20, 20, 20, 1]
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.Tanh())][:-1]
    model = nn.Sequential(*layers).double().to(device)
    x = torch.rand(samples, 2, dtype=torch.float64, device=device)
    t = torch.sin(6.0 * x).prod(1)

    def sums(named, picked):
        i = picked.terms[0].to(device)
        return ((functional_call(model, dict(named), (x[i],))[:, 0] - t[i]).square().sum(),)

    parameters = Parameters(model.named_parameters())
    problem = ddopt.AutogradProblem(parameters.layout, sums, ddopt.Samples.all(samples))
    return problem, parameters.read()


def method(name, subdomains, executor, problem, theta):
    """An engine that has seen the problem."""
    strategy, solver, _ = METHODS[name]
    options = chosen("strategy", {**strategy, "subdomains": subdomains})
    made, solver = resolve(options, chosen("solver", solver))
    engine = Engine(made.parts(solver), executor, subdomains)
    split, _ = shared(problem, subdomains, executor)
    engine.start(split, theta)
    return lambda: engine.step(split)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--subdomains", type=int, default=16)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    on_gpu = options.device != "cpu"
    clock = time.perf_counter if on_gpu else time.process_time
    print(f"{'method':26} {'serial':>9} {'batched':>9} {'ratio':>6}")
    for name, (_, _, times) in METHODS.items():
        problem, theta = surface(times * options.samples, options.device)
        kinds = {"serial": Serial(), "batched": Batched()}
        steps = {
            kind: method(name, options.subdomains, executor, problem, theta)
            for kind, executor in kinds.items()
        }
        rows = {kind: [] for kind in kinds}
        for _ in range(options.iterations):
            for kind, step in steps.items():
                begin = clock()
                step()
                if on_gpu:
                    torch.cuda.synchronize()
                rows[kind].append(1e3 * (clock() - begin))
        one, all_of_them = (statistics.median(rows[kind][1:]) for kind in kinds)
        print(f"{name:26} {one:9.1f} {all_of_them:9.1f} {one / all_of_them:6.2f}")


if __name__ == "__main__":
    main()
