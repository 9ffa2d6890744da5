"""The components of the core, registered through the hook that every plugin uses.

They are named, not imported: listing them costs nothing, and torch comes with the first one used.
"""

from typing import Any

from ddopt.setup.hookspecs import hookimpl

COMPONENTS = {
    "decomposition": {
        "data": "ddopt.decomposition.data:Data",
        "boxes": "ddopt.decomposition.boxes:Boxes",
        "layers": "ddopt.decomposition.layers:Layers",
        "product": "ddopt.decomposition.product:Product",
        "stages": "ddopt.decomposition.stages:Stages",
    },
    "solver": {
        "trust_region": "ddopt.solver.trust_region:TrustRegion",
        "trust_region_adam": "ddopt.solver.trust_region_adam:TrustRegionAdam",
        "lssr1": "ddopt.solver.lssr1:LSSR1",
        "levenberg_marquardt": "ddopt.solver.levenberg_marquardt:LevenbergMarquardt",
        "least_squares": "ddopt.solver.least_squares:LeastSquares",
        "adam": "ddopt.solver.adam:Adam",
        "sgd": "ddopt.solver.sgd:SGD",
        "muon": "ddopt.solver.muon:Muon",
        "prodigy": "ddopt.solver.prodigy:Prodigy",
    },
    "hessian": {
        "none": "ddopt.hessian.none:NoCurvature",
        "lsr1": "ddopt.hessian.lsr1:LSR1",
        "quasi_newton": "ddopt.hessian.quasi_newton:QuasiNewton",
        "exact": "ddopt.hessian.exact:Exact",
        "gauss_newton": "ddopt.hessian.gauss_newton:GaussNewton",
        "lbfgs": "ddopt.hessian.lbfgs:LBFGS",
        "ssbroyden": "ddopt.hessian.ssbroyden:SSBroyden",
    },
    "subproblem": {
        "cauchy": "ddopt.subproblem.cauchy:Cauchy",
        "obs": "ddopt.subproblem.obs:OBS",
        "steihaug": "ddopt.subproblem.steihaug:Steihaug",
        "dogleg": "ddopt.subproblem.dogleg:Dogleg",
    },
    "recombination": {
        "sum": "ddopt.recombination.sum:Sum",
        "mean": "ddopt.recombination.mean:Mean",
        "best": "ddopt.recombination.best:Best",
        "coarse": "ddopt.recombination.coarse:Coarse",
    },
    "acceptance": {
        "monotone": "ddopt.acceptance.monotone:Monotone",
        "window": "ddopt.acceptance.window:Window",
        "toint": "ddopt.acceptance.toint:Toint",
        "averaged": "ddopt.acceptance.averaged:Averaged",
        "asntr": "ddopt.acceptance.asntr:ASNTR",
    },
    "radius": {
        "stepwise": "ddopt.radius.stepwise:Stepwise",
        "by_ratio": "ddopt.radius.by_ratio:ByRatio",
    },
    "sampling": {
        "full": "ddopt.sampling.full:Full",
        "batches": "ddopt.sampling.batches:Batches",
        "adaptive": "ddopt.sampling.adaptive:Adaptive",
    },
    "baseline": {
        "adam": "ddopt.compare.descent:Adam",
        "sgd": "ddopt.compare.descent:SGD",
        "lbfgs": "ddopt.compare.lbfgs:LBFGS",
    },
    "executor": {
        "serial": "ddopt.executor.serial:Serial",
        "batched": "ddopt.executor.batched:Batched",
        "distributed": "ddopt.executor.distributed:Distributed",
    },
}


@hookimpl
def ddopt_register(register: Any) -> None:
    """Register every component of the core."""
    for seam, components in COMPONENTS.items():
        for name, where in components.items():
            register(where, seam=seam, name=name)
