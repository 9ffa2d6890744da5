"""Networks on patches: digits and processor seconds, for the table in docs/benchmarks.md.

    OMP_NUM_THREADS=1 python examples/benchmarks/patches.py [name ...] [--seeds 3]

With ``--out FILE`` every run is appended to a file, and none is repeated (``cases``).

Times are of the process, set-up included, imports and the measurement of errors left out; one
thread. Errors are relative L2 errors on a grid against a closed form, or against the reference that
is named below.
"""

import math
import time
from functools import cache

import cases
import numpy as np
import torch

from ddopt_patches import newton
from ddopt_patches.along import Along
from ddopt_patches.fit import fit
from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.statement import Statement
from ddopt_pinn.library import dde

PI = math.pi
STEPS = 12


def d(u, x, j):
    return dde.grad.jacobian(u, x, i=0, j=j)


def dd(u, x, i):
    return dde.grad.hessian(u, x, i=i, j=i)


def interval_in_time(lower, upper, start, end):
    space, span = dde.geometry.Interval(lower, upper), dde.geometry.TimeDomain(start, end)
    return dde.geometry.GeometryXTime(space, span)


def everywhere(_, on):
    return on


def uniform(bounds, cells):
    return [Along(cells=n).between(*ends) for n, ends in zip(cells, bounds, strict=True)]


class Clock:
    """Processor seconds, with pauses."""

    def __init__(self):
        self.spent, self._since = 0.0, time.process_time()

    def pause(self):
        self.spent += time.process_time() - self._since

    def resume(self):
        self._since = time.process_time()


def solve(
    stated, nodes, features, seed, *, periodic=(), weight=100.0, rows=2.0, scale=1.0, start=None
):
    """One system: the network with its solution, the unknowns and the last step."""
    patches = Patches.random(Grid(nodes, periodic), features, 1, scale, seed)
    system = stated.system(patches, rows, weight)
    weights = stated.start(patches) if start is None else fit(patches, start)
    end = newton.solve(system, weights, steps=STEPS)
    net = FBPINN(patches).requires_grad_(False)
    net.weights.copy_(end.weights)
    return net


def whole(state, nodes, features, seed, exact, points, **options):
    """A problem solved at once: unknowns, seconds, error."""
    clock = Clock()
    net = solve(state, nodes, features, seed, **options)
    clock.pause()
    found, wanted = net(points), exact(points)
    error = float((found - wanted).norm() / wanted.norm())
    return {"unknowns": net.weights.numel(), "seconds": clock.spent, "error": error}


def marched(state, nodes, times, features, seed, exact, points, **options):
    """The same in time slabs one after the other; ``state(t0, t1, values)`` states a slab."""
    clock, before, missed, norm, largest = Clock(), None, 0.0, 0.0, 0
    for number, slab in enumerate(times):
        values = before and values_of(before)
        stated = state(slab[0], slab[-1], values)
        held = before and held_at(before, slab[0])
        grid = [nodes, torch.tensor(slab, dtype=torch.float64)]
        before = solve(stated, grid, features, seed, start=held, **options)
        clock.pause()
        largest = max(largest, before.weights.numel())
        own = (points[:, 1] <= slab[-1] + 1e-12) & (points[:, 1] > slab[0] - (number == 0))
        wanted = exact(points[own])
        missed += float((before(points[own]) - wanted).square().sum())
        norm += float(wanted.square().sum())
        clock.resume()
    return {"unknowns": largest, "seconds": clock.spent, "error": math.sqrt(missed / norm)}


def values_of(net):
    return lambda x: net(torch.as_tensor(x)).numpy()


def held_at(net, time):
    def values(x):
        x = x.clone()
        x[:, -1] = time
        return net(x)

    return values


def mesh(*axes):
    return torch.cartesian_prod(*(torch.linspace(a, b, n, dtype=torch.float64) for a, b, n in axes))


