"""The additively preconditioned trust-region strategies, and the plain method they must beat.

Every strategy is a choice of core parts; none has a loop of its own.
"""

from typing import Any

from ddopt.setup.hookspecs import hookimpl

STRATEGIES = {
    "apts": "ddopt_sapts.data:APTS",
    "hybrid": "ddopt_sapts.hybrid:Hybrid",
    "napts": "ddopt_sapts.layers:NAPTS",
    "sapts": "ddopt_sapts.sapts:Sapts",
    "sapts_d": "ddopt_sapts.data:SaptsD",
    "sapts_ip": "ddopt_sapts.stages:SaptsIP",
    "sapts_m": "ddopt_sapts.micro:SaptsM",
    "sapts_p": "ddopt_sapts.layers:SaptsP",
    "sapts_pinn": "ddopt_sapts.boxes:SaptsPINN",
    "trust_region": "ddopt_sapts.trust_region:TrustRegion",
}


@hookimpl
def ddopt_register(register: Any) -> None:
    """Register the strategies; each is imported when a run names it."""
    for name, where in STRATEGIES.items():
        register(where, seam="strategy", name=name)
