"""ddopt: train networks by domain decomposition and trust regions.

``import ddopt`` imports neither torch nor anything else that is slow: names are looked up when they
are first used (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddopt.acceptance import Acceptance as Acceptance
    from ddopt.acceptance import Verdict as Verdict
    from ddopt.decomposition import Decomposition as Decomposition
    from ddopt.decomposition import Subdomain as Subdomain
    from ddopt.evaluation.autograd import AutogradProblem as AutogradProblem
    from ddopt.evaluation.problem import Point as Point
    from ddopt.evaluation.problem import Problem as Problem
    from ddopt.evaluation.problem import Samples as Samples
    from ddopt.executor import Executor as Executor
    from ddopt.hessian import Hessian as Hessian
    from ddopt.hessian import Model as Model
    from ddopt.method.engine import Engine as Engine
    from ddopt.method.parts import GlobalPass as GlobalPass
    from ddopt.method.parts import Parts as Parts
    from ddopt.method.parts import Preconditioner as Preconditioner
    from ddopt.method.parts import StepReport as StepReport
    from ddopt.method.strategy import Strategy as Strategy
    from ddopt.numerics.space import Layout as Layout
    from ddopt.optim import SAPTS as SAPTS
    from ddopt.optim import LeastSquares as LeastSquares
    from ddopt.optim import LevenbergMarquardt as LevenbergMarquardt
    from ddopt.optim import TrustRegion as TrustRegion
    from ddopt.radius import RadiusRule as RadiusRule
    from ddopt.radius import Trial as Trial
    from ddopt.recombination import Corrections as Corrections
    from ddopt.recombination import Recombination as Recombination
    from ddopt.recombination import Recombined as Recombined
    from ddopt.results import Comparison as Comparison
    from ddopt.results import Result as Result
    from ddopt.results import compare_methods as compare_methods
    from ddopt.results import load as load
    from ddopt.results import train as train
    from ddopt.setup.component import Chosen as Chosen
    from ddopt.setup.component import Component as Component
    from ddopt.setup.component import Registry as Registry
    from ddopt.setup.component import Settings as Settings
    from ddopt.setup.hookspecs import hookimpl as hookimpl
    from ddopt.solver import Answer as Answer
    from ddopt.solver import Solver as Solver
    from ddopt.subproblem import Candidate as Candidate
    from ddopt.subproblem import Subproblem as Subproblem
    from ddopt.task import Setting as Setting
    from ddopt.task import Task as Task

    __version__: str

_HOMES = {
    "acceptance": ("Acceptance", "Verdict"),
    "evaluation.autograd": ("AutogradProblem",),
    "setup.component": ("Chosen", "Component", "Registry", "Settings"),
    "decomposition": ("Decomposition", "Subdomain"),
    "method.engine": ("Engine",),
    "executor": ("Executor",),
    "hessian": ("Hessian", "Model"),
    "setup.hookspecs": ("hookimpl",),
    "optim": ("SAPTS", "LeastSquares", "LevenbergMarquardt", "TrustRegion"),
    "method.parts": ("GlobalPass", "Parts", "Preconditioner", "StepReport"),
    "evaluation.problem": ("Point", "Problem", "Samples"),
    "radius": ("RadiusRule", "Trial"),
    "recombination": ("Corrections", "Recombination", "Recombined"),
    "results": ("Comparison", "Result", "compare_methods", "load", "train"),
    "solver": ("Answer", "Solver"),
    "numerics.space": ("Layout",),
    "method.strategy": ("Strategy",),
    "subproblem": ("Candidate", "Subproblem"),
    "task": ("Setting", "Task"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first used."""
    if name == "__version__":
        value: Any = _version()
    elif name in _HOME:
        from importlib import import_module

        value = getattr(import_module(f"ddopt.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'ddopt' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ddopt")
    except PackageNotFoundError:  # a checkout that has not been installed
        return "0+unknown"
