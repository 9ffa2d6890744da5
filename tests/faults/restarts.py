"""Ranks that die under torchrun's own agent, which starts them again."""

from __future__ import annotations

import os
import signal
import sys

from tests.faults import variants
from tests.faults.processes import Victim, done, finish


def attempt(random, place, references) -> None:
    """Two or three processes, of which one dies once or twice, while a run begins or goes on."""
    variant = random.choice(list(variants.VARIANTS))
    size = random.choice(variants.sizes(variant)[1:])
    deaths = [(random.randrange(variants.ITERATIONS), random.randrange(size)) for _ in range(2)]
    out = place / "out"
    words = ["run", variants.run_file(place), *variants.VARIANTS[variant], "--out", out]
    if random.random() < 0.5:
        done([*words, f"stop.iterations={random.randrange(1, 6)}"], place / "begin")
        words = ["resume", out, f"stop.iterations={variants.ITERATIONS}"]
    agent = Victim(lambda: _launch([str(word) for word in words], size, deaths), place / "log")
    assert finish([agent]) == [0], agent.said()[-700:]
    variants.compare(references / variant, out)


def _launch(words: list[str], size: int, deaths) -> None:
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=size,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=f"faults-{os.getpid()}",
        max_restarts=len(deaths),
        monitor_interval=0.1,
        start_method="fork",
    )
    elastic_launch(config, _work)(words, deaths)


def _work(words: list[str], deaths) -> None:
    """What each process does, each time that it is started."""
    from ddopt.cli import cli
    from ddopt.method.engine import Engine

    again = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    step = Engine.step
    if again < len(deaths):

        def dying(engine, problem):
            iteration, rank = deaths[again]
            if engine.iteration >= iteration and os.environ["RANK"] == str(rank):
                os.kill(os.getpid(), signal.SIGKILL)
            return step(engine, problem)

        Engine.step = dying
    sys.argv = ["ddopt", *words]
    cli(words, prog_name="ddopt", standalone_mode=False)
