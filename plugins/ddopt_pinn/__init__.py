"""Physics-informed networks, set up through DeepXDE and trained without a learning rate.

``PDETask`` is what a problem of one's own derives from, ``DifferentialTask`` what represents
solutions in another way, and ``dde`` is DeepXDE, imported when a problem is prepared and not
before. ``compile`` is for DeepXDE scripts: ``model.compile`` with a loss that can be evaluated on
parts of the points; ``ModelProblem`` is that loss, and ``Converged`` a callback that ends
``model.train``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ddopt.setup.hookspecs import hookimpl

if TYPE_CHECKING:
    from ddopt_pinn.callbacks import Converged as Converged
    from ddopt_pinn.compiling import compile as compile
    from ddopt_pinn.differential import DifferentialTask as DifferentialTask
    from ddopt_pinn.library import dde as dde
    from ddopt_pinn.model import ModelProblem as ModelProblem
    from ddopt_pinn.task import PDETask as PDETask

PROBLEMS = {
    "allen_cahn": "ddopt_pinn.allen_cahn:AllenCahn",
    "allen_cahn_steady": "ddopt_pinn.allen_cahn:AllenCahnSteady",
    "burgers": "ddopt_pinn.burgers:Burgers",
    "cavity": "ddopt_pinn.cavity:Cavity",
    "convection": "ddopt_pinn.convection:Convection",
    "diffusion_inverse": "ddopt_pinn.diffusion:DiffusionInverse",
    "diffusion_reaction": "ddopt_pinn.diffusion:DiffusionReaction",
    "helmholtz2d": "ddopt_pinn.helmholtz:Helmholtz2D",
    "kdv": "ddopt_pinn.kdv:KdV",
    "multiscale": "ddopt_pinn.multiscale:Multiscale",
    "poisson1d": "ddopt_pinn.poisson:Poisson1D",
    "poisson2d": "ddopt_pinn.poisson:Poisson2D",
    "poisson3d": "ddopt_pinn.poisson:Poisson3D",
    "poisson5d": "ddopt_pinn.poisson:Poisson5D",
    "reaction": "ddopt_pinn.reaction:Reaction",
    "wave": "ddopt_pinn.wave:Wave",
}
OPERATORS = {"antiderivative": "ddopt_pinn.operator:Antiderivative"}
RESAMPLINGS = {
    "none": "ddopt_pinn.resampling:Fixed",
    "rad": "ddopt_pinn.resampling:RAD",
    "rar": "ddopt_pinn.resampling:RAR",
    "rar-d": "ddopt_pinn.resampling:RARD",
    "stratified": "ddopt_pinn.stratified:Stratified",
}
BASELINES = {"nncg": "ddopt_pinn.nncg:NNCG"}
LAZY = {
    "Converged": "ddopt_pinn.callbacks",
    "DifferentialTask": "ddopt_pinn.differential",
    "ModelProblem": "ddopt_pinn.model",
    "PDETask": "ddopt_pinn.task",
    "compile": "ddopt_pinn.compiling",
    "dde": "ddopt_pinn.library",
}


@hookimpl
def ddopt_register(register: Any) -> None:
    """Register problems, resamplings and a baseline; each is imported when a run names it."""
    seams = {"problem": PROBLEMS | OPERATORS, "resampling": RESAMPLINGS, "baseline": BASELINES}
    for seam, components in seams.items():
        for name, where in components.items():
            register(where, seam=seam, name=name)


@hookimpl
def ddopt_after_run(run: Any) -> None:
    """Draw the subdomains of a run that was decomposed in space."""
    from ddopt_pinn.differential import DifferentialTask

    parts = run.engine.parts.preconditioner
    in_space = parts is not None and hasattr(parts.decomposition, "regions")
    wanted = run.folder is not None and run.config.output.figures and find_spec("matplotlib")
    if wanted and in_space and run.subdomains > 1 and isinstance(run.task, DifferentialTask):
        from ddopt_pinn.subdomains import draw

        draw(run.task, parts.decomposition, run.task.problem, run.folder.path)


def __getattr__(name: str) -> Any:
    """Import what costs torch only when it is asked for."""
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(LAZY[name]), name)
