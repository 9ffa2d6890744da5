"""Long runs: neither memory nor the time of an iteration grows."""

from __future__ import annotations

import json
import resource
import statistics
import time

from tests.faults import variants
from tests.faults.processes import done

METHODS = {
    "trust_region": ["strategy=trust_region", "sampling={name='batches', size=19}"],
    "sapts_d": ["strategy=sapts_d", "strategy.subdomains=2", "sampling={name='batches', size=19}"],
    "sapts_p": ["strategy=sapts_p", "strategy.subdomains=3", "sampling={name='batches', size=19}"],
    "sapts_m": ["strategy=sapts_m", "strategy.subdomains=2"],
}
BLOCKS = 20
MEMORY, TIME = 1.05, 1.5  # times that of the first blocks, when everything has been allocated


def attempt(random, place, references, method: str, iterations: int) -> None:
    """Some thousand iterations that never come to rest, since each sees other samples."""
    samples, out = place / "samples.json", place / "out"
    stop = [
        f"stop.iterations={iterations}",
        "output.checkpoint_every=500",
        "output.keep_best=false",
    ]
    words = ["run", variants.run_file(place), *METHODS[method], *stop, "--out", out]
    done(words, place / "log", before=lambda: _sample(samples, iterations // BLOCKS), longest=3000)
    rows = json.loads(samples.read_text())
    assert len(rows) == BLOCKS, f"{method}: {len(rows)} of {BLOCKS} blocks, it ended by itself"
    memory, seconds = zip(*rows, strict=True)
    early, late = statistics.median(seconds[2:8]), statistics.median(seconds[-6:])
    assert late <= TIME * early, f"{method}: {early:.4g} s a block became {late:.4g} s"
    assert memory[-1] <= MEMORY * memory[4], f"{method}: {memory[4]} kB became {memory[-1]} kB"


def _sample(path, every: int) -> None:
    """Write down the peak of the memory, and the processor's time, of each block of iterations."""
    from ddopt.method.engine import Engine

    step, rows, since = Engine.step, [], [time.process_time()]

    def watched(engine, problem):
        report = step(engine, problem)
        if engine.iteration % every == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            rows.append([peak, time.process_time() - since[0]])
            since[0] = time.process_time()
            path.write_text(json.dumps(rows))
        return report

    Engine.step = watched
