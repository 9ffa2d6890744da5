"""The exact minimiser of a limited-memory model in a ball ("orthonormal basis" method).

Source: Brust, Erway and Marcia, On solving L-SR1 trust-region subproblems, COAP 66 (2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.hessian.hessian import Diagonalised
from ddopt.subproblem.subproblem import Candidate, Subproblem

if TYPE_CHECKING:
    from ddopt.hessian import Model


class OBS(Subproblem):
    """Solves the secular equation of a diagonalised model to machine precision."""

    name = "obs"

    def solve(self, model: Model, radius: float) -> Candidate:
        """The global minimiser, hard case included.

        Raises ``ValueError`` for a model whose eigenvalues are not at hand.
        """
        if not isinstance(model, Diagonalised):
            raise ValueError(
                f"the subproblem solver 'obs' needs a model whose eigenvalues are at hand (hessian "
                f"'lsr1', 'lbfgs' or 'gauss_newton'), not {type(model).__name__}; choose the "
                "subproblem 'steihaug' or 'cauchy' for it"
            )
        step, solution = model.minimise(radius)
        return Candidate(step, solution.decrease, solution.norm)
