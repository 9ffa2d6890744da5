"""Test problems of unconstrained optimisation: sums of squares f(x) = Σ r_i(x)².

Source: Moré, Garbow and Hillstrom, Testing unconstrained optimization software, ACM TOMS 7 (1981);
the numbers in the names of the functions are those of that paper. Starts and minima are its own.
Float64. Legend: n parameters, m residuals.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

PI = math.pi


@dataclass(frozen=True)
class Classical:
    """One problem: its residuals (n,) -> (m,), where to begin, and the minima that are known."""

    name: str
    residuals: Callable[[Tensor], Tensor]
    start: Tensor  # shape: (n,)
    minima: tuple[float, ...]  # of f; the first is the global one

    def f(self, x: Tensor) -> Tensor:
        """The sum of squares, a 0-d tensor."""
        return self.residuals(x).square().sum()

    def value_and_gradient(self, x: Tensor) -> tuple[float, Tensor]:
        """f and ∇f, shape (n,), at ``x`` (n,)."""
        x = x.detach().clone().requires_grad_()
        value = self.f(x)
        return float(value.detach()), torch.autograd.grad(value, x)[0]

    def hessian(self, x: Tensor) -> Tensor:
        """∇²f, shape (n, n)."""
        return torch.func.hessian(self.f)(x)


def column(text: str) -> Tensor:
    """The numbers of a table of data."""
    return torch.tensor([float(word) for word in text.split()], dtype=torch.float64)


def count(m: int) -> Tensor:
    """1, ..., m."""
    return torch.arange(1, m + 1, dtype=torch.float64)


def rosenbrock(x):  # 1, and 21 for n > 2
    a, b = x[0::2], x[1::2]
    return torch.cat([10.0 * (b - a**2), 1.0 - a])


def freudenstein_roth(x):  # 2
    a, b = x
    return torch.stack(
        [-13.0 + a + ((5.0 - b) * b - 2.0) * b, -29.0 + a + ((b + 1.0) * b - 14.0) * b]
    )


def powell_badly_scaled(x):  # 3
    return torch.stack([1e4 * x[0] * x[1] - 1.0, torch.exp(-x[0]) + torch.exp(-x[1]) - 1.0001])


def brown_badly_scaled(x):  # 4
    return torch.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2.0])


def beale(x):  # 5
    return column("1.5 2.25 2.625") - x[0] * (1.0 - x[1] ** count(3))


def jennrich_sampson(x, m=10):  # 6
    i = count(m)
    return 2.0 + 2.0 * i - (torch.exp(i * x[0]) + torch.exp(i * x[1]))


def helical_valley(x):  # 7
    a, b, c = x
    turn = torch.atan(b / a) / (2.0 * PI) + 0.5 * (a < 0.0)
    return torch.stack([10.0 * (c - 10.0 * turn), 10.0 * (torch.hypot(a, b) - 1.0), c])


BARD = column("0.14 0.18 0.22 0.25 0.29 0.32 0.35 0.39 0.37 0.58 0.73 0.96 1.34 2.10 4.39")


def bard(x):  # 8
    u = count(15)
    v = 16.0 - u
    return BARD - (x[0] + u / (v * x[1] + torch.minimum(u, v) * x[2]))


GAUSSIAN = column(
    "0.0009 0.0044 0.0175 0.0540 0.1295 0.2420 0.3521 0.3989 "
    "0.3521 0.2420 0.1295 0.0540 0.0175 0.0044 0.0009"
)


def gaussian(x):  # 9
    t = (8.0 - count(15)) / 2.0
    return x[0] * torch.exp(-x[1] * (t - x[2]) ** 2 / 2.0) - GAUSSIAN


MEYER = column(
    "34780 28610 23650 19630 16370 13720 11540 9744 8261 7030 6005 5147 4427 3820 3307 2872"
)


def meyer(x):  # 10
    t = 45.0 + 5.0 * count(16)
    return x[0] * torch.exp(x[1] / (t + x[2])) - MEYER


def gulf(x, m=99):  # 11
    t = count(m) / 100.0
    y = 25.0 + (-50.0 * torch.log(t)) ** (2.0 / 3.0)
    return torch.exp(-(torch.abs(y - x[1]) ** x[2]) / x[0]) - t


def box(x, m=10):  # 12
    t = 0.1 * count(m)
    return (
        torch.exp(-t * x[0]) - torch.exp(-t * x[1]) - x[2] * (torch.exp(-t) - torch.exp(-10.0 * t))
    )


def powell_singular(x):  # 13, and 22 for n > 4
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    return torch.cat(
        [a + 10.0 * b, 5.0**0.5 * (c - d), (b - 2.0 * c) ** 2, 10.0**0.5 * (a - d) ** 2]
    )


def wood(x):  # 14
    a, b, c, d = x
    return torch.stack(
        [
            10.0 * (b - a**2),
            1.0 - a,
            90.0**0.5 * (d - c**2),
            1.0 - c,
            10.0**0.5 * (b + d - 2.0),
            (b - d) / 10.0**0.5,
        ]
    )


KOWALIK = column("0.1957 0.1947 0.1735 0.1600 0.0844 0.0627 0.0456 0.0342 0.0323 0.0235 0.0246")
KOWALIK_U = column("4 2 1 0.5 0.25 0.167 0.125 0.1 0.0833 0.0714 0.0625")


def kowalik_osborne(x):  # 15
    u = KOWALIK_U
    return KOWALIK - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def brown_dennis(x, m=20):  # 16
    t = count(m) / 5.0
    return (x[0] + t * x[1] - torch.exp(t)) ** 2 + (x[2] + x[3] * torch.sin(t) - torch.cos(t)) ** 2


OSBORNE_1 = column(
    "0.844 0.908 0.932 0.936 0.925 0.908 0.881 0.850 0.818 0.784 0.751 0.718 0.685 0.658 0.628 "
    "0.603 0.580 0.558 0.538 0.522 0.506 0.490 0.478 0.467 0.457 0.448 0.438 0.431 0.424 0.420 "
    "0.414 0.411 0.406"
)


def osborne_1(x):  # 17
    t = 10.0 * (count(33) - 1.0)
    return OSBORNE_1 - (x[0] + x[1] * torch.exp(-t * x[3]) + x[2] * torch.exp(-t * x[4]))


def biggs(x, m=13):  # 18
    t = 0.1 * count(m)
    y = torch.exp(-t) - 5.0 * torch.exp(-10.0 * t) + 3.0 * torch.exp(-4.0 * t)
    return (
        x[2] * torch.exp(-t * x[0]) - x[3] * torch.exp(-t * x[1]) + x[5] * torch.exp(-t * x[4]) - y
    )


OSBORNE_2 = column(
    "1.366 1.191 1.112 1.013 0.991 0.885 0.831 0.847 0.786 0.725 0.746 0.679 0.608 0.655 0.616 "
    "0.606 0.602 0.626 0.651 0.724 0.649 0.649 0.694 0.644 0.624 0.661 0.612 0.558 0.533 0.495 "
    "0.500 0.423 0.395 0.375 0.372 0.391 0.396 0.405 0.428 0.429 0.523 0.562 0.607 0.653 0.672 "
    "0.708 0.633 0.668 0.645 0.632 0.591 0.559 0.597 0.625 0.739 0.710 0.729 0.720 0.636 0.581 "
    "0.428 0.292 0.162 0.098 0.054"
)


def osborne_2(x):  # 19
    t = (count(65) - 1.0) / 10.0
    model = x[0] * torch.exp(-t * x[4])
    for i in range(3):
        model = model + x[1 + i] * torch.exp(-((t - x[8 + i]) ** 2) * x[5 + i])
    return OSBORNE_2 - model


def watson(x):  # 20
    t = count(29) / 29.0
    j = torch.arange(len(x), dtype=torch.float64)
    power = t[:, None] ** j
    slope = (j[1:] * x[1:] * power[:, :-1]).sum(dim=1)
    first = slope - (x * power).sum(dim=1) ** 2 - 1.0
    return torch.cat([first, x[:1], (x[1] - x[0] ** 2 - 1.0)[None]])


def penalty_1(x):  # 23
    return torch.cat([1e-5**0.5 * (x - 1.0), (x.square().sum() - 0.25)[None]])


def penalty_2(x):  # 24
    n = len(x)
    i, root = count(n), 1e-5**0.5
    e = torch.exp(i / 10.0)
    y = e[1:] + e[:-1]
    pairs = root * (torch.exp(x[1:] / 10.0) + torch.exp(x[:-1] / 10.0) - y)
    single = root * (torch.exp(x[1:] / 10.0) - math.exp(-0.1))
    last = ((n - i + 1.0) * x.square()).sum() - 1.0
    return torch.cat([(x[0] - 0.2)[None], pairs, single, last[None]])


def variably_dimensioned(x):  # 25
    total = (count(len(x)) * (x - 1.0)).sum()
    return torch.cat([x - 1.0, total[None], total[None] ** 2])


def trigonometric(x):  # 26
    n = len(x)
    return n - torch.cos(x).sum() + count(n) * (1.0 - torch.cos(x)) - torch.sin(x)


def brown_almost_linear(x):  # 27
    n = len(x)
    return torch.cat([x[:-1] + x.sum() - (n + 1.0), (torch.prod(x) - 1.0)[None]])


def boundary_value(x):  # 28
    h = 1.0 / (len(x) + 1)
    t = h * count(len(x))
    zero = x.new_zeros(1)
    left, right = torch.cat([zero, x[:-1]]), torch.cat([x[1:], zero])
    return 2.0 * x - left - right + h**2 * (x + t + 1.0) ** 3 / 2.0


def integral_equation(x):  # 29
    h = 1.0 / (len(x) + 1)
    t = h * count(len(x))
    cube = (x + t + 1.0) ** 3
    below = torch.cumsum(t * cube, 0)
    above = ((1.0 - t) * cube).sum() - torch.cumsum((1.0 - t) * cube, 0)
    return x + h * ((1.0 - t) * below + t * above) / 2.0


def broyden_tridiagonal(x):  # 30
    zero = x.new_zeros(1)
    left, right = torch.cat([zero, x[:-1]]), torch.cat([x[1:], zero])
    return (3.0 - 2.0 * x) * x - left - 2.0 * right + 1.0


def broyden_banded(x, lower=5, upper=1):  # 31
    n = len(x)
    i = torch.arange(n)
    near = ((i[:, None] - lower <= i) & (i <= i[:, None] + upper) & (i[:, None] != i)).double()
    return x * (2.0 + 5.0 * x**2) + 1.0 - near @ (x * (1.0 + x))


def linear_full_rank(x, m):  # 32
    s = 2.0 * x.sum() / m
    return torch.cat([x - s - 1.0, (-s - 1.0).expand(m - len(x))])


def linear_rank_1(x, m):  # 33
    return count(m) * (count(len(x)) * x).sum() - 1.0


def linear_rank_1_zeros(x, m):  # 34
    middle = count(m - 2) * (count(len(x)) * x)[1:-1].sum() - 1.0
    one = torch.ones(1, dtype=x.dtype)
    return torch.cat([-one, middle, -one]) + 0.0 * x.sum()


def chebyquad(x):  # 35
    n = len(x)
    y = 2.0 * x - 1.0
    before, now = torch.ones_like(y), y
    found = []
    for i in range(1, n + 1):
        integral = -1.0 / (i * i - 1.0) if i % 2 == 0 else 0.0
        found.append(now.mean() - integral)
        before, now = now, 2.0 * y * now - before
    return torch.stack(found)


def _grid(n: int) -> Tensor:
    """t_j (t_j − 1) on the inner points of [0, 1]: the start of 28 and 29."""
    t = count(n) / (n + 1)
    return t * (t - 1.0)


def _rank_1(m: int) -> float:
    return m * (m - 1.0) / (2.0 * (2.0 * m + 1.0))


def _rank_1_zeros(m: int) -> float:
    return (m * m + 3.0 * m - 6.0) / (2.0 * (2.0 * m - 3.0))


def _make(name, residuals, start, *minima):
    start = column(start) if isinstance(start, str) else start.double()
    return Classical(name, residuals, start, minima)


GULF = "5 2.5 0.15"
OSBORNE_2_START = "1.3 0.65 0.65 0.7 0.6 3 5 7 2 4.5 5.5"


def problems() -> list[Classical]:
    """All 36, with the sizes at which they are run here."""
    one = torch.ones
    rank_1, zeros = _rank_1(20), _rank_1_zeros(20)
    return [
        _make("Rosenbrock", rosenbrock, "-1.2 1", 0.0),
        _make("Freudenstein and Roth", freudenstein_roth, "0.5 -2", 0.0, 48.98425),
        _make("Powell badly scaled", powell_badly_scaled, "0 1", 0.0),
        _make("Brown badly scaled", brown_badly_scaled, "1 1", 0.0),
        _make("Beale", beale, "1 1", 0.0),
        _make("Jennrich and Sampson", jennrich_sampson, "0.3 0.4", 124.3622),
        _make("Helical valley", helical_valley, "-1 0 0", 0.0),
        _make("Bard", bard, "1 1 1", 8.214877e-3, 17.42869),
        _make("Gaussian", gaussian, "0.4 1 0", 1.127933e-8),
        _make("Meyer", meyer, "0.02 4000 250", 87.94586),
        _make("Gulf research", gulf, GULF, 0.0),
        _make("Box, three dimensions", box, "0 10 20", 0.0),
        _make("Powell singular", powell_singular, "3 -1 0 1", 0.0),
        _make("Wood", wood, "-3 -1 -3 -1", 0.0),
        _make(
            "Kowalik and Osborne",
            kowalik_osborne,
            "0.25 0.39 0.415 0.39",
            3.075056e-4,
            1.027348e-3,
        ),
        _make("Brown and Dennis", brown_dennis, "25 5 -5 -1", 85822.2016),
        _make("Osborne 1", osborne_1, "0.5 1.5 -1 0.01 0.02", 5.464895e-5),
        _make("Biggs EXP6", biggs, "1 2 1 1 1 1", 0.0, 5.655650e-3),
        _make("Osborne 2", osborne_2, OSBORNE_2_START, 4.013774e-2),
        _make("Watson, 6", watson, torch.zeros(6), 2.287670e-3),
        _make("Watson, 12", watson, torch.zeros(12), 4.722381e-10),
        _make("Extended Rosenbrock, 200", rosenbrock, column("-1.2 1").repeat(100), 0.0),
        _make("Extended Powell, 200", powell_singular, column("3 -1 0 1").repeat(50), 0.0),
        _make("Penalty I, 10", penalty_1, count(10), 7.087651e-5),
        _make("Penalty II, 10", penalty_2, 0.5 * one(10), 2.936605e-4),
        _make(
            "Variably dimensioned, 50",
            variably_dimensioned,
            1.0 - count(50) / 50.0,
            0.0,
        ),
        _make("Trigonometric, 100", trigonometric, one(100) / 100.0, 0.0, 2.795056e-5),
        _make("Brown almost linear, 10", brown_almost_linear, 0.5 * one(10), 0.0, 1.0),
        _make("Boundary value, 100", boundary_value, _grid(100), 0.0),
        _make("Integral equation, 100", integral_equation, _grid(100), 0.0),
        _make("Broyden tridiagonal, 200", broyden_tridiagonal, -one(200), 0.0),
        _make("Broyden banded, 200", broyden_banded, -one(200), 0.0),
        _make("Linear, full rank, 100", lambda x: linear_full_rank(x, 200), one(100), 100.0),
        _make("Linear, rank 1, 10", lambda x: linear_rank_1(x, 20), one(10), rank_1),
        _make("Linear, rank 1, zeros, 10", lambda x: linear_rank_1_zeros(x, 20), one(10), zeros),
        _make("Chebyquad, 8", chebyquad, count(8) / 9.0, 3.516874e-3),
    ]
