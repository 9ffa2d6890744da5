"""Clusters of images and parts that are dealt like cards, on MNIST.

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
    "data (built in)": ["strategy.decomposition={name='data', subdomains=4}"],
    "clusters": [],
}
SEEDS = (0, 1, 2)


def course(changes, place):
    """Evaluations and losses of one run."""
    config = load(
        HERE / "mnist.toml", [*changes, "output.figures=false"], [HERE / "ddopt_clusters.py"]
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
