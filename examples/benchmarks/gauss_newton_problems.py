"""What each row of the Gauss-Newton table trains, with its options."""

import gauss_newton_statements as statements
from gauss_newton_runs import Run, Script, setting_of, task_of

from ddopt.setup.component import lookup

# Burgers: 3,000 points, 8,000 late in a run, redrawn by residual.
HARD = {"interior": 3000, "exact": True, "resampling": {"name": "stratified"}}
TASKS = {
    "burgers": ("burgers", HARD),
    "burgers-odd": ("burgers", {**HARD, "odd": True}),
    "poisson2d": ("poisson2d", {}),
    "poisson2d-hard": ("poisson2d", {"interior": 400, "exact": True}),
    "helmholtz2d": ("helmholtz2d", {}),
    "multiscale": ("multiscale", {}),
    "convection": ("convection", {}),
    "convection50": ("convection", {"speed": 50.0, "frequencies": 20, "interior": 3000}),
}
STATEMENTS = {
    "poisson": (statements.Poisson, {}),
    "helmholtz": (statements.Helmholtz, {}),
    "wave": (statements.Wave, {}),
    "wave5": (statements.FasterWave, {}),
    "kdv": (statements.KdV, {}),
    "poisson5d": (statements.Poisson5, {}),
    "poisson5d-10000": (statements.Poisson5, {"points": 10_000}),
    "reaction": (statements.Reaction, {}),
}
# In plain torch, a closure that returns residuals; the others are trained as ``ddopt run`` does.
SCRIPTS = {
    "poisson-script": STATEMENTS["poisson"],
    "helmholtz-script": STATEMENTS["helmholtz"],
    "wave-script": STATEMENTS["wave"],
    "wave5-script": STATEMENTS["wave5"],
    "kdv-script": STATEMENTS["kdv"],
    "poisson5d-script": STATEMENTS["poisson5d"],
    "reaction-coarse": (statements.CoarseReaction, {}),
}
PROBLEMS = [*TASKS, *STATEMENTS, *SCRIPTS]


def made(name, solver, seed):
    """The run of a row, ready for its first step."""
    if name in TASKS:
        problem, options = TASKS[name]
        return Run(lookup("problem", problem)(**options), solver, setting_of(seed))
    kind, changes = (STATEMENTS if name in STATEMENTS else SCRIPTS)[name]
    statement = kind(**changes)
    if name in SCRIPTS:
        return Script(statement, solver, seed)
    return Run(task_of(statement), solver, setting_of(seed))
