"""What the processes of test_launch run: they join, add up their ranks, and may die on request."""

import os
import signal
import sys
from pathlib import Path

import torch

from ddopt.executor.launch import connect

if __name__ == "__main__":
    folder, how = Path(sys.argv[1]), sys.argv[2]
    with connect() as executor:
        like = torch.zeros(3)
        own = {d: torch.full((3,), float(d)) for d in executor.owned(5)}
        total = executor.sum(own, 5, like)
        text = f"{executor.name} {executor.size} {total.tolist()} {torch.get_num_threads()}"
        (folder / f"{executor.rank}").write_text(text)
        if executor.rank == 1 and how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if executor.rank == 1 and how == "raise":
            raise ValueError("bad luck")
        executor.numbers({d: [1.0] for d in executor.owned(4)}, 4)
