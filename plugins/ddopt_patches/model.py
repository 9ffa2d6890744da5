"""Patches in a DeepXDE script: a network, and the compile line that solves for it.

net = ddopt_patches.fbpinn(geometry, along=[8, 8])
model = dde.Model(data, net)
ddopt_patches.compile(model)
model.train(iterations=10)
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ddopt.optim import SAPTS
from ddopt.setup.component import Settings
from ddopt_patches.conditions import periodic_axes
from ddopt_patches.fit import fit
from ddopt_patches.grid import Grid
from ddopt_patches.in_slabs import InSlabs, OneAfterTheOther, in_slabs
from ddopt_patches.inverse import InverseProblem
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.options import PatchSettings
from ddopt_patches.refine import Refine, finer
from ddopt_patches.statement import Statement, box
from ddopt_patches.system import FEWEST, System
from ddopt_patches.weights import FACTOR
from ddopt_pinn.library import dde
from ddopt_pinn.model import data_in_parts


def fbpinn(
    geometry: Any,
    outputs: int = 1,
    periodic: tuple[int, ...] | int = (),
    seed: int = 0,
    slabs: int = 1,
    **options: Any,
) -> FBPINN:
    """A network of local networks on overlapping patches of a domain.

    Args:
        geometry: a ``dde.geometry`` object, with time if there is time; patches cover its box.
        outputs: components of the solution.
        periodic: axes whose ends are one place, or the number of one; a ``PeriodicBC`` along them
            holds by itself.
        seed: of the random features.
        slabs: time slabs that ``compile`` solves one after the other; they share the cells in time.
        options: along, features, scale, window, coarse and train_hidden, as in ``PatchSettings``.
    """
    if not isinstance(slabs, int) or slabs < 1:
        raise ValueError(f"slabs = {slabs!r}: expected a whole number, 1 or more; 1 is no slabs")
    settings = PatchSettings(**options)
    bounds = box(geometry).tolist()
    patches = settings.patches(bounds, outputs, periodic, seed)
    if slabs == 1:
        return FBPINN(patches)
    if settings.coarse:
        raise ValueError(
            "a coarse network covers all times, and slabs are solved one after the other; set "
            "slabs = 1, or leave coarse"
        )
    if settings.train_hidden or not hasattr(geometry, "timedomain"):
        raise ValueError(
            "slabs need a geometry with time, and hidden layers that do not train; set slabs = 1"
        )
    return in_slabs(patches, slabs)


def compile(
    model: Any,
    rows: float = FEWEST,
    condition_weight: float | None = None,
    observed: float = FACTOR,
    solver: dict[str, Any] | Settings | str | None = None,
    **options: Any,
) -> None:
    """``model.compile`` for a network on patches: every iteration is a Gauss-Newton step.

    The equation and the conditions are those of the model's data. They are asked for at Gauss
    points of the cells, ``rows`` for each unknown; the points of the data serve DeepXDE's display.
    Where all output weights are zero they begin with the initial condition at all times.

    Args:
        model: a ``dde.Model`` with a ``dde.data.PDE`` (``TimePDE``) and a network of ``fbpinn``.
        rows: residuals for each unknown, at least.
        condition_weight: factor of the residuals of the conditions; None: it is chosen.
        observed: of values at points of one's own (``PointSetBC``) beside conditions, which have 3,
            where weights are chosen. 0.03 gives the least-squares estimate from noisy values;
            compile and train with 3 first where the equation is not linear.
        solver: by default ``trust_region`` with ``block_gauss_newton``, and
            ``levenberg_marquardt`` where hidden layers move: f is then far from quadratic.
        options: of ``dde.Model.compile``, for example ``metrics``, and
            ``external_trainable_variables``: numbers that the equation reads and that are to be
            found, too.

    Raises ``ValueError`` for another network or other data, for data without a point of some
    condition, for a weight that is not positive, for float32, and for a periodic condition along an
    axis that the patches do not close.
    """
    net = model.net
    _refuse(net, options)
    _positive(condition_weight)
    data = data_in_parts(model)
    _shown(data)
    open_ends = set(periodic_axes(data.bcs)) - net.grid.periodic
    if open_ends:
        raise ValueError(
            f"a PeriodicBC joins the ends of axis {min(open_ends)}, and the patches do not: make "
            f"the network with periodic=({', '.join(str(a) for a in sorted(open_ends))},)"
        )
    asked = None if isinstance(net, InSlabs) else net
    stated = Statement(data.geom, data.pde, data.bcs, net._output_transform, asked)
    given = options.get("external_trainable_variables") or []
    variables = list(given) if isinstance(given, (list, tuple)) else [given]
    if variables and isinstance(net, InSlabs):
        raise ValueError(
            f"{len(variables)} unknown numbers belong to all time slabs at once, and slabs are "
            "solved one after the other; make the network without slabs="
        )

    def system(some: Statement, patches: Patches) -> System:
        return some.system(patches, rows, condition_weight, observed)

    if solver is None:
        solver = "levenberg_marquardt" if net.moving else "trust_region"
    optimizer = SAPTS([*net.parameters(), *variables], "patches", solver=solver)
    model.compile(optimizer, **options)
    if isinstance(net, InSlabs):
        turns = OneAfterTheOther(net, stated, optimizer, system)
        turns()
        optimizer.minimise(turns)
        return
    unknown = {f"unknown.{i}": one for i, one in enumerate(variables)}
    problem = InverseProblem(system(stated, net.patches), unknown)
    if net.blank:
        with torch.no_grad():
            net.weights.copy_(stated.start(net.patches))
    optimizer.minimise(lambda _: problem)


def _positive(condition_weight: float | None) -> None:
    """Refuse a weight of the conditions that lets them go, or turns f into nan."""
    if condition_weight is not None and not 0.0 < condition_weight < math.inf:
        raise ValueError(
            f"condition_weight = {condition_weight:g}: expected a positive number, or None for one "
            "that the method chooses"
        )


def _shown(data: Any) -> None:
    """Refuse data that DeepXDE would show as nan, whereupon it ends the training by itself."""
    for condition, points in zip(data.bcs, data.num_bcs, strict=True):
        if not points:
            count = "num_initial" if isinstance(condition, dde.icbc.IC) else "num_boundary"
            raise ValueError(
                f"the data has no point at which its {type(condition).__name__} holds: DeepXDE "
                f"would show a loss of nan and end the training after a step; give {count}=20 "
                "(patches take points of their own, those of the data are for the display)"
            )


def refined(
    model: Any, most: int = 16_000, share: float = 0.9, goal: float = 0.0, seed: int = 0
) -> FBPINN | None:
    """A network on smaller cells where the residual of a trained one asks for it; None: nowhere.

    It begins with the solution of the old one: make a ``dde.Model`` with it, compile, and train on.

    Args:
        model: a ``dde.Model`` that ``compile`` has compiled, trained.
        most: unknowns that are not to be passed.
        share: of the squared residual whose cells are split.
        goal: mean squared residual at random points that is small enough.
        seed: of those points and of the new features.

    Raises ``ValueError`` for another network, for one in slabs, and for hidden layers that train.
    """
    net = model.net
    _refuse(net, {})
    if net.moving:
        raise ValueError(
            "a network whose hidden layers train is not refined: smaller cells begin with features "
            "of their own; make the network without train_hidden"
        )
    if net.grid.whole:
        raise ValueError(
            "a network with a coarse part is not refined: the cells that are split would begin "
            "without it; make the network without coarse"
        )
    if isinstance(net, InSlabs):
        raise ValueError(
            "a network in slabs is not refined in a script; give slabs and refine in a run file, "
            "or make the network without slabs"
        )
    data = data_in_parts(model)
    stated = Statement(data.geom, data.pde, data.bcs, net._output_transform)
    patches, options = net.patches, Refine(most=most, share=share, goal=goal)
    equation = stated.equation_at(patches)
    nodes, _ = finer(patches, net.weights.detach(), equation, stated.inside, options, seed)
    if nodes is None:
        return None
    grid = Grid(nodes, sorted(net.grid.periodic), net.grid.window)
    scale = float(net.W.abs().max())
    fine = FBPINN(Patches.random(grid, patches.features, patches.outputs, scale, seed))
    with torch.no_grad():
        fine.weights.copy_(fit(fine.patches, net.blended))
    fine.apply_output_transform(net._output_transform)
    return fine


def _refuse(net: Any, options: dict[str, Any]) -> None:
    if not isinstance(net, FBPINN):
        raise ValueError(
            f"ddopt_patches.compile is for a network of ddopt_patches.fbpinn, and not for a "
            f"{type(net).__name__}; use model.compile or ddopt_pinn.compile"
        )
    if net._input_transform is not None:
        raise ValueError(
            "a feature transform changes the coordinates that the patches are laid in; write the "
            "equation in the coordinates of the network instead"
        )
    if net.weights.dtype != torch.float64:
        raise ValueError(
            "patches are solved in float64, and the weights of this network are in "
            f"{str(net.weights.dtype).removeprefix('torch.')}; call net.double(), and not "
            "net.float() or net.half()"
        )
    if dde.config.default_float() != "float64":
        raise ValueError(
            "patches are solved in float64, and DeepXDE makes float32: begin the script with "
            "dde.config.set_default_float('float64')"
        )
