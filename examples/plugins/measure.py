"""The loss of a plugin's decomposition beside that of the built-in one, for three seeds.

    python examples/plugins/measure.py overlap
    python examples/plugins/measure.py clusters

Prints the last values, and writes losses.png, the loss over evaluations per process, into
the plugin's folder. It belongs to none of the distributions.
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib

import ddopt

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
CUTS = {  # the run file, and the decompositions by their labels; None: that of the file
    "overlap": (
        "poisson.toml",
        {
            "layers (built in)": {"name": "layers", "subdomains": 3},
            "overlap of 0 layers": {"name": "overlap", "subdomains": 3, "overlap": 0},
            "overlap of 1 layer": None,
            "overlap of 2 layers": {"name": "overlap", "subdomains": 3, "overlap": 2},
        },
    ),
    "clusters": (
        "mnist.toml",
        {"data (built in)": {"name": "data", "subdomains": 4}, "clusters": None},
    ),
}


def course(folder, file, cut, seed):
    """Evaluations and losses of one run, two lists of equal length."""
    changes = {"plugins": [f"{folder.name}.py"], "output.figures": False, "seed": seed}
    if cut is not None:
        changes["strategy.decomposition"] = cut
    with tempfile.TemporaryDirectory() as place:
        result = ddopt.train(folder / file, out=Path(place) / "run", show=False, **changes)
        return list(result.metrics["evaluations"]), list(result.metrics["loss"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plugin", choices=CUTS)
    name = parser.parse_args().plugin
    folder, (file, cuts) = HERE / f"ddopt_{name}", CUTS[name]
    for number, (label, cut) in enumerate(cuts.items()):
        ends = []
        for seed in SEEDS:
            spent, losses = course(folder, file, cut, seed)
            ends.append(losses[-1])
            plt.semilogy(spent, losses, color=f"C{number}", label=label if seed == 0 else None)
        print(f"{label:28}", *(f"{end:.2e}" for end in ends), flush=True)
    plt.xlabel("evaluations per process")
    plt.ylabel("loss")
    plt.legend()
    plt.savefig(folder / "losses.png", dpi=120)


if __name__ == "__main__":
    main()
