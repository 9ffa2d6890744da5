"""The meter: whoever evaluates charges, and nobody else counts.

The engine hands out every problem inside a :class:`Metered`, so that whatever a solver, a model, a
recombination or an acceptance policy evaluates is charged, whoever wrote it.

The unit is one evaluation: the loss over all of D with its full gradient. A value whose gradient is
never asked for is a whole one. The other prices are rounded from docs/design/prices.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import torch

from ddopt.evaluation.derived import Derived, held
from ddopt.evaluation.problem import Kind, Operator, Point, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.evaluation.jacobian import Gramian
    from ddopt.executor import Executor
    from ddopt.numerics.space import Indices

GRAPH = 1.0  # of a gradient or of residuals, from which all products at one θ are made
PRODUCT = 2.0  # of the Hessian and a vector
DIFFERENTIAL = 1.0  # of the Jacobian, or its transpose, and a vector
RESIDUALS = 1.0  # a value, as it were
ROW = 0.3  # of a Jacobian by a backward pass for each residual; Problem.jacobian_price of others

# What takes less than its price, as measured: for a solver that chooses by what a step will take.
RESIDUALS_TAKE = 0.4
SINGLE_TAKES = 0.6  # of the price, a Jacobian in float32


class Meter:
    """Evaluations since the last ``reset``: total, and per process, one for each subdomain.

    A meter lives as long as who owns it: products with a Jacobian that was made in an earlier step
    are charged to the meter of then.
    """

    def __init__(self) -> None:
        self._own: dict[int, Meter] = {}
        self.reset()

    def reset(self) -> None:
        """Begin to count anew, the subdomains' own accounts too."""
        self.total = self.parallel = 0.0
        self.work = 0.0  # the total with measured prices in place of round ones
        for own in self._own.values():
            own.reset()

    def charge(self, total: float, parallel: float, takes: float = 1.0) -> None:
        """Take note of what all processes do together, or all alike; it ``takes`` so much of it."""
        self.total += total
        self.parallel += parallel
        self.work += takes * total

    def of(self, subdomain: int) -> Meter:
        """What a subdomain evaluates by itself, while the others do the same."""
        return self._own.setdefault(subdomain, Meter())

    def gather(
        self, executor: Executor, values: dict[int, list[float]], count: int
    ) -> list[list[float]]:
        """``executor.numbers``; with them travels what each subdomain has spent since the last."""
        spent = {d: [*row, self.of(d).total] for d, row in values.items()}
        for own_meter in self._own.values():
            own_meter.reset()
        rows = executor.numbers(spent, count)
        own = [row.pop() for row in rows]
        self.charge(math.fsum(own), max(own))
        return rows


class Metered(Derived):
    """A problem whose evaluations are charged to a meter, as are those of everything cut from it.

    A problem that has a meter already charges both.
    """

    def __init__(self, problem: Problem, meter: Meter) -> None:
        super().__init__(problem)
        self.meter = meter
        self._paid = False  # whether what is made once at a point has been charged before
        self.extra = None if problem.extra is None else Metered(problem.extra, meter)

    def on(self, meter: Meter) -> Metered:
        """The same, charged to another meter."""
        return Metered(self.problem, meter)

    def _around(self, problem: Problem) -> Metered:
        found = Metered(problem, self.meter)
        found.extra = None  # of local problems, whoever cuts them
        return found

    def _seen(self, theta: torch.Tensor, point: Point) -> Point:
        """A point that is seen has been evaluated: one."""
        self._charge(1.0)
        return point

    def _charge(self, price: float, takes: float = 1.0) -> None:
        self.meter.charge(price * self.problem.cost, price * self.problem.path, takes)

    def _charge_once(self, price: float, takes: float = 1.0) -> None:
        """For what is made once at a point."""
        if not self._paid:
            self._charge(price, takes)

    @property
    def paid(self) -> Metered:
        """The same, of which products alone are charged."""
        found = self._around(self.problem.paid)
        found._paid = True
        return found

    def ability(self, kind: type[Kind]) -> Kind | None:
        """The problem inside as a ``kind``; its own methods are charged as it says."""
        found = self.problem.ability(kind)
        return None if found is None else cast(Kind, Lent(found, self._charge))

    def frozen(self, point: Point, indices: Indices) -> Problem:
        """f of the parameters in ``indices`` alone, charged to the same meter."""
        return self._around(held(self.problem, point, indices))

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ ∇²f(θ) v; the graph is charged now, or with each product that builds it again."""
        return self._multiplied(super().curvature(theta))

    def generalised(self, theta: torch.Tensor) -> Operator:
        """v ↦ G v; charged as the Hessian is."""
        return self._multiplied(super().generalised(theta))

    def _multiplied(self, product: Operator) -> Operator:
        anew = self.graph_anew
        if not anew:
            self._charge_once(GRAPH)
        price = PRODUCT + GRAPH * anew
        return self._charging(product, lambda: self._charge(price))

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ), as a value."""
        self._charge_once(RESIDUALS, RESIDUALS_TAKE)
        return super().residuals(theta)

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """∂r/∂θ, by its rows unless the problem has a price for all of them."""
        rows = super().jacobian(theta, dtype)
        self._charge_rows(len(rows), dtype)
        return rows

    def linearised(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> Gramian:
        """The same as a linear map; its rows stay where they are."""
        found = self.problem.linearised(theta, dtype)
        self._charge_rows(found.shape[0], dtype)
        return found

    def _charge_rows(self, count: int, dtype: torch.dtype | None) -> None:
        """A Jacobian of ``count`` rows; a row of a share passes through that share alone."""
        price, single = self.jacobian_price, dtype == torch.float32 != self.layout.dtype
        if self._paid:
            return
        if price is not None:
            self._charge(price, SINGLE_TAKES if single else 1.0)
            return
        total, longest = self.problem.squares
        whole = ROW * count * self.problem.cost
        self.meter.charge(whole * total, whole * longest)

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ J v and w ↦ Jᵀw; r is charged now, and every product when it is made."""
        self._charge_once(GRAPH)
        first, second = super().differential(theta)
        price, before = DIFFERENTIAL + GRAPH * self.rows_anew, self.rebuilt

        def charge() -> None:
            nonlocal before
            self._charge(price + GRAPH * (self.rebuilt - before))
            before = self.rebuilt

        return self._charging(first, charge), self._charging(second, charge)

    @staticmethod
    def _charging(multiply: Operator, charge: Callable[[], None]) -> Operator:
        def product(v: torch.Tensor) -> torch.Tensor:
            found = multiply(v)
            charge()
            return found

        return product


class Lent:
    """A problem with abilities of its own; it charges what it names in ``charged``."""

    def __init__(self, problem: Problem, charge: Callable[[float], None]) -> None:
        self._problem, self._charge = problem, charge

    def __getattr__(self, name: str) -> Any:
        found, price = getattr(self._problem, name), self._problem.charged.get(name)
        if price is None:
            return found

        def charging(*arguments: Any, **options: Any) -> Any:
            self._charge(price)
            return found(*arguments, **options)

        return charging
