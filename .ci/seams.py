"""Writes docs/seams.md: a complete plugin for each kind, as ``ddopt new-plugin`` makes it."""

import tempfile
from pathlib import Path

from ddopt.setup import scaffold

PAGE = Path(__file__).parents[1] / "docs" / "seams.md"
HEAD = """\
# A plugin for each seam

A complete module of each kind, as `ddopt new-plugin mine --kind KIND` writes it, with what its methods are given and must return. Written by `python .ci/seams.py`; the tests run each of them.
The docstrings of the abstract classes have the shapes: `help(ddopt.Decomposition)`.
"""
NOTES = {
    "decomposition": "`split` is called in every iteration, on every process alike. Indices are a slice or a tensor of distinct integers, `None` for all; `samples` are some of "
    "`problem.samples`, `weight` the share of them that the subdomain stands for.",
    "solver": "`propose` gives a step of at most `radius` and the decrease that it promises; the region around it judges. A solver without a region derives from `ddopt.Solver` and writes `iterate`, a "
    "generator that asks (`point = yield Both(problem, theta)`, from `ddopt.evaluation.question`) and returns a `ddopt.Answer`.",
    "hessian": "`update` learns from s and y = ∇f(θ + s) − ∇f(θ), `model` makes the model at a point, `reset` forgets. Without `update`, set `learns = False`.",
    "subproblem": "`solve` gives a step with ‖p‖ <= radius, at least as good as the Cauchy step, the decrease of the model along it, and its length.",
    "recombination": "`corrections` has the steps of the subdomains, wherever they are: `sum(weights)` and `each()` bring them together. `ball` says how far each subdomain may go so that the step stays in the radius.",
    "acceptance": "`ratio` is ρ for a finite trial and a positive prediction, `remember` takes note of a trial that was taken; a `threshold` is among the options.",
    "radius": "`update` gives the next radius after a `ddopt.Trial`: finite, positive, and smaller after a rejection. ρ is −∞ where f was not finite.",
    "strategy": "`parts` makes the parts of the method anew each time; `solver` are the options of its local solver.",
    "problem": "`prepare` sets the problem and the first parameters from the seed, in the dtype and on the device of the run; `measure` gives figures of merit.",
    "sampling": "`samples` gives D of an iteration; iterations with one `draw` have the same samples. What was observed before may count, through the state.",
    "baseline": "`f.at(θ)` gives f and ∇f and counts, `f.iterate(θ, value)` records; both raise when the budget is spent.",
    "executor": "`carry_out` answers what the subdomains ask, in any order or several at once; `sum`, `each`, `numbers` and `pick` reduce over processes.",
    "hook": "Every function is optional, and takes the arguments that it needs; [all hooks](plugins.md#hooks).",
    "command": "Commands are click's.",
}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    with tempfile.TemporaryDirectory() as place:
        for kind, note in NOTES.items():
            folder, _ = scaffold.write("mine", kind, Path(place) / kind)
            code = (folder / "ddopt_mine.py").read_text(encoding="utf-8")
            parts.append(f"## {kind.capitalize()}\n\n{note}\n\n```python\n{code}```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
