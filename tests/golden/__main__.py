"""Write the golden runs anew."""

import json

import torch

from ddopt.executor import Serial
from ddopt.testing import run_ranks
from tests.golden import FILE, platform_key, trace

torch.set_num_threads(1)
one, two = trace(Serial()), run_ranks(trace, 2)[0]
for name, run in one.items():
    for fact in ("losses", "evaluations"):
        assert run[fact] == two[name][fact], f"{name}: {fact} of one and of two processes differ"
apart = ("traffic", "theta")  # of stages every process has its own θ
runs = {n: {**run, "on two processes": {f: two[n][f] for f in apart}} for n, run in one.items()}
FILE.write_text(json.dumps({"platform": platform_key(), "runs": runs}, indent=1) + "\n")
