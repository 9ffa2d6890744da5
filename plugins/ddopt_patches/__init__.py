"""Decompose the model: local networks on overlapping patches, solved by block Gauss-Newton.

u is a sum of local networks, each on a patch of the domain, blended by a partition of unity. A
residual touches the few patches that cover its point, so the Jacobian is block-sparse and each
Gauss-Newton step is one sparse least-squares problem that is solved directly.

The files, in the order in which data flows:

- ``windows``: the smoothsteps that blend neighbours, by name
- ``grid``: nodes, cells, patches; who touches whom; jets of the windows
- ``whole``: a grid with one more patch over the whole domain, the coarse network
- ``features``: random hidden layers
- ``network``: ``Patches`` (grid and hidden layers) and the module ``FBPINN``
- ``quadrature``: Gauss points of cells and faces; points from elsewhere, sorted into cells
- ``equation``: the user's equation, linearised at points by Taylor polynomials
  (``ddopt_pinn.taylor``; the derivatives of a jet in their order: ``ddopt_pinn.derivatives``)
- ``conditions``: conditions of DeepXDE as rows
- ``block``: rows of a Jacobian by cells
- ``rows``: an equation at points: jets of u, residuals, Jacobian
- ``moving_rows``: the same where the hidden layers train, too
- ``dense_rows``: an equation that needs u elsewhere, with autograd's Jacobian
- ``weights``: how much conditions weigh against the equation
- ``system``: all rows of a problem: f(c) = Σ ‖r‖²
- ``orthonormal``: a better basis for each patch
- ``levels``: an order of the patches that makes JᵀJ block-tridiagonal
- ``tridiagonal``: its Cholesky factor
- ``arrow``: the same, bordered by the patch that covers everything
- ``least_squares``: the step: basis, factor, refinement by conjugate gradients
- ``newton``: the iteration
- ``regions``: boxes of cells on processes, and what crosses their borders
- ``neighbours``: what a region must know of the rows beside it
- ``tiles``: a few patches that a region solves together
- ``coarse_space``: the seam for coarse spaces; ``coarse``: polynomials on each patch;
  ``spectral``: slow modes of tiles
- ``schwarz``: the step on regions, by preconditioned conjugate gradients
- ``along``: nodes along an axis: equidistant, graded, given
- ``fit``: output weights that represent a given function: starts, slabs, finer grids
- ``curves``, ``boundary``, ``cut``: domains that are no boxes; ``observations``: values at points
- ``statement``: domain, equation and conditions, and the system that they make
- ``slabs``: a decomposition in time: what each slab is given by the one before
- ``refine``: which cells are split, along which axis
- ``options``: what there is to choose about patches
- ``in_slabs``: a network in time slabs, for scripts
- ``model``: ``fbpinn`` and ``compile`` for DeepXDE scripts
- ``problem``: the system as a ``ddopt.Problem``; f of some patches, the others held; f of a region
- ``inverse``, ``bordered``: unknown numbers beside the patches
- ``task``: ``problem = "patches"`` of a run file
- ``decomposition``: boxes and colours of patches as subdomains
- ``promised``: what both curvatures share: a shortened step, and the end of a run
- ``block_gauss_newton``: the model of a trust region, from one factorisation
- ``schwarz_gauss_newton``: the same on regions
- ``free_start``: acceptance that trusts the first steps
- ``strategy``: the methods for problems on patches
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ddopt.setup.hookspecs import hookimpl

if TYPE_CHECKING:
    from ddopt_patches.grid import Grid as Grid
    from ddopt_patches.model import compile as compile
    from ddopt_patches.model import fbpinn as fbpinn
    from ddopt_patches.model import refined as refined
    from ddopt_patches.network import FBPINN as FBPINN
    from ddopt_patches.network import Patches as Patches

PARTS = {
    "acceptance": {"free_start": "ddopt_patches.free_start:FreeStart"},
    "coarse_space": {
        "polynomials": "ddopt_patches.coarse:Polynomials",
        "spectral": "ddopt_patches.spectral:Spectral",
    },
    "decomposition": {"patches": "ddopt_patches.decomposition:ByPatches"},
    "hessian": {
        "block_gauss_newton": "ddopt_patches.block_gauss_newton:BlockGaussNewton",
        "schwarz": "ddopt_patches.schwarz_gauss_newton:SchwarzGaussNewton",
    },
    "problem": {"patches": "ddopt_patches.task:PatchTask"},
    "strategy": {
        "patches": "ddopt_patches.strategy:OnPatches",
        "schwarz": "ddopt_patches.strategy:OnRegions",
    },
}
LAZY = {
    "compile": "ddopt_patches.model",
    "fbpinn": "ddopt_patches.model",
    "refined": "ddopt_patches.model",
    "FBPINN": "ddopt_patches.network",
    "Grid": "ddopt_patches.grid",
    "Patches": "ddopt_patches.network",
}


@hookimpl
def ddopt_register(register: Any) -> None:
    """Register the components; each is imported when a run names it."""
    for seam, components in PARTS.items():
        for name, where in components.items():
            register(where, seam=seam, name=name)


def __getattr__(name: str) -> Any:
    """Import what costs torch only when it is asked for."""
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(LAZY[name]), name)