def multiscale(omegas, cells, features):
    def run(seed):
        square = dde.geometry.Rectangle([0, 0], [1, 1])

        def exact(x):
            return sum(torch.sin(w * PI * x).prod(1) for w in omegas)[:, None] / len(omegas)

        def equation(x, u):
            terms = [2 * (w * PI) ** 2 * torch.sin(w * PI * x).prod(1) for w in omegas]
            return -dd(u, x, 0) - dd(u, x, 1) - sum(terms)[:, None] / len(omegas)

        zero = dde.icbc.DirichletBC(square, lambda x: np.zeros((len(x), 1)), everywhere)
        nodes = uniform([(0, 1)] * 2, (cells, cells))
        points = mesh((0, 1, 201), (0, 1, 201))
        return whole(
            Statement(square, equation, [zero]), nodes, features, seed, exact, points, scale=1.2
        )

    return run


VISCOSITY = 0.01 / PI


def cole_hopf(x):
    """Burgers' solution from −sin πx, by a thousand points of each of the two integrals."""
    z = torch.linspace(-14, 14, 1000, dtype=torch.float64)
    parts = []
    for some in x.split(5000):
        y = some[:, :1] - 2 * (VISCOSITY * some[:, 1:]).sqrt() * z
        a = -torch.cos(PI * y) / (2 * PI * VISCOSITY) - z * z
        density = torch.exp(a - a.amax(1, keepdim=True))
        parts.append(-(torch.sin(PI * y) * density).sum(1, True) / density.sum(1, True))
    return torch.cat(parts)


def burgers(cells, features, slabs, each, strength=5.0, weight=30.0):
    def state(t0, t1, values):
        domain = interval_in_time(-1, 1, t0, t1)
        values = values or (lambda x: -np.sin(PI * x[:, :1]))
        ends = dde.icbc.DirichletBC(domain, lambda x: np.zeros((len(x), 1)), everywhere)
        first = dde.icbc.IC(domain, values, everywhere)

        def equation(x, u):
            return d(u, x, 1) + u * d(u, x, 0) - VISCOSITY * dd(u, x, 0)

        return Statement(domain, equation, [ends, first])

    def run(seed):
        nodes = Along(cells=cells, toward=0.0, strength=strength).between(-1.0, 1.0)
        times = np.linspace(0.0, 1.0, slabs * each + 1)
        cuts = [times[k * each : (k + 1) * each + 1].tolist() for k in range(slabs)]
        points = mesh((-1, 1, 257), (0, 1, 101))
        ratio = 2.0 * (1.0 + 0.35 / each)
        return marched(
            state, nodes, cuts, features, seed, cole_hopf, points, weight=weight, rows=ratio
        )

    return run


