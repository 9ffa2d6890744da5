"""Bytes and seconds to one training loss, over processes joined by a slow network.

    sudo -E python examples/benchmarks/communication.py [--processes 2] [--megabits 1000]

MNIST-FC (784-512-256-10), the first images of MNIST, on processes in network namespaces
(network.py): a token bucket limits the bandwidth, every packet is delayed. The methods:

* DDP-Adam: torch's DistributedDataParallel and Adam, the best of three rates, for two batches;
* local updates (DiLoCo, arXiv 2311.08105): H local AdamW steps, then Nesterov SGD (0.7, 0.9) on the
  mean change; the best of three rates, for three H;
* SAPTS_M: walks without a learning rate, one or more passes between two synchronisations;
* the data-parallel L-SR1 trust region, and SAPTS_D with the default local solver and with
  trust-region Adam; they have no learning rate.

Which step of Adam's and of the local updates first has the target loss is found beforehand, without
a network; the timed run takes that many and evaluates nothing else. Bytes are those that left the
network devices. CPU seconds are of the busiest process; where processes share cores they wait.
"""

import argparse
import copy
import itertools
import json
import os
import sys
import time
from pathlib import Path

import network
import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ddopt.executor import Serial, Split
from ddopt.executor.launch import connect
from ddopt.method.engine import Engine
from ddopt.setup.component import lookup
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting

RATES = (1e-3, 3e-3, 1e-2)
BATCHES = (256, 1024)  # of DDP-Adam, over all processes
LOCAL_BATCH, LOCAL_STEPS = 128, (10, 30, 40)  # of the local updates
PASSES = (1, 2, 4)  # of the walks of SAPTS_M between two synchronisations
OUTER, MOMENTUM = 0.7, 0.9
KINDS = ("adam", "local", "walk", "region")
CHECK = 5  # steps of Adam between two looks at the loss
LIMIT = {"adam": 400, "local": 60, "walk": 40}  # steps, rounds, rounds


