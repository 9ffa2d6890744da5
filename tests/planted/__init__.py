"""Defects that authors make, by the check that must tell them: components, and the words."""

from tests.planted.acceptances import ACCEPTANCES
from tests.planted.baselines import BASELINES
from tests.planted.decompositions import DECOMPOSITIONS
from tests.planted.executors import EXECUTORS
from tests.planted.hessians import HESSIANS
from tests.planted.problems import TASKS
from tests.planted.radii import RADII
from tests.planted.recombinations import RECOMBINATIONS
from tests.planted.samplings import SAMPLINGS, SIZE
from tests.planted.solvers import SOLVERS
from tests.planted.spoil import made
from tests.planted.strategies import STRATEGIES
from tests.planted.subproblems import SUBPROBLEMS
from tests.planted.walks import BATCH, WALKS

TABLES = {
    "decomposition": DECOMPOSITIONS,
    "acceptance": ACCEPTANCES,
    "radius": RADII,
    "recombination": RECOMBINATIONS,
    "hessian": HESSIANS,
    "subproblem": SUBPROBLEMS,
    "sampling": SAMPLINGS,
    "strategy": STRATEGIES,
    "baseline": BASELINES,
    "task": TASKS,
    "solver": SOLVERS,
    "walk": WALKS,
    "executor": EXECUTORS,
}

OPTIONS = {"sampling": SIZE | {"growth": 2.0, "patience": 1}, "walk": BATCH}

__all__ = ["OPTIONS", "SIZE", "TABLES", "made"]
