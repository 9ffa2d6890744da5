"""Golden runs: what every method does in twenty iterations on a small problem, to the last bit.

    python -m tests.golden

writes ``runs.json`` anew; the commit that does so says which numbers have changed, and why. The
problems of plugins that are methods of their own (patches) are compared by tests/test_same_numbers.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_info
from torch.func import functional_call

import ddopt
from ddopt.evaluation.autograd import AutogradProblem
from ddopt.numerics.space import Parameters
from ddopt.numerics.vectors import fingerprint
from ddopt.pipeline import StagedProblem, cut
from ddopt.run.running import Run
from ddopt.setup.config import RunConfig, load_given
from ddopt.testing.problems import network

FILE = Path(__file__).parent / "runs.json"
ITERATIONS = 20
SAMPLES = 53  # a prime: parts are of unequal sizes


class Curve(AutogradProblem):
    """Least squares whose samples lie in the plane; it gives its residuals."""

    inputs: torch.Tensor

    def residuals(self, theta):
        i = self.samples.terms[0]
        return self.errors(self.named(theta), i) / self._counts[0] ** 0.5

    def coordinates(self, term):
        return self.inputs[self.samples.terms[term]][:, :2].cpu()


class Fit(ddopt.Task):
    """A network of 113 parameters learns sin(x + y + z) + x²."""

    name = "golden fit"

    def prepare(self, setting):
        self.model = network(seed=setting.seed).to(setting.device, setting.dtype)
        random = torch.Generator().manual_seed(setting.seed + 1)
        x = torch.randn(SAMPLES, 3, generator=random, dtype=torch.float64).to(setting.dtype)
        t = torch.sin(x.sum(dim=1)) + x[:, 0] ** 2
        self.x, self.t = x, t = x.to(setting.device), t.to(setting.device)

        def errors(named, i):
            return functional_call(self.model, dict(named), (x[i],))[:, 0] - t[i]

        def sums(named, samples):
            return (errors(named, samples.terms[0]).square().sum(),)

        parameters = Parameters(self.model.named_parameters())
        self.problem = Curve(parameters.layout, sums, ddopt.Samples.all(SAMPLES))
        self.problem.errors, self.problem.inputs = errors, x
        self.initial = parameters.read()

    def staged(self, stages, chunks, executor):
        return StagedProblem(
            cut(self.model, stages),
            lambda i: self.x[i],
            lambda out, i: (out[:, 0] - self.t[i]).square().sum(),
            ddopt.Samples.all(SAMPLES),
            executor,
            chunks=chunks,
            dtype=self.x.dtype,
            device=self.x.device,
        )


DATA = {"name": "data", "subdomains": 3, "overlap": 0.2}
SMALL = {"name": "batches", "size": 20, "overlap": 0.1, "iterations": 2}
STEIHAUG = {"name": "trust_region", "hessian": "exact", "subproblem": "steihaug"}
RUNS = {  # name -> strategy, and what else differs from the defaults; N is odd or 4 mostly
    "trust_region": ({"name": "trust_region"}, {}),
    "trust_region, lsr1": ({"name": "trust_region", "subdomains": 3}, {"solver": "lssr1"}),
    "trust_region, exact": ({"name": "trust_region", "subdomains": 3}, {"solver": STEIHAUG}),
    "trust_region, in pieces": (
        {"name": "trust_region", "subdomains": 3, "memory_pieces": 4},
        {"solver": {"name": "trust_region", "hessian": "lsr1"}},
    ),
    "trust_region, batches": ({"name": "trust_region", "subdomains": 2}, {"sampling": SMALL}),
    "trust_region, adaptive": (
        {"name": "trust_region"},
        {
            "sampling": {"name": "adaptive", "size": 10},
            "solver": {"name": "trust_region", "acceptance": "asntr"},
        },
    ),
    "gauss_newton": (
        {"name": "trust_region", "subdomains": 3},
        {"solver": {"name": "trust_region", "hessian": "gauss_newton"}},
    ),
    "levenberg_marquardt": (
        {"name": "trust_region", "subdomains": 3},
        {"solver": "levenberg_marquardt"},
    ),
    "levenberg_marquardt, products": (
        {"name": "trust_region"},
        {"solver": {"name": "levenberg_marquardt", "dense": 0}},
    ),
    "apts": ({"name": "apts", "subdomains": 3}, {}),
    "apts, batches": ({"name": "apts", "subdomains": 3}, {"sampling": SMALL}),
    "sapts": ({"name": "sapts", "decomposition": DATA, "recombination": "sum"}, {}),
    "sapts, retries": (
        {"name": "sapts", "decomposition": DATA, "retries": 2, "local_solver": "trust_region_adam"},
        {},
    ),
    "sapts, adam": ({"name": "sapts", "decomposition": DATA, "local_solver": "adam"}, {}),
    "sapts, box": (
        {
            "name": "sapts",
            "decomposition": DATA,
            "norm": "inf",
            "local_solver": {"name": "sgd", "lr": 0.01},
            "global_solver": {"name": "trust_region", "hessian": "lbfgs"},
        },
        {},
    ),
    "sapts_d": ({"name": "sapts_d", "subdomains": 4}, {}),
    "sapts_d, levenberg_marquardt": (
        {"name": "sapts_d", "subdomains": 3, "local_iterations": 4},
        {"solver": "levenberg_marquardt"},
    ),
    "sapts_d, batches": ({"name": "sapts_d", "subdomains": 3}, {"sampling": SMALL}),
    "sapts_m": (
        {
            "name": "sapts_m",
            "subdomains": 3,
            "local_solver": {"name": "prodigy", "batch": 4},
        },
        {},
    ),
    "sapts_m, muon": (
        {
            "name": "sapts_m",
            "judged": 0.0,
            "subdomains": 3,
            "local_solver": {"name": "muon", "batch": 4},
        },
        {},
    ),
    "sapts_m, averaged": (
        {
            "name": "sapts_m",
            "subdomains": 4,
            "acceptance": "averaged",
            "local_solver": {"name": "prodigy", "batch": 8},
        },
        {"dtype": "float32"},
    ),
    "sapts_p": ({"name": "sapts_p", "subdomains": 3}, {}),
    "sapts_p, lssr1": ({"name": "sapts_p", "subdomains": 2}, {"solver": "lssr1"}),
    "sapts_pinn": ({"name": "sapts_pinn", "splits": [2, 2]}, {}),
    "sapts_ip": ({"name": "sapts_ip", "subdomains": 3, "chunks": 2}, {}),
    "napts": ({"name": "napts", "subdomains": 3}, {}),
    "napts, stages": ({"name": "napts", "subdomains": 3, "cut": "stages"}, {}),
    "hybrid": ({"name": "hybrid"}, {}),
    "hybrid, stages": ({"name": "hybrid", "cut": "stages"}, {}),
}


def config(name: str, **changes) -> RunConfig:
    """The settings of one of the runs."""
    strategy, others = RUNS[name]
    given = {"strategy": strategy, "stop": {"iterations": ITERATIONS}, **others, **changes}
    return load_given({"problem": Fit.Config(), **given}, {})


def followed(run: Run) -> dict:
    """What a run did: losses and evaluations in every iteration, its last θ, and its traffic."""
    lines, step = [], run.engine.step

    def stepping(problem):
        report = step(problem)
        sent = (report.bytes_sent, report.collectives)
        lines.append((report.loss.hex(), report.total, report.parallel, *sent))
        return report

    run.engine.step = stepping
    run.train()
    losses, totals, paths, sent, collectives = zip(*lines, strict=True)
    return {
        "losses": list(losses),
        "evaluations": [sum(totals).hex(), sum(paths).hex()],
        "theta": fingerprint(run.theta),
        "traffic": [sum(collectives), sum(sent)],  # of this process, without the first look
    }


def trace(executor: ddopt.Executor) -> dict[str, dict]:
    """Every run, on the processes of an executor."""
    return {name: followed(Run(config(name), executor, None)) for name in RUNS}


def platform_key() -> str:
    """What the last bits depend on beside the code."""
    libraries = sorted(
        f"{one['internal_api']} {one.get('version')} {one.get('architecture', '')}"
        for one in threadpool_info()
    )
    kind = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    blas = torch.__config__.show().count("MKL")
    versions = f"torch {torch.__version__}, numpy {np.__version__}, MKL {blas > 0}"
    return "; ".join([versions, kind, model(), *libraries])


def model() -> str:
    """The processor, as Linux calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")


def stored() -> dict:
    return json.loads(FILE.read_text())
