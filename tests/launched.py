"""What the processes of test_launch run: they join, add up, and die or hang on request."""

import os
import signal
import sys
import time
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
        if how == "hang":
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            (folder / f"{executor.rank}").write_text(str(os.getpid()))
            time.sleep(100.0)
        executor.numbers({d: [1.0] for d in executor.owned(4)}, 4)
