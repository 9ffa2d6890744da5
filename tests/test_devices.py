"""Vectors live where the parameters do: no tensor is made on another device, or of another dtype.

On the CPU a mode watches every factory of torch. On a GPU (``pytest -m cuda``) every strategy,
solver and curvature runs twice.
"""

import sys
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode

from ddopt.executor import Serial
from ddopt.executor.batched import Batched
from ddopt.run.running import Run
from ddopt.setup.plugins import manager
from tests.golden import RUNS, config, followed

ROOT = Path(__file__).parent.parent
OURS = (ROOT / "ddopt", ROOT / "plugins")
FACTORIES = {
    getattr(torch, name)
    for name in (
        *("arange", "as_tensor", "empty", "eye", "full", "linspace", "logspace", "ones"),
        *("rand", "randn", "tensor", "zeros"),
    )
}
# Small matrices of inner products, in float64 on the CPU whatever the vectors are.
SMALL = {"executor/sharded.py", "hessian/lsr1.py", "hessian/secant.py", "recombination/coarse.py"}


class Factories(TorchFunctionMode):
    """Notes who makes floating-point tensors without saying where, or of which dtype."""

    def __init__(self):
        super().__init__()
        self.forgetful = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func in FACTORIES and found.is_floating_point() and found.numel():
            missing = {"device", "dtype"} - (kwargs or {}).keys()
            place = self.caller()
            if missing and place and not (missing == {"device"} and place in SMALL):
                self.forgetful.add((place, func.__name__, *sorted(missing)))
        return found

    @staticmethod
    def caller():
        """The file of the core, or of a plugin, that calls torch."""
        frame = sys._getframe(2)
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            for folder in OURS:
                if path.is_relative_to(folder):
                    return path.relative_to(folder).as_posix()
            if path.is_relative_to(ROOT):
                return None
            frame = frame.f_back
        return None


def test_a_factory_that_forgets_is_found():
    with Factories() as watched:
        torch.zeros(3)
    assert not watched.forgetful  # made here, in a test
    watched.caller = lambda: "solver/region.py"
    with watched:
        torch.zeros(3, dtype=torch.float64)
        torch.ones(2)
        torch.arange(3)  # indices
        torch.zeros(2, dtype=torch.float32, device="cpu")
    assert watched.forgetful == {
        ("solver/region.py", "zeros", "device"),
        ("solver/region.py", "ones", "device", "dtype"),
    }


def solvers():
    """Every solver, and the trust region with every curvature of the core."""
    registry = manager().registry
    own = {name for seam, name, who in registry if seam == "hessian" and "builtin" in who}
    for name in registry.names("solver"):
        if name not in ("prodigy", "muon"):  # which are no global solvers: sapts_m has them
            yield {"name": name}
    for hessian in sorted(own):
        yield {"name": "trust_region", "hessian": hessian, "subproblem": "steihaug"}


def watched(name, **changes):
    """Who forgets what in the start and two iterations of a golden run."""
    run = Run(config(name, **changes), Serial(), None)
    with Factories() as found:
        run.engine.start(run.problem, run.initial)
        for _ in range(2):
            run.engine.step(run.problem)
    return found.forgetful


@pytest.mark.parametrize("name", RUNS)
def test_no_factory_forgets_the_device_or_the_dtype(name):
    assert watched(name) == set()


@pytest.mark.parametrize("solver", list(solvers()), ids=lambda s: ", ".join(s.values()))
def test_no_factory_of_a_solver_or_a_curvature_forgets(solver):
    assert watched("trust_region", solver=solver) == set()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
class TestOnTheGPU:
    """Bits of two runs are equal, and the first numbers those of the CPU."""

    FIRST, CLOSE = 3, 1e-4

    def compared(self, name, **changes):
        once, again = (
            followed(Run(config(name, device="cuda", **changes), Serial(), None)) for _ in range(2)
        )
        assert once == again
        cpu = followed(Run(config(name, **changes), Serial(), None))
        pairs = zip(once["losses"][: self.FIRST], cpu["losses"][: self.FIRST], strict=True)
        for a, b in pairs:
            assert float.fromhex(a) == pytest.approx(float.fromhex(b), rel=self.CLOSE)

    @pytest.mark.parametrize("name", RUNS)
    def test_every_strategy(self, name):
        self.compared(name)

    @pytest.mark.parametrize("solver", list(solvers()), ids=lambda s: ", ".join(s.values()))
    def test_every_solver_and_curvature(self, solver):
        self.compared("trust_region", solver=solver)

    @pytest.mark.parametrize("name", ["sapts_d", "sapts_m"])
    def test_batched(self, name):
        runs = [followed(Run(config(name, device="cuda"), Batched(), None)) for _ in range(2)]
        assert runs[0] == runs[1]
