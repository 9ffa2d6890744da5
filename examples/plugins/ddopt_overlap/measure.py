"""Overlapping groups of layers and disjoint ones, on Poisson's equation.

    python measure.py

Writes losses.png, the loss over evaluations on the longest path, and prints its last values.
"""

import tempfile
from pathlib import Path

import matplotlib

from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.setup.config import load

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
CUTS = {
    "layers (built in)": ["strategy.decomposition={name='layers', subdomains=3}"],
    "overlap of 0 layers": ["strategy.decomposition.overlap=0"],
    "overlap of 1 layer": [],
    "overlap of 2 layers": ["strategy.decomposition.overlap=2"],
}
SEEDS = (0, 1, 2)


def course(changes, place):
    """Evaluations and losses of one run."""
    config = load(
        HERE / "poisson.toml", [*changes, "output.figures=false"], [HERE / "ddopt_overlap.py"]
    )
    folder = Folder(place)
    execute(config, folder)
    lines = folder.metrics()
    return [line["evaluations"] for line in lines], [line["loss"] for line in lines], lines[-1]


if __name__ == "__main__":
    for number, (label, change) in enumerate(CUTS.items()):
        ends = []
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as place:
                spent, losses, last = course([*change, f"seed={seed}"], Path(place))
            ends.append(losses[-1])
            plt.semilogy(spent, losses, color=f"C{number}", label=label if seed == 0 else None)
        print(f"{label:28}", *(f"{end:.2e}" for end in ends), flush=True)
    plt.xlabel("evaluations on the longest path")
    plt.ylabel("loss")
    plt.legend()
    plt.savefig(HERE / "losses.png", dpi=120)
