"""What the check of problems tells: an ability that a wrapper has forgotten to change."""

import pytest
import torch

from ddopt.testing import check_problem
from tests.test_derived import THETA, WRAPPERS, Sines, gated


class Decayed(WRAPPERS["counted"]):
    """f(θ) + (λ/2) ‖θ‖² with λ = 1, and nothing else that would belong to it."""

    def _around(self, problem):
        return type(self)(problem)

    def _seen(self, theta, point):
        value = point.value + 0.5 * float(theta @ theta)
        return point.seen(theta, value, lambda: point.gradient + theta)


class Curved(Decayed):
    def curvature(self, theta):
        multiply = super().curvature(theta)
        return lambda v: multiply(v) + v


class Shared(Curved):
    weight = 1.0

    def share(self, samples):
        other = Shared(self.problem.share(samples))
        other.weight = self.weight * len(samples) / len(self.samples)
        return other

    def _seen(self, theta, point):
        value = point.value + 0.5 * self.weight * float(theta @ theta)
        return point.seen(theta, value, lambda: point.gradient + self.weight * theta)


class WithResiduals(Shared):
    def residuals(self, theta):
        return torch.cat([super().residuals(theta), theta / 2**0.5])


class WithJacobian(WithResiduals):
    def jacobian(self, theta, dtype=None):
        J = super().jacobian(theta, dtype)
        return torch.cat([J, torch.eye(J.shape[1], dtype=J.dtype) / 2**0.5])


class Whole(WithJacobian):
    def differential(self, theta):
        (product, pullback), n = super().differential(theta), len(theta)
        return (
            lambda v: torch.cat([product(v), v / 2**0.5]),
            lambda w: pullback(w[:-n]) + w[-n:] / 2**0.5,
        )


class Steeper(Whole):
    def _seen(self, theta, point):
        value = point.value + 0.5 * self.weight * float(theta @ theta)
        return point.seen(theta, value, lambda: point.gradient + 2.0 * self.weight * theta)


class Drifting(Sines):
    """f depends on how often it has been evaluated."""

    calls = 0

    def at(self, theta):
        self.calls += 1
        point = super().at(theta)
        return point.seen(theta, point.value + self.calls, lambda: point.gradient)

    both = at


FORGOTTEN = {
    Decayed: "the shares of two halves",
    Shared: r"the residuals have ‖r‖²",
    WithResiduals: "the Jacobian has the shape",
    WithJacobian: r"differential\(θ\)\[0\]\(v\) is not jacobian\(θ\) v",
    Steeper: "the gradient says that the loss changes by",
}


@pytest.mark.parametrize("kind", FORGOTTEN)
def test_what_was_forgotten_is_told(kind):
    with pytest.raises(AssertionError, match=FORGOTTEN[kind]) as error:
        check_problem(kind(Sines()), THETA)
    assert str(error.value).startswith(f"problem {kind.__name__!r}")
    assert "\n" not in str(error.value)


def test_a_forgotten_curvature_is_told():
    forgetful = type("Forgetful", (Whole,), {"curvature": WRAPPERS["counted"].curvature})
    with pytest.raises(AssertionError, match=r"curvature\(θ\)\(v\) is not the change"):
        check_problem(forgetful(Sines()), THETA)


def test_a_loss_that_drifts_is_told():
    with pytest.raises(AssertionError, match="must be a function of theta alone"):
        check_problem(Drifting(), THETA)


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_wrappers_of_the_core_conform(name):
    found = WRAPPERS[name](Sines())
    check_problem(found, THETA[: found.layout.size])


def test_what_is_right_passes_and_what_is_lacking_is_passed_over():
    check_problem(Whole(Sines()), THETA)
    f = Sines()
    f.residuals = f.curvature = lambda theta: (_ for _ in ()).throw(ValueError("cannot do that"))
    check_problem(gated(f), THETA)
