"""The multiscale problem by finite elements (scikit-fem), beside patches: seconds and digits.

    pip install scikit-fem && OMP_NUM_THREADS=1 python examples/benchmarks/finite_elements.py

Quadrilaterals of degree p on n x n cells, SciPy's sparse direct solver; processor seconds with
assembly.
"""

import argparse
import math
import time

import numpy as np
import skfem
from skfem.helpers import dot, grad


def solve(degree, cells, omegas):
    """Unknowns, seconds, and the relative L2 error at the quadrature points."""
    began = time.process_time()
    line = np.linspace(0.0, 1.0, cells + 1)
    mesh = skfem.MeshQuad.init_tensor(line, line)
    basis = skfem.Basis(mesh, skfem.ElementQuadP(degree), intorder=2 * degree + 2)

    def exact(x):
        terms = [np.sin(w * math.pi * x[0]) * np.sin(w * math.pi * x[1]) for w in omegas]
        return sum(terms) / len(omegas)

    def source(x):
        terms = [
            2 * (w * math.pi) ** 2 * np.sin(w * math.pi * x[0]) * np.sin(w * math.pi * x[1])
            for w in omegas
        ]
        return sum(terms) / len(omegas)

    stiffness = skfem.BilinearForm(lambda u, v, _: dot(grad(u), grad(v))).assemble(basis)
    load = skfem.LinearForm(lambda v, w: source(w.x) * v).assemble(basis)
    u = skfem.solve(*skfem.condense(stiffness, load, D=basis.get_dofs()))
    seconds = time.process_time() - began
    missed = skfem.Functional(lambda w: (w["u"] - exact(w.x)) ** 2).assemble(basis, u=u)
    norm = skfem.Functional(lambda w: exact(w.x) ** 2).assemble(basis)
    return len(u), seconds, math.sqrt(missed / norm)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--omegas", type=float, nargs="*", default=[2.0, 4.0, 8.0])
    omegas = parser.parse_args().omegas
    print("| degree | cells | unknowns | CPU s | rel. L2 |")
    print("|---|---|---|---|---|")
    for degree, cells in ((2, 64), (2, 128), (4, 24), (4, 48), (6, 16), (6, 24), (8, 12), (8, 16)):
        n, seconds, error = solve(degree, cells, omegas)
        print(f"| {degree} | {cells}² | {n:,} | {seconds:.2f} | {error:.1e} |", flush=True)


if __name__ == "__main__":
    main()
