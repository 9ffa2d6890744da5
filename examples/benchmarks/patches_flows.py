"""Flows on patches, as systems and by a stream function: the table in docs/results/patches.md.

    OMP_NUM_THREADS=1 python examples/benchmarks/patches_flows.py [name ...] [--seeds 3]

With ``--out FILE`` every run is appended to a file, and none is repeated (``cases``).

Under a moving lid the data are singular at two corners: the velocity jumps. What a Stokes flow does
at such a corner is known in closed form, ψ = A y + θ (C y + D x) in coordinates from the corner, x
along the lid and y into the cavity. Both of these are added to what the patches represent (an
output transform, as a user writes it), so the patches have the rest to find, which has finite
velocities. (Botella and Peyret, Computers & Fluids 27 (1998) 421, who subtract it from a spectral
method.) What is left of the equations, the inertia of the singular part, is weighted by the
distance to the corners.

The error of the cavity is the largest distance to the 30 values of Marchi, Suero and Araki,
Numerical Heat Transfer A 55 (2009) 1: a grid of 1,024² volumes, extrapolated, to seven digits.
``ghia`` is that to the values of Ghia, Ghia and Shin, Journal of Computational Physics 48 (1982)
387, tables I and II: a grid of 129². Four of its values are 5e-3 to 9.2e-3 away from the other
table, v at x = 0.8047 to 0.9453.

The error of Kovasznay's flow is that of (u, v, p), where p may differ by a constant, as a pressure
may. ``with_constant`` has it, as one point fixes it.
"""

import math

import cases
import numpy as np
import torch
from patches_geometry import d, dd, everywhere, given, measured, solved

from ddopt_patches.along import Along
from ddopt_patches.statement import Statement
from ddopt_pinn.cavity import ACROSS, UP, U, V
from ddopt_pinn.library import dde

PI = math.pi


def flow(x, w, viscosity):
    """The residuals of momentum and mass for (u, v, p)."""

    def momentum(i):
        carried = w[:, :1] * d(w, x, 0, i) + w[:, 1:2] * d(w, x, 1, i)
        return carried + d(w, x, i, 2) - viscosity * (dd(w, x, 0, i) + dd(w, x, 1, i))

    return [momentum(0), momentum(1), d(w, x, 0, 0) + d(w, x, 1, 1)]


def kovasznay(cells, features, scale=0.7, mass=1.0, reynolds=20.0):
    """The residual of mass is multiplied by ``mass``; the weights of conditions are chosen."""
    rate = reynolds / 2 - math.sqrt(reynolds**2 / 4 + 4 * PI**2)

    def exact(x):
        a, b, e = 2 * PI * x[:, 1:], rate / (2 * PI), torch.exp(rate * x[:, :1])
        return torch.cat([1 - e * torch.cos(a), b * e * torch.sin(a), (1 - e * e) / 2], 1)

    def run(seed):
        geometry = dde.geometry.Rectangle([-0.5, -0.5], [1, 1.5])
        place = np.array([[0.25, 0.5]])  # inside: at the boundary p is worst
        conditions = [
            dde.icbc.DirichletBC(geometry, given(exact, 0), everywhere, component=0),
            dde.icbc.DirichletBC(geometry, given(exact, 1), everywhere, component=1),
            dde.icbc.PointSetBC(place, given(exact, 2)(place), component=2),
        ]

        def equation(x, w):
            *momentum, divergence = flow(x, w, 1 / reynolds)
            return [*momentum, mass * divergence]

        stated = Statement(geometry, equation, conditions)
        ends = ((-0.5, 1.0), (-0.5, 1.5))
        nodes = [Along(cells=c).between(*e) for c, e in zip(cells, ends, strict=True)]
        net, n, seconds = solved(stated, nodes, features, seed, outputs=3, scale=scale, weight=None)
        x = torch.as_tensor(geometry.random_points(20_000)).double()
        missed, wanted = net(x) - exact(x), exact(x)
        constant = missed[:, 2].mean()  # a pressure is known up to that
        with_it = float(missed.norm() / wanted.norm())
        missed[:, 2] -= constant
        velocity = float(missed[:, :2].norm() / wanted[:, :2].norm())
        found = measured(n, seconds, float(missed.norm() / wanted.norm()))
        return {**found, "velocity": velocity, "with_constant": with_it}

    return run


# Marchi, Suero and Araki, Re = 100, at multiples of 1/16.
SIXTEENTHS = [k / 16 for k in range(1, 16)]
FINE_U = [-0.041974991, -0.077125399, -0.109816214, -0.141930064, -0.172712391, -0.198470859]
FINE_U += [-0.212962392, -0.2091491418, -0.182080595, -0.131256301, -0.060245594, 0.027874448]
FINE_U += [0.140425325, 0.31055709, 0.597466694]
FINE_V = [0.094807616, 0.149243, 0.174342933, 0.179243328, 0.169132064, 0.145730201, 0.108775865]
FINE_V += [0.057536559, -0.007748504, -0.084066715, -0.163010143, -0.227827313, -0.253768577]
FINE_V += [-0.218690812, -0.12331817]


def corner(x, y):
    """(ψ, u, v, p/ν) of Stokes' flow at the corner of a wall x = 0 and a lid y = 0 of speed 1."""
    D = 4 / (PI**2 - 4)
    A, C = -(PI**2) / 4 * D, PI / 2 * D
    square, theta, linear = x * x + y * y, torch.atan2(y, x), C * y + D * x
    u = -(A + x / square * linear + theta * C)  # ψ_y upwards is −ψ_y into the cavity
    v = y / square * linear - theta * D
    return A * y + theta * linear, u, v, -2 * linear / square


