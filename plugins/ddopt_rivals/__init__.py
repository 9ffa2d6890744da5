"""Rivals: the optimizers of the field, by their authors' or other well-kept packages.

They are baselines of ``ddopt compare`` and of studies. Each sees f and ∇f through the same counter
as everybody else. A learning rate is swept, and the sweep is told beside the result.
"""

from typing import Any

from ddopt.setup.hookspecs import hookimpl

BASELINES = {
    "adam_lbfgs": "ddopt_rivals.adam_lbfgs:AdamLBFGS",
    "adamw": "ddopt_rivals.published:AdamW",
    "bfgs": "ddopt_rivals.by_scipy:BFGS",
    "diloco": "ddopt_rivals.local_steps:DiLoCo",
    "engd_w": "ddopt_rivals.natural_gradient:ENGDW",
    "kron": "ddopt_rivals.published:Kron",
    "lbfgsb": "ddopt_rivals.by_scipy:LBFGSB",
    "lion": "ddopt_rivals.published:Lion",
    "local_adamw": "ddopt_rivals.local_steps:LocalAdamW",
    "muloco": "ddopt_rivals.local_steps:MuLoCo",
    "muon": "ddopt_rivals.published:Muon",
    "prodigy": "ddopt_rivals.published:Prodigy",
    "schedule_free": "ddopt_rivals.schedule_free:ScheduleFree",
    "shampoo": "ddopt_rivals.published:Shampoo",
    "soap": "ddopt_rivals.published:SOAP",
    "spring": "ddopt_rivals.natural_gradient:SPRING",
    "ssbroyden": "ddopt_rivals.ssbroyden:SSBroyden",
    "torchmin": "ddopt_rivals.torchmin:TorchMin",
    "trust_ncg": "ddopt_rivals.by_scipy:TrustNCG",
}


@hookimpl
def ddopt_register(register: Any) -> None:
    """Register the baselines; each is imported when a comparison names it."""
    for name, where in BASELINES.items():
        register(where, seam="baseline", name=name)
