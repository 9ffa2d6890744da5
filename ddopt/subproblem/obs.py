"""The exact minimiser of a limited-memory model in a ball ("orthonormal basis" method).

Source: Brust, Erway and Marcia, On solving L-SR1 trust-region subproblems, COAP 66 (2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.hessian.hessian import Diagonalised, Ellipsoidal, Regularised
from ddopt.subproblem.subproblem import Candidate, Subproblem

if TYPE_CHECKING:
    from ddopt.hessian import Model


class OBS(Subproblem):
    """Solves the secular equation of a diagonalised model to machine precision."""

    name = "obs"

    def solve(self, model: Model, radius: float) -> Candidate:
        """The global minimiser, hard case included.

        That of a dense model without eigenvalues is taken in its own norm, that of least squares by
        the normal equations. Raises ``ValueError`` for a model that cannot be minimised directly.
        """
        if isinstance(model, Ellipsoidal | Regularised):
            return Candidate(*model.minimise(radius))
        if not isinstance(model, Diagonalised):
            raise ValueError(
                "the subproblem solver 'obs' needs a model that can be minimised directly (hessian "
                "'lsr1', 'lbfgs', 'ssbroyden' or 'gauss_newton'), not "
                f"{type(model).__name__}; choose the subproblem 'steihaug' or 'cauchy' for it"
            )
        step, solution = model.minimise(radius)
        return Candidate(step, solution.decrease, solution.norm)
