"""The methods under the names that scripts use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, cast

import torch
from pydantic import ValidationError, create_model

from ddopt.method import contract
from ddopt.method.parts import GlobalPass, Parts
from ddopt.optim import groups
from ddopt.optim.optimizer import EngineOptimizer
from ddopt.sampling.batches import Batches
from ddopt.setup.component import Chosen, Settings, lookup
from ddopt.setup.limits import brief
from ddopt.setup.options import explain
from ddopt.setup.resolved import resolve

if TYPE_CHECKING:
    from ddopt.executor import Executor


class TrustRegion(EngineOptimizer):
    """The undecomposed trust region: quasi-Newton curvature, no learning rate.

    With ``hessian="gauss_newton"`` the closure returns the vector of residuals, without backward,
    and f is the mean of their squares.
    ``options`` are those of the solver, for example ``hessian={"name": "lsr1", "memory": 50}``;
    the others are :class:`EngineOptimizer`'s, and ``lr`` has no effect. ``step(closure)`` and
    ``step(closure, batch)`` both work. A step costs ``iterations`` evaluations of the closure, and
    one more where f is another function than in the last step (mini-batches, functions drawn anew):
    several iterations share its cost. Raises ``ValueError`` for less than one iteration.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        iterations: int = 1,
        buffers: Iterable[torch.Tensor] = (),
        stochastic: bool | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(iterations, int) or iterations < 1:
            raise ValueError(
                f"iterations = {iterations!r}; expected how many a step takes, a whole number of "
                "at least 1"
            )
        chosen: Any = _options("solver", "trust_region", options)
        parts = Parts(None, GlobalPass(chosen.build(), iterations))
        super().__init__(params, parts, lr=lr, buffers=buffers, stochastic=stochastic)


class _OfResiduals(EngineOptimizer):
    """One solver that works on residuals, under the name that scripts use."""

    _solver: str

    def __init__(
        self,
        params: Iterable[Any],
        *,
        buffers: Iterable[torch.Tensor] = (),
        stochastic: bool | None = None,
        **options: Any,
    ) -> None:
        chosen: Any = _options("solver", self._solver, options)
        parts = Parts(None, GlobalPass(chosen.build()))
        super().__init__(params, parts, buffers=buffers, stochastic=stochastic)


class LevenbergMarquardt(_OfResiduals):
    """Nonlinear least squares: f is the mean of the squares of what the closure returns.

    The closure returns the residuals, a tensor of any shape, and calls no backward::

        optimizer = ddopt.LevenbergMarquardt(net.parameters())
        for _ in range(100):
            loss = optimizer.step(lambda: net(x) - y)

    A weight w of a term of the loss is a factor √w on its residuals; terms that are means of their
    own are concatenated with √(m/m_t) on term t, m residuals in all and m_t in the term. A complex
    residual is two real ones (``torch.view_as_real``). ``options`` are those of the solver, for
    example ``corrections=0``; the others are :class:`EngineOptimizer`'s.
    """

    _solver = "levenberg_marquardt"


class LeastSquares(_OfResiduals):
    """Nonlinear least squares, quasi-Newton first and Gauss-Newton from where it gains more.

    The closure returns the residuals and calls no backward, as for :class:`LevenbergMarquardt`; f
    is the mean of their squares. Which method takes a step is decided by the work that is counted,
    not by time, so a script can be repeated bit for bit. ``options`` are those of the solver, for
    example ``gauss_newton={"name": "levenberg_marquardt", "corrections": 0}``.
    """

    _solver = "least_squares"


class SAPTS(EngineOptimizer):
    """Stochastic additively preconditioned trust-region strategies.

    Args:
        params: tensors, named tensors (their names define the layers), or groups of either. Of
            tensors without names, each of two or more dimensions begins a layer.
        variant: "P" decomposes the layers and takes ``step(closure)``; "D" decomposes the samples
            and takes ``step(closure, batch)``; "PINN" decomposes the points of a problem in boxes
            (``ddopt_pinn.compile``); any registered strategy's name works as well.
        subdomains: N; 2 where it is not given, unless other options say how many there are.
        solver: the solver of the subdomains and of the global pass: a name or a table.
        executor: who evaluates for the subdomains: a name ("batched"), a table, or an executor.
        stochastic: as for every one of these optimizers; given as True, "D" also takes the options
            that suit mini-batches where you give none.
        options: the strategy's other options, for example ``local_iterations=10``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        variant: str = "P",
        subdomains: int | None = None,
        *,
        lr: float = 1.0,
        solver: Any = "trust_region",
        executor: Executor | str | dict[str, Any] | None = None,
        buffers: Iterable[torch.Tensor] = (),
        stochastic: bool | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(variant, str):
            raise ValueError(
                f"the second argument is the variant, 'P' or 'D' for example, and "
                f"{brief(variant)} was given; there is no learning rate to give"
            )
        short = len(variant) <= 2 or variant.upper() == "PINN"  # of sapts_d, sapts_p, ...
        name = f"sapts_{variant.lower()}" if short else variant
        chosen = _options("strategy", name, {**_counted(name, subdomains, options), **options})
        sampling = Batches.Config() if stochastic else None
        strategy, settled = resolve(chosen, _options("solver", solver), sampling)
        super().__init__(
            params,
            contract.parts(strategy, strategy.parts(settled)),
            lr=lr,
            shares=strategy.shares,
            executor=_executor(executor),
            buffers=buffers,
            stochastic=stochastic,
        )


def _counted(strategy: str, subdomains: int | None, options: dict[str, Any]) -> dict[str, int]:
    """The number of subdomains as an option; none for a strategy that counts in another way."""
    if subdomains is not None:
        return {"subdomains": subdomains}
    counts = "subdomains" in _own("strategy", strategy)
    return {"subdomains": 2} if counts and not {"splits", "patterns"} & options.keys() else {}


def _executor(given: Executor | str | dict[str, Any] | None) -> Executor | None:
    """The executor that a name or a table stands for, or the one that is given."""
    if isinstance(given, (str, dict)):
        return cast("Executor", _options("executor", given).build())
    return given


def _own(seam: str, name: Any) -> list[str]:
    """The options of a component; none for an unknown name, which is explained with them."""
    try:
        return list(lookup(seam, name).Config.model_fields)
    except ValueError:
        return []


def _options(seam: str, value: Any, options: dict[str, Any] | None = None) -> Settings:
    """Options of a component from its name, a table, or an object."""
    if options:
        options = groups.without_foreign(options, _own(seam, value))
        value = {"name": value, **options}
    field: Any = (Annotated[Settings, Chosen(seam)], ...)
    model = create_model("Options", **{seam: field})
    try:
        return cast("Settings", getattr(model.model_validate({seam: value}), seam))
    except ValidationError as error:
        found = explain(error, model, {seam: value})
        raise ValueError("\n".join(f"{key}: {wrong}" for key, wrong in found)) from None
