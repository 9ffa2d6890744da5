"""Two processes of MPI have the numbers of one. Run it by pytest, where mpi4py and an MPI are."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mpi4py")
HERE = Path(__file__).parent


def conforms() -> None:
    import torch
    from ddopt_mpi import MPIExecutor

    import ddopt
    from ddopt.executor import Serial
    from ddopt.setup.resolved import resolve
    from ddopt.solver.trust_region import TrustRegion
    from ddopt.testing import check_executor
    from ddopt.testing.problems import regression
    from ddopt_sapts.data import SaptsD

    torch.set_num_threads(1)
    executor = MPIExecutor()
    assert executor.size == 2
    check_executor(executor)
    losses = []
    for kind in (Serial(), executor):
        strategy, solver = resolve(SaptsD(subdomains=3), TrustRegion.Config())
        engine, (problem, theta) = ddopt.Engine(strategy.parts(solver), kind), regression()
        engine.start(problem, theta)
        losses.append([engine.step(problem).loss for _ in range(6)])
    assert losses[0] == losses[1]
    assert executor.bytes_sent > 0


def test_two_processes_have_the_numbers_of_one():
    mpiexec = shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("there is no mpiexec")
    command = [mpiexec, "-n", "2", sys.executable, str(HERE / "test_ddopt_mpi.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    conforms()
