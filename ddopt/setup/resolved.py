"""What runs, made from what was asked for: the only place where options settle."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ddopt.setup.component import Component, Settings

if TYPE_CHECKING:
    from ddopt.method.strategy import Strategy


def resolve(
    strategy: Strategy | Settings, solver: Settings, sampling: Settings | None = None
) -> tuple[Strategy, Settings]:
    """The strategy and the solver's options as they run, with all that was left open decided.

    First come the strategy's own options (``Strategy.suited``), where the run's sampling is known.
    Then the strategy chooses what a solver leaves open, its curvature above all
    (``Strategy.settled``): for the run's solver, and for each that its own options name. What was
    given stays as it is, so what has been resolved once is resolved to the same again. Options are
    frozen: those that change are new ones.

    Called where a run file is read, where ``ddopt.SAPTS`` is made, and by the check of strategies.
    Raises ``ValueError`` for a choice of the strategy that its solver cannot take.
    """
    method = strategy if isinstance(strategy, Component) else _built(strategy)
    if sampling is not None:
        method = _built(method.suited(sampling))
    options: Settings = method.config
    own = {key: getattr(options, key) for key in type(options).model_fields}
    named = {key: method.settled(value) for key, value in own.items() if _is_solver(value)}
    changed = {key: value for key, value in named.items() if value is not own[key]}
    if changed:
        method = _built(options.model_copy(update=changed))
    return method, method.settled(solver)


def _built(options: Settings) -> Strategy:
    return cast("Strategy", options.build())


def _is_solver(value: object) -> bool:
    return isinstance(value, Settings) and value.component.seam == "solver"