def corners(x):
    """The same of both corners of the lid together."""
    left, right = (corner(one, 1 - x[:, 1:]) for one in (x[:, :1], 1 - x[:, :1]))
    signs = (1, 1, -1, -1)  # of the mirror image
    return [a + s * b for s, a, b in zip(signs, left, right, strict=True)]


def near_corners(x, power):
    """(r / √(r² + 0.01))^power of the distance r to the nearer one."""
    left = x[:, :1] ** 2 + (1 - x[:, 1:]) ** 2
    near = torch.minimum(left, (1 - x[:, :1]) ** 2 + (1 - x[:, 1:]) ** 2)
    return (near / (near + 0.01)) ** (power / 2)


def lid(x):
    return np.isclose(x[:, 1:], 1) * 1.0


def zero(x):
    return np.zeros((len(x), 1))


def graded(cells, strength):
    s = torch.linspace(-1, 1, cells + 1, dtype=torch.float64)
    return [(torch.tanh(strength * s) / math.tanh(strength) + 1) / 2] * 2


def distances(u, v):
    """The largest distance to the values of each table, of functions of points (k, 2)."""
    found = []
    for up, wanted_u, across, wanted_v in (
        (SIXTEENTHS, FINE_U, SIXTEENTHS, FINE_V),
        (UP, U, ACROSS, V),
    ):
        half = torch.full((len(up), 1), 0.5, dtype=torch.float64)
        at = torch.cat([half, torch.tensor(up, dtype=torch.float64)[:, None]], 1)
        along = torch.cat([torch.tensor(across, dtype=torch.float64)[:, None], half], 1)
        missed = [u(at) - torch.tensor(wanted_u), v(along) - torch.tensor(wanted_v)]
        found.append(float(torch.cat(missed).abs().max()))
    return found


def cavity(cells, features, strength=1.3, reynolds=100.0):
    """Velocity and pressure."""

    def equation(x, w):
        return [near_corners(x, 1) * one for one in flow(x, w, 1 / reynolds)]

    def added(x, N):
        _, u, v, p = corners(x)
        return N + torch.cat([u, v, p / reynolds], 1)

    def run(seed):
        geometry = dde.geometry.Rectangle([0, 0], [1, 1])
        place = np.array([[0.5, 0.0]])
        conditions = [
            dde.icbc.DirichletBC(geometry, lid, everywhere),
            dde.icbc.DirichletBC(geometry, zero, everywhere, component=1),
            dde.icbc.PointSetBC(place, np.zeros((1, 1)), component=2),
        ]
        stated = Statement(geometry, equation, conditions, added)
        nodes = graded(cells, strength)
        net, n, seconds = solved(stated, nodes, features, seed, outputs=3, exact=1e-8)
        net.apply_output_transform(added)
        error, ghia = distances(lambda x: net(x)[:, 0], lambda x: net(x)[:, 1])
        return {**measured(n, seconds, error), "ghia": ghia}

    return run


def stream(cells, features, strength=1.3, reynolds=100.0):
    """The stream function, u = ψ_y and v = −ψ_x: one equation of the fourth order."""

    def equation(x, psi):
        laplacian = dd(psi, x, 0) + dd(psi, x, 1)
        carried = d(psi, x, 1) * d(laplacian, x, 0) - d(psi, x, 0) * d(laplacian, x, 1)
        diffused = (dd(laplacian, x, 0) + dd(laplacian, x, 1)) / reynolds
        return near_corners(x, 2) * (carried - diffused)

    def added(x, N):
        return N + corners(x)[0]

    def run(seed):
        geometry = dde.geometry.Rectangle([0, 0], [1, 1])
        conditions = [
            dde.icbc.DirichletBC(geometry, zero, everywhere),
            dde.icbc.NeumannBC(geometry, lid, everywhere),
        ]
        stated = Statement(geometry, equation, conditions, added)
        nodes = graded(cells, strength)
        net, n, seconds = solved(stated, nodes, features, seed, weight=None, exact=1e-6)
        net.apply_output_transform(added)

        def slope(x, axis, sign):
            x = x.clone().requires_grad_()
            with torch.enable_grad():
                (found,) = torch.autograd.grad(net(x).sum(), x)
            return sign * found[:, axis]

        error, ghia = distances(lambda x: slope(x, 1, 1), lambda x: slope(x, 0, -1))
        return {**measured(n, seconds, error), "ghia": ghia}

    return run


CASES = {
    "kovasznay; 7 × 9 patches of 3 × 64": kovasznay((6, 8), 64),
    "kovasznay; 4 × 5 patches of 3 × 100": kovasznay((3, 4), 100, 1.5),
    "kovasznay; 4 × 5 patches of 3 × 100, mass × 5": kovasznay((3, 4), 100, 1.5, 5.0),
    "cavity; 9² patches of 3 × 49": cavity(8, 49, 1.0),
    "stream function in the cavity; 9² patches of 64": stream(8, 64, 1.0),
    "stream function in the cavity; 9² patches of 100": stream(8, 100),
}


if __name__ == "__main__":
    cases.main(CASES, __doc__, {"ghia": ".1e", "velocity": ".1e", "with_constant": ".1e"})
