"""The trust-region method with a quadratic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from ddopt.method import contract
from ddopt.numerics.vectors import LOCAL
from ddopt.setup.component import Chosen, Settings, chosen
from ddopt.solver.region import Region, RegionSettings
from ddopt.solver.solver import Solver
from ddopt.solver.unit import Unit

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.evaluation.question import Asking
    from ddopt.numerics.vectors import Geometry
    from ddopt.solver.solver import Answer
    from ddopt.subproblem import Candidate


class TrustRegion(Solver):
    """Minimises a quadratic model in a ball, again and again."""

    name = "trust_region"

    class Config(RegionSettings):
        """The parts of the method."""

        hessian: Annotated[Settings, Chosen("hessian")] = Field(
            "quasi_newton",
            validate_default=True,
            description="curvature of the model; the strategy's choice where none is given",
        )
        subproblem: Annotated[Settings, Chosen("subproblem")] = Field(
            "obs", validate_default=True, description="how the model is minimised in the ball"
        )
        learn_from_rejected: bool = Field(
            True, description="take the gradient of rejected trials too, and learn from it"
        )

        @model_validator(mode="after")
        def _nested(self) -> TrustRegion.Config:
            """The steps lie in the ball.

            Raises ``ValueError`` for a subproblem whose box sticks out of the ball of the 2-norm.
            """
            if self.norm == "2" and getattr(self.subproblem, "norm", "2") == "inf":
                raise ValueError(
                    f"the subproblem {self.subproblem.component.name!r} fills a box (norm = "
                    "'inf'), which sticks out of the ball of the 2-norm by up to √n; give the "
                    "solver norm = 'inf' too, or the subproblem norm = '2'"
                )
            return self

        def with_curvature(self, hessian: str | dict[str, Any]) -> TrustRegion.Config:
            """These options with that Hessian approximation, if none was given."""
            if "hessian" in self.model_fields_set:
                return self
            if self.subproblem.component.name != "obs":
                hessian = "lsr1"  # the others multiply by B, and a dense matrix is its inverse
            return self.model_copy(update={"hessian": chosen("hessian", hessian)})

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.region, self.unit = Region(self.config), Unit()
        self._geometry = LOCAL
        self.config = self.config.with_curvature("quasi_newton")
        self.hessian: Any = self.config.hessian.build()
        self.subproblem: Any = self.config.subproblem.build()

    @property
    def least_squares(self) -> bool:  # type: ignore[override]
        """Whether its curvature is made from residuals."""
        return bool(self.hessian.least_squares)

    @property
    def learns_always(self) -> bool:
        """Whether every trial's gradient is taken."""
        return bool(self.config.learn_from_rejected and self.hessian.learns)

    @property
    def radius(self) -> float:
        """The current radius."""
        return self.region.radius

    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int
    ) -> Asking[Answer]:
        """Iterate from ``start``; curvature and radius are kept for the next call."""
        if self.unit.settle(problem, start):  # what is remembered is in another unit
            self.reset()

        def iterate(f: Problem, begin: Point) -> Asking[Answer]:
            return self.region.iterate(f, begin, ball, iterations, self)

        return self.unit.iterate(problem, start, iterate)

    def propose(self, problem: Problem, point: Point, radius: float) -> Candidate:
        """The minimiser of the model in the ball, refined where the curvature knows how."""
        found = self.subproblem.solve(self.hessian.model(problem, point), radius)
        candidate = contract.candidate(self.subproblem, found, point.gradient, radius)
        candidate = self.hessian.refine(problem, point, candidate, self.region.room)
        return candidate

    def observe(self, point: Point, trial: Point, candidate: Candidate, accepted: bool) -> None:
        """Learn the change of the gradient along the step."""
        if self.hessian.learns and (accepted or self.config.learn_from_rejected):
            self.hessian.expect(trial.gradient if accepted else point.gradient)
            self.hessian.update(candidate.step, trial.gradient - point.gradient)

    def resize(self, radius: float) -> None:
        """Begin the next call with this radius."""
        self.region.radius = radius

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the curvature memory."""
        self.hessian.prepare(like)

    def measure(self, geometry: Geometry) -> None:
        """Take inner products in ``geometry``."""
        self._geometry = geometry
        self.hessian.measure(geometry)

    def learn(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Give a secant pair to the Hessian approximation."""
        if self.unit.fit(y, self._geometry):
            self.reset()
        c = self.unit.factor
        self.hessian.update(s, y if c == 1.0 else c * y)

    def leave(self) -> None:
        """Let go of the last model."""
        self.hessian.leave()

    def reset(self) -> None:
        """Forget the curvature and earlier values; the radius finds its way by itself."""
        self.hessian.reset()
        self.renew()

    def renew(self) -> None:
        """Forget earlier values alone."""
        self.region.acceptance.reset()

    def state_dict(self) -> dict[str, Any]:
        """The trust region's state, the curvature, and the unit of f that it is in."""
        own = {"region": self.region.state_dict(), "unit": self.unit.state_dict()}
        return {**own, **super().state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.region.load_state_dict(state["region"])
        self.unit.load_state_dict(state["unit"])
        super().load_state_dict(state)