@cache
def phases():
    """Allen-Cahn by a Fourier method: 2,048 modes, fourth-order exponential steps of 2e-4.

    The initial values have a kink at x = ±1. Its coefficients are taken from many points: from the
    points of the method alone they are wrong by 4e-6 of u, through what is folded back.
    """
    n, h, steps, many = 2048, 2e-4, 5_000, 1 << 18
    x = -1 + 2 * np.arange(n) / n
    k = np.pi * np.fft.rfftfreq(n, 1 / n)
    L = -1e-4 * k**2
    E, half = np.exp(h * L), np.exp(h * L / 2)
    circle = np.exp(1j * np.pi * (np.arange(1, 33) - 0.5) / 32)
    LR = h * L[:, None] + circle
    Q = h * np.mean((np.exp(LR / 2) - 1) / LR, 1).real
    f1 = h * np.mean((-4 - LR + np.exp(LR) * (4 - 3 * LR + LR**2)) / LR**3, 1).real
    f2 = h * np.mean((2 + LR + np.exp(LR) * (-2 + LR)) / LR**3, 1).real
    f3 = h * np.mean((-4 - 3 * LR - LR**2 + np.exp(LR) * (4 - LR)) / LR**3, 1).real

    def reaction(v):
        u = np.fft.irfft(v, n)
        return np.fft.rfft(5 * (u - u**3))

    fine = -1 + 2 * np.arange(many) / many
    v = np.fft.rfft(fine**2 * np.cos(np.pi * fine))[: n // 2 + 1] * (n / many)
    kept = [x**2 * np.cos(np.pi * x)]
    for step in range(1, steps + 1):
        Nv = reaction(v)
        a = half * v + Q * Nv
        Na = reaction(a)
        b = half * v + Q * Na
        Nb = reaction(b)
        c = half * a + Q * (2 * Nb - Nv)
        v = E * v + Nv * f1 + 2 * (Na + Nb) * f2 + reaction(c) * f3
        if step % (steps // 100) == 0:
            kept.append(np.fft.irfft(v, n))
    values = torch.tensor(np.array(kept)).T[:: n // 256]  # (256, 101)
    points = torch.cartesian_prod(
        torch.tensor(x[:: n // 256]), torch.linspace(0, 1, 101, dtype=torch.float64)
    )
    return points, values.reshape(-1, 1)


def allen_cahn(cells, features, slabs, each):
    def state(t0, t1, values):
        domain = interval_in_time(-1, 1, t0, t1)
        values = values or (lambda x: x[:, :1] ** 2 * np.cos(PI * x[:, :1]))
        circle = dde.icbc.PeriodicBC(domain, 0, everywhere)
        first = dde.icbc.IC(domain, values, everywhere)

        def equation(x, u):
            return d(u, x, 1) - 1e-4 * dd(u, x, 0) - 5 * (u - u**3)

        return Statement(domain, equation, [circle, first])

    def density(x):
        """Of cells: near the fronts, the dip between them, and the kink of the initial values."""
        fronts = 10 / (1 + ((x.abs() - 0.5) / 0.03) ** 2)
        kink = 120 / (1 + ((x.abs() - 1) / 0.005) ** 2)
        return 1.2 + 3 / (1 + (x / 0.08) ** 2) + fronts + kink

    def run(seed):
        x = torch.linspace(-1, 1, 400_001, dtype=torch.float64)
        share = torch.cat([torch.zeros(1).double(), density((x[1:] + x[:-1]) / 2).cumsum(0)])
        wanted = torch.linspace(0, 1, cells + 1, dtype=torch.float64) * share[-1]
        nodes = x[torch.searchsorted(share, wanted).clamp(max=len(x) - 1)]
        times = np.linspace(0.0, 1.0, slabs * each + 1) ** 2.6  # the kink diffuses like √t
        cuts = [times[k * each : (k + 1) * each + 1].tolist() for k in range(slabs)]
        points, values = phases()
        places = {tuple(point): i for i, point in enumerate(points.tolist())}

        def exact(own):
            return values[[places[tuple(point)] for point in own.tolist()]]

        options = {"periodic": (0,), "weight": 30.0, "rows": 2.0 * (1 + 1 / each)}
        return marched(state, nodes, cuts, features, seed, exact, points, **options)

    return run


def wave(cells, features):
    def run(seed):
        domain = interval_in_time(0, 1, 0, 1)

        def exact(x):
            a = torch.cos(2 * PI * x[:, 1:]) * torch.sin(PI * x[:, :1])
            return a + 0.5 * torch.cos(8 * PI * x[:, 1:]) * torch.sin(4 * PI * x[:, :1])

        def equation(x, u):
            return dd(u, x, 1) - 4 * dd(u, x, 0)

        def first(x):
            return np.sin(PI * x[:, :1]) + 0.5 * np.sin(4 * PI * x[:, :1])

        def at_rest(x, on):
            return np.isclose(x[1], 0.0)

        conditions = [
            dde.icbc.DirichletBC(domain, lambda x: np.zeros((len(x), 1)), everywhere),
            dde.icbc.IC(domain, first, everywhere),
            dde.icbc.OperatorBC(domain, lambda x, u, _: d(u, x, 1), at_rest),
        ]
        nodes = uniform([(0, 1)] * 2, cells)
        options = {"weight": 300.0, "scale": 0.7}
        points = mesh((0, 1, 151), (0, 1, 151))
        return whole(
            Statement(domain, equation, conditions), nodes, features, seed, exact, points, **options
        )

    return run


def korteweg_de_vries(cells, features, slabs, each):
    """A soliton of speed 4, which crosses a quarter of the interval."""
    c, x0 = 4.0, -2.0

    def exact(x):
        return c / 2 / torch.cosh(math.sqrt(c) / 2 * (x[:, :1] - c * x[:, 1:] - x0)) ** 2

    def there(x):
        return exact(torch.as_tensor(x)).numpy()

    def state(t0, t1, values):
        domain = interval_in_time(-8, 8, t0, t1)

        def equation(x, u):
            return d(u, x, 1) + 6 * u * d(u, x, 0) + dde.grad.jacobian(dd(u, x, 0), x, i=0, j=0)

        def right(x, on):
            return on and np.isclose(x[0], 8.0)

        conditions = [
            dde.icbc.DirichletBC(domain, there, everywhere),
            dde.icbc.NeumannBC(domain, lambda x: slope(exact, x), right),
            dde.icbc.IC(domain, values or there, everywhere),
        ]
        return Statement(domain, equation, conditions)

    def run(seed):
        (nodes,) = uniform([(-8, 8)], (cells,))
        times = np.linspace(0.0, 1.0, slabs * each + 1)
        cuts = [times[k * each : (k + 1) * each + 1].tolist() for k in range(slabs)]
        points = mesh((-8, 8, 321), (0, 1, 51))
        options = {"weight": 100.0, "rows": 2.0 * (1.0 + 0.35 / each)}
        return marched(state, nodes, cuts, features, seed, exact, points, **options)

    return run


def slope(function, x):
    x = torch.as_tensor(x).requires_grad_()
    (found,) = torch.autograd.grad(function(x).sum(), x)
    return found[:, :1].numpy()


def helmholtz(cells, features, scale=1.0):
    def run(seed):
        k, theta = 32 * PI, 0.7
        square = dde.geometry.Rectangle([0, 0], [1, 1])

        def parts(x):
            a = 0.5 * torch.sin(20 * PI * x[:, :1]) * torch.sin(25 * PI * x[:, 1:])
            b = 0.5 * torch.sin(8 * PI * x[:, :1]) * torch.sin(8 * PI * x[:, 1:])
            along = math.cos(theta) * x[:, :1] + math.sin(theta) * x[:, 1:]
            return a, b, 0.5 * torch.sin(k * along + 0.3)

        def exact(x):
            return sum(parts(x))

        def equation(x, u):
            a, b, _ = parts(x)
            source = (1025 * PI**2 - k * k) * a + (128 * PI**2 - k * k) * b
            return -dd(u, x, 0) - dd(u, x, 1) - k * k * u - source

        value = dde.icbc.DirichletBC(
            square, lambda x: exact(torch.as_tensor(x)).numpy(), everywhere
        )
        nodes = uniform([(0, 1)] * 2, (cells, cells))
        points = mesh((0, 1, 201), (0, 1, 201))
        options = {"weight": 1e4, "scale": scale}
        return whole(
            Statement(square, equation, [value]), nodes, features, seed, exact, points, **options
        )

    return run


CASES = {
    "multiscale 2, 4, 8; 9² patches of 36": multiscale((2, 4, 8), 8, 36),
    "multiscale 2, 4, 8; 9² patches of 64": multiscale((2, 4, 8), 8, 64),
    "multiscale 2, 4, 8; 9² patches of 100": multiscale((2, 4, 8), 8, 100),
    "multiscale 4, 8, 12, 16; 17² patches of 64": multiscale((4, 8, 12, 16), 16, 64),
    "multiscale 4, 8, 12, 16; 17² patches of 100": multiscale((4, 8, 12, 16), 16, 100),
    "burgers; 4 slabs of 31 × 3 cells of 64": burgers(31, 64, 4, 3),
    "burgers; 4 slabs of 31 × 3 cells of 100": burgers(31, 100, 4, 3),
    "allen-cahn; 5 slabs of 48 × 3 cells of 49": allen_cahn(48, 49, 5, 3),
    "wave; 9 × 17 patches of 100": wave((8, 16), 100),
    "korteweg-de vries; 5 slabs of 32 × 2 cells of 64": korteweg_de_vries(32, 64, 5, 2),
    "helmholtz 32π; 25² patches of 100": helmholtz(24, 100),
}


if __name__ == "__main__":
    cases.main(CASES, __doc__)