def batches(own, size, seed):
    """Index tensors of ``size``, epoch after epoch, from a set of samples."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = own[torch.randperm(len(own), generator=generator)]
        yield from order[: len(own) // size * size].split(size)


def step(task, net, optimizer, index):
    optimizer.zero_grad()
    cross_entropy(net(task.train.inputs(index)), task.train.labels[index]).backward()
    optimizer.step()


def adam(task, rate, batch, size=1, rank=0):
    """DDP-Adam; yields the model after every step."""
    net = model = copy.deepcopy(task.model)
    if size > 1:
        net = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for index in batches(torch.arange(len(task.train)), batch, 0):
        step(task, net, optimizer, index[rank::size])
        yield model


def local(task, rate, steps, size, ranks, reduce):
    """DiLoCo with the workers ``ranks`` in this process; yields the model after every round."""
    model, workers = copy.deepcopy(task.model), []
    for rank in ranks:
        own = copy.deepcopy(model)
        shard = batches(torch.arange(rank, len(task.train), size), LOCAL_BATCH, rank)
        workers.append((own, torch.optim.AdamW(own.parameters(), lr=rate), shard))
    theta = parameters_to_vector(model.parameters()).detach()
    velocity = torch.zeros_like(theta)
    while True:
        change = torch.zeros_like(theta)
        for own, optimizer, shard in workers:
            vector_to_parameters(theta.clone(), own.parameters())
            for _ in range(steps):
                step(task, own, optimizer, next(shard))
            change += theta - parameters_to_vector(own.parameters()).detach()
        reduce(change)
        change /= size
        velocity = MOMENTUM * velocity + change
        theta = theta - OUTER * (change + MOMENTUM * velocity)
        vector_to_parameters(theta.clone(), model.parameters())
        yield model


def walks(task, passes, size, executor):
    """SAPTS_M with ``size`` subdomains; yields θ after every round."""
    strategy = lookup("strategy", "sapts_m")(subdomains=size, local_iterations=passes)
    engine = Engine(strategy.parts(TrustRegion.Config()), executor, size)
    engine.start(task.problem, task.initial)
    while True:
        engine.step(task.problem)
        yield engine.point.theta


def count(task, models, target, limit, every):
    """How many steps or rounds until the loss on all samples is at the target."""
    for number, model in zip(range(1, limit + 1), models, strict=False):
        if number % every == 0 and task.problem.at(vector(model)).value <= target:
            return number
    return None


def vector(model):
    """θ of a model, or θ itself."""
    if isinstance(model, torch.Tensor):
        return model
    return parameters_to_vector(model.parameters()).detach()


def tuned(task, options, size, rank):
    """The best rate of each tuned method, and its number of steps; each process tries some."""
    if options.tuned is not None and options.tuned.exists():
        return [tuple(row) for row in json.loads(options.tuned.read_text())]
    tried = [("adam", b, rate) for b in BATCHES for rate in RATES]
    tried += [("local", h, rate) for h in LOCAL_STEPS for rate in RATES]
    tried += [("walk", passes, None) for passes in PASSES]
    tried = [row for row in tried if row[0] in options.only]
    found = []
    for kind, option, rate in tried[rank::size]:
        if kind == "adam":
            models = adam(task, rate, option)
        elif kind == "walk":
            models = walks(task, option, size, Serial())
        else:
            models = local(task, rate, option, size, range(size), lambda change: None)
        steps = count(task, models, options.target, LIMIT[kind], CHECK if kind == "adam" else 1)
        found.append((kind, option, rate, steps))
    everybody = [None] * size
    dist.all_gather_object(everybody, found)
    rows = sorted(itertools.chain(*everybody), key=lambda row: row[3] or 1e9)
    best = sorted({row[:2]: row for row in reversed(rows)}.values())
    if options.tuned is not None and rank == 0:
        options.tuned.write_text(json.dumps(best))
    return best


def trust_region(task, executor, target, name, **options):
    """A method of ddopt until the target; returns outer iterations, sample-gradients, and bytes."""
    size = executor.size
    solver = options.pop("solver", TrustRegion.Config(hessian={"name": "lsr1", "memory": 10}))
    strategy = lookup("strategy", name)(subdomains=size, **options)
    engine = Engine(strategy.parts(solver), executor, size)
    problem = Split(task.problem, size, executor)
    total = engine.start(problem, task.initial)
    while engine.point.value > target:
        total += engine.step(problem).total
    return engine.iteration, total * len(task.train), engine.point.value


def entries(task, executor, options):
    """Name and run of every method; a run returns rounds, sample-gradients, and the last loss."""
    size, rank, target = executor.size, executor.rank, options.target

    def steps(models, number, samples):
        for _, model in zip(range(number), models, strict=False):
            last = model
        return number, number * samples, vector(last)

    for kind, option, rate, number in tuned(task, options, size, rank):
        if number is None:
            if rank == 0:
                print(f"{kind} {option}: no rate reaches {target}", flush=True)
        elif kind == "adam":
            name = f"DDP-Adam, batch {option}, rate {rate:g}"
            yield name, lambda o=option, r=rate, n=number: steps(adam(task, r, o, size, rank), n, o)
        elif kind == "walk":
            name, work = f"SAPTS_M, {option} passes", option * len(task.train)
            yield (
                name,
                lambda o=option, n=number, w=work: steps(walks(task, o, size, executor), n, w),
            )
        else:
            name = f"local AdamW, H = {option}, rate {rate:g}"
            yield (
                name,
                lambda o=option, r=rate, n=number: steps(
                    local(task, r, o, size, [rank], dist.all_reduce), n, o * LOCAL_BATCH * size
                ),
            )
    if "region" not in options.only:
        return
    adaptive = lookup("solver", "trust_region_adam").Config()
    yield "trust region, L-SR1", lambda: trust_region(task, executor, target, "trust_region")
    yield "SAPTS_D, L-SR1", lambda: trust_region(task, executor, target, "sapts_d")
    yield (
        "SAPTS_D, trust-region Adam",
        lambda: trust_region(task, executor, target, "sapts_d", solver=adaptive),
    )


def work(options):
    """What every process does; the first one prints."""
    torch.set_num_threads(1)
    task = lookup("problem", "mnist")(train_samples=options.samples)
    task.prepare(Setting(seed=options.seed, dtype=torch.float32))
    with connect() as executor:
        for name, method in entries(task, executor, options):
            row = {"name": name, "seconds": [], "cpu": 0.0}
            for delay in options.delays:
                if executor.rank == 0:
                    network.set_delay(delay / 1e3)
                dist.barrier()
                began, cpu, sent = time.monotonic(), time.process_time(), network.sent()
                rounds, gradients, end = method()
                dist.barrier()
                seconds, cpu = time.monotonic() - began, time.process_time() - cpu
                mine = [seconds, cpu, float(network.sent() - sent)]
                rows = executor.numbers({executor.rank: mine}, executor.size)
                row["seconds"].append(rows[0][0])
                row["cpu"] = max(row["cpu"], *(r[1] for r in rows))
                row["bytes"] = sum(r[2] for r in rows)
            if isinstance(end, torch.Tensor):
                end = task.problem.at(end).value
            row |= {"rounds": rounds, "gradients": gradients, "loss": end}
            if executor.rank == 0:
                network.set_delay(0.0)
                print(json.dumps(row), file=sys.stderr, flush=True)
                show(row)


def show(row):
    times = " | ".join(f"{seconds:.1f}" for seconds in row["seconds"])
    print(
        f"| {row['name']} | {row['rounds']} | {row['loss']:.1e} | {row['bytes'] / 1e6:.1f} | "
        f"{row['bytes'] / row['gradients']:.0f} | {times} | {row['cpu']:.1f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--megabits", type=float, default=1000.0, help="per second and process")
    parser.add_argument("--delays", type=float, nargs="+", default=[0.1, 10.0, 50.0], help="ms")
    parser.add_argument("--samples", type=int, default=4_000)
    parser.add_argument("--target", type=float, default=0.01, help="training loss")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="of the methods")
    parser.add_argument("--tuned", type=Path, help="file to keep the best rates in, for other runs")
    options = parser.parse_args()
    if "RANK" in os.environ:
        work(options)
        return
    print(f"{options.samples} images to a loss of {options.target}, {options.megabits:g} Mbit/s")
    heads = " | ".join(f"s at {delay:g} ms" for delay in options.delays)
    print(f"| method | rounds | loss | MB | bytes per sample-gradient | {heads} | CPU s |")
    print("|---|---|---|---|---|" + "---|" * (len(options.delays) + 1), flush=True)
    with network.Network(options.processes, options.megabits) as net:
        words = [sys.executable, *sys.argv]
        started = [net.start(rank, words) for rank in range(options.processes)]
        for process in started:
            process.wait()


if __name__ == "__main__":
    main()
