"""Temporary stand-in until the plugin manager lands."""

from functools import cache

from ddopt.component import Registry

CORE = {
    "decomposition": {
        "data": "ddopt.decomposition.data:Data",
        "layers": "ddopt.decomposition.layers:Layers",
    },
    "solver": {
        "trust_region": "ddopt.solver.trust_region:TrustRegion",
        "trust_region_adam": "ddopt.solver.trust_region_adam:TrustRegionAdam",
        "adam": "ddopt.solver.adam:Adam",
        "sgd": "ddopt.solver.sgd:SGD",
    },
    "hessian": {
        "none": "ddopt.hessian.none:NoCurvature",
        "lsr1": "ddopt.hessian.lsr1:LSR1",
        "exact": "ddopt.hessian.exact:Exact",
        "gauss_newton": "ddopt.hessian.gauss_newton:GaussNewton",
        "lbfgs": "ddopt.hessian.lbfgs:LBFGS",
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
        "coarse": "ddopt.recombination.coarse:Coarse",
    },
    "acceptance": {
        "monotone": "ddopt.acceptance.monotone:Monotone",
        "window": "ddopt.acceptance.window:Window",
        "toint": "ddopt.acceptance.toint:Toint",
        "averaged": "ddopt.acceptance.averaged:Averaged",
    },
    "radius": {"stepwise": "ddopt.radius.stepwise:Stepwise"},
    "executor": {"serial": "ddopt.executor.serial:Serial"},
}


class M:
    pass


@cache
def manager():
    m = M()
    m.registry = Registry()
    for seam, d in CORE.items():
        for n, w in d.items():
            m.registry.add(w, seam=seam, name=n, provider="ddopt")
    import ddopt_sapts

    ddopt_sapts.ddopt_register(m.registry.add)
    return m
