"""Levenberg-Marquardt on Burgers' equation on a device: the error by seconds of the clock.

    python examples/benchmarks/gauss_newton_device.py --device cuda --points 32000 --seconds 60

4 layers of 20, conditions built in, points redrawn by residual. In float32 and in float64, each
from the same seed. Published beside it: DSGNAR on an H100, 32,000 points, 4.75e-7 in 9.8 s in
float32 and 8e-14 in 346 s in float64; its network may be another one. Also printed: the seconds of
an iteration, and the largest tensor that an iteration copies to the host, beside the entries of the
Jacobian. It ends with 1 where the Jacobian is copied.
"""

import argparse
import sys
import time

import torch
from gauss_newton_runs import Run, setting_of
from torch.utils._python_dispatch import TorchDispatchMode

from ddopt.setup.component import lookup

MARKS = (1, 2, 5, 9.8, 20, 30, 60, 120, 346)


class HostCopies(TorchDispatchMode):
    """The largest tensor that is copied from the device to the host while this is entered."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.device.type == "cpu":
            given = [one for one in args if isinstance(one, torch.Tensor)]
            if any(one.device.type != "cpu" for one in given):
                self.largest = max(self.largest, found.numel())
        return found


def synchronised(device):
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def train(dtype, options):
    """Print a row at each mark; whether the Jacobian stayed on the device."""
    resampling = {"name": "stratified", "growth": 1.0}
    given = {"interior": options.points, "exact": True, "resampling": resampling}
    task = lookup("problem", "burgers")(**given)
    run = Run(task, "levenberg_marquardt", setting_of(0, dtype, options.device))
    run.step()  # kernels are loaded, the way of differentiation is chosen
    with HostCopies() as copies:
        run.step()
    entries = options.points * run.size
    print(f"# {dtype}: largest copy to the host {copies.largest}, Jacobian {entries}", flush=True)
    marks, spent, iterations = [m for m in MARKS if m <= options.seconds], 0.0, 0
    while marks:
        start = synchronised(options.device)
        run.step()
        spent += synchronised(options.device) - start
        iterations += 1
        while marks and spent >= marks[0]:
            shown = (run.loss, run.validation(), run.error(), spent / iterations)
            cells = [str(dtype), str(marks.pop(0)), str(iterations), *(f"{x:.2e}" for x in shown)]
            print("| " + " | ".join(cells) + " |", flush=True)
    return copies.largest < entries


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--points", type=int, default=32_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the two runs")
    options = parser.parse_args()
    print("| dtype | s | iterations | loss | on fresh points | error | s an iteration |")
    print("|---|---|---|---|---|---|---|")
    stayed = [train(dtype, options) for dtype in (torch.float32, torch.float64)]
    sys.exit(0 if all(stayed) else 1)


if __name__ == "__main__":
    main()
