"""Problems of the Gauss-Newton table in plain torch: a box, an equation, and its solution.

A statement knows no optimizer. ``gauss_newton.py`` trains it as a script does, with a closure that
returns residuals, or hands the same equation to ``ddopt_pinn``, which looks into the network.

Where nothing else is said, conditions are built into ``u``, points are a scrambled Sobol sequence,
and the error is relative L2 on 20,000 other such points.
"""

import math

import torch


def derivative(u, x, i):
    """∂u/∂x_i at points, shape (points, 1)."""
    return torch.autograd.grad(u.sum(), x, create_graph=True)[0][:, i : i + 1]


def slopes(u, x):
    """All first derivatives at points, a list of (points, 1)."""
    return list(torch.autograd.grad(u.sum(), x, create_graph=True)[0].split(1, 1))


class Statement:
    """An equation on a box; ``u`` turns the network's output into the solution."""

    low, high = (0.0, 0.0), (1.0, 1.0)
    width, depth, points, activation = 30, 3, 1200, "sin"
    scale = 1.0  # the network sees the box as (−scale, scale)^d
    grid = None  # points along each axis, of an equidistant grid instead of a sequence
    redraw = 0  # iterations between two draws of points in a script; 0: never

    def __init__(self, **changes):
        for name, value in changes.items():
            getattr(self, name)  # one that is misspelt is an error
            setattr(self, name, value)

    @property
    def sizes(self):
        return [len(self.low), *[self.width] * self.depth, 1]

    def seen(self, x):
        """The coordinates that the network sees."""
        low, high = x.new_tensor(self.low), x.new_tensor(self.high)
        return self.scale * (2.0 * (x - low) / (high - low) - 1.0)

    def u(self, x, y):
        """The solution from the network's output ``y`` (points, 1) at ``x``."""
        return y

    def terms(self, net, x):
        """Further residuals, each a mean of its own, for conditions that are not built in."""
        return []


class Poisson(Statement):
    """−Δu = f with u = sin 2πx sin 2πy."""

    points = 800

    def u(self, x, y):
        return (4.0 * x * (1.0 - x)).prod(1, keepdim=True) * y

    def exact(self, x):
        return torch.sin(2.0 * math.pi * x).prod(1, keepdim=True)

    def equation(self, x, u):
        laplacian = sum(derivative(s, x, i) for i, s in enumerate(slopes(u, x)))
        return laplacian + 8.0 * math.pi**2 * self.exact(x)


class Helmholtz(Statement):
    """Δu + u = f on (−1, 1)² with u = sin πx sin 4πy."""

    width, points, low = 40, 1000, (-1.0, -1.0)

    def u(self, x, y):
        return (1.0 - x * x).prod(1, keepdim=True) * y

    def exact(self, x):
        return torch.sin(math.pi * x[:, :1]) * torch.sin(4.0 * math.pi * x[:, 1:])

    def equation(self, x, u):
        laplacian = sum(derivative(s, x, i) for i, s in enumerate(slopes(u, x)))
        return laplacian + u - (1.0 - 17.0 * math.pi**2) * self.exact(x)


class Poisson5(Poisson):
    """−Δu = f in five dimensions with u = Π sin πx_i."""

    width, depth, points, activation = 64, 4, 1000, "tanh"
    low, high = (0.0,) * 5, (1.0,) * 5

    def exact(self, x):
        return torch.sin(math.pi * x).prod(1, keepdim=True)

    def equation(self, x, u):
        laplacian = sum(derivative(s, x, i) for i, s in enumerate(slopes(u, x)))
        return laplacian + 5.0 * math.pi**2 * self.exact(x)


class Wave(Statement):
    """u_tt = 4 u_xx, u(x, 0) = sin πx + ½ sin βπx, u_t(x, 0) = 0, with β = 4.

    The conditions are built in as u = u(x, 0) + t² 4x(1 − x) N, so 2N is about u_tt and has its
    size, 4π² + 2β²π² at the start. A network that has to grow to it loses the fast wave on the way:
    it stands at an error of 0.45, which is that of the slow wave alone. So N is multiplied by this
    size, and the network sees coordinates in which the wave has the frequencies of its first layer.
    """

    depth, points, scale, beta = 4, 1500, 10.0, 4.0

    @property
    def size(self):
        """Of u_tt at the start."""
        return math.pi**2 * (4.0 + 2.0 * self.beta**2)

    def exact(self, x):
        s, t = x[:, :1], x[:, 1:]
        slow = torch.sin(math.pi * s) * torch.cos(2.0 * math.pi * t)
        fast = torch.sin(self.beta * math.pi * s) * torch.cos(2.0 * self.beta * math.pi * t)
        return slow + 0.5 * fast

    def u(self, x, y):
        s, t = x[:, :1], x[:, 1:]
        start = torch.sin(math.pi * s) + 0.5 * torch.sin(self.beta * math.pi * s)
        return start + self.size * t * t * 4.0 * s * (1.0 - s) * y

    def equation(self, x, u):
        u_x, u_t = slopes(u, x)
        return derivative(u_t, x, 1) - 4.0 * derivative(u_x, x, 0)


class FasterWave(Wave):
    """The same with β = 5, as in Rathore et al. (2024)."""

    beta = 5.0


class KdV(Statement):
    """u_t + 6 u u_x + u_xxx = 0 on (−5, 5) × (0, 1), a soliton of speed 4.

    Given are u(x, 0), u(±5, t) and u_x(5, t), as a third derivative asks for.
    """

    depth, scale, low, high = 4, 2.0, (-5.0, 0.0), (5.0, 1.0)

    def exact(self, x):
        return 2.0 / torch.cosh(x[:, :1] - 4.0 * x[:, 1:]) ** 2

    def u(self, x, y):
        z, t = x[:, :1] / 5.0, x[:, 1:]
        return self._lifted(x, z, t) + t * (1.0 + z) * (1.0 - z) ** 2 * y

    def _lifted(self, x, z, t):
        """u(x, 0), and a parabola in x that has what is given at both ends."""

        def gained(end):
            return 2.0 / torch.cosh(end - 4.0 * t) ** 2 - 2.0 / math.cosh(end) ** 2

        def slope(time):
            return -4.0 * torch.tanh(5.0 - 4.0 * time) / torch.cosh(5.0 - 4.0 * time) ** 2

        left, right, steep = gained(-5.0), gained(5.0), 5.0 * (slope(t) - slope(0.0 * t))
        s = 1.0 - z  # from the right end; left at s = 2
        parabola = right - steep * s + (left - right + 2.0 * steep) * s * s / 4.0
        return 2.0 / torch.cosh(x[:, :1]) ** 2 + parabola

    def equation(self, x, u):
        u_x, u_t = slopes(u, x)
        return u_t + 6.0 * u * u_x + derivative(derivative(u_x, x, 0), x, 0)


class Reaction(Statement):
    """u_t = 5 u (1 − u) on (0, 2π) × (0, 1), from a Gaussian bell; no space derivative."""

    activation, high = "tanh", (2.0 * math.pi, 1.0)

    def bell(self, x):
        return torch.exp(-0.5 * ((x[:, :1] - math.pi) / (math.pi / 4.0)) ** 2)

    def exact(self, x):
        grown = self.bell(x) * torch.exp(5.0 * x[:, 1:])
        return grown / (grown + 1.0 - self.bell(x))

    def u(self, x, y):
        return self.bell(x) + x[:, 1:] * y

    def equation(self, x, u):
        return derivative(u, x, 1) - 5.0 * u * (1.0 - u)


class CoarseReaction(Reaction):
    """The same on a coarse grid, 11 × 11, with the conditions as terms of the loss.

    As in Krishnapriyan et al. (2021), whose grid is finer. u = 0 and u = 1 satisfy the equation.
    """

    grid = (11, 11)

    def u(self, x, y):
        return y

    def terms(self, net, x):
        """u(x, 0), and u(0, t) = u(2π, t)."""
        ticks = torch.linspace(0.0, 1.0, 11, dtype=x.dtype)[:, None]
        start = torch.cat([2.0 * math.pi * ticks, 0.0 * ticks], 1)
        ends = [torch.cat([0.0 * ticks + end, ticks], 1) for end in (0.0, 2.0 * math.pi)]
        left, right = (net(self.seen(one)) for one in ends)
        return [net(self.seen(start)) - self.bell(start), left - right]
