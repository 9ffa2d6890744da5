"""The check of decompositions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.problem import Samples
from ddopt.method import contract
from ddopt.numerics.space import restrict
from ddopt.numerics.vectors import norm
from ddopt.testing.conduct import check_conduct, untouched
from ddopt.testing.start import begin, normal
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.decomposition import Decomposition, Subdomain
    from ddopt.evaluation.problem import Problem


@told
def check_decomposition(
    decomposition: Decomposition, problem: Problem | None = None, *, ranks: bool = True
) -> None:
    """The subdomains are numbered, cover everything, keep to themselves, and can be solved.

    A decomposition that changes from one iteration to the next keeps their number and their sizes,
    and goes on as it was when it is restored. ``ranks=False`` leaves out the two processes.
    """
    problem, theta = begin(problem)
    n = problem.layout.size
    sizes: list[int] | None = None

    terms = {f"samples.terms[{i}]": term for i, term in enumerate(_terms(problem.samples))}

    def advance(cut: Any, i: int) -> Any:
        with untouched(cut, "split()", **terms):
            found = contract.subdomains(cut, cut.split(problem), n, sizes)
        return [[s.index, s.weight, _entries(s, n), _terms(s.samples)] for s in found]

    first = contract.subdomains(decomposition, decomposition.split(problem), n, None)
    covered = contract.covered(decomposition, first, problem)
    sizes = [one.size(n) for one in first]
    check_conduct(decomposition, advance, "split()", ranks=ranks)
    require(
        bool(covered.all()),
        decomposition,
        f"parameters {(~covered).nonzero().flatten().tolist()[:10]} belong to no subdomain",
    )
    _check_samples(decomposition, problem, first)
    for subdomain in first:
        _check_transfers(decomposition, subdomain, theta)
        _check_consistency(decomposition, problem, theta, subdomain)


def _entries(subdomain: Subdomain, n: int) -> torch.Tensor:
    """The indices; a tensor of them itself, which may change later."""
    own = subdomain.indices
    return own if isinstance(own, torch.Tensor) else restrict(torch.arange(n), own)


def _terms(samples: Samples | None) -> list[torch.Tensor]:
    return [] if samples is None else list(samples.terms)


def _check_samples(
    decomposition: Decomposition, problem: Problem, subdomains: list[Subdomain]
) -> None:
    if problem.samples is None:
        return
    for number, term in enumerate(problem.samples.terms):
        own = [s.samples or problem.samples for s in subdomains]
        seen = torch.cat([samples.terms[number] for samples in own])
        missing = term[~torch.isin(term, seen)].tolist()
        require(
            not missing, decomposition, f"samples {missing[:10]} of term {number} belong to no "
            "subdomain"
        )  # fmt: skip
    for one in subdomains:
        for term in _terms(one.samples):
            twice = len(term) - len(term.unique())
            require(not twice, decomposition, f"subdomain {one.index} has {twice} samples twice")


def _check_transfers(
    decomposition: Decomposition, subdomain: Subdomain, theta: torch.Tensor
) -> None:
    """R picks entries; Rᵀ puts them back, or a share of each where an author restricts it."""
    n, d = len(theta), subdomain.index
    part = subdomain.restrict(theta)
    require(
        torch.equal(part, restrict(theta, subdomain.indices)),
        decomposition,
        f"subdomain {d}: restrict(v) must be v[indices]",
    )
    v = normal(len(part), 1 + d).to(theta)
    with untouched(decomposition, "prolong()", part=v):
        full = subdomain.prolong(v, n)
    require(
        full.shape == theta.shape and full.dtype == theta.dtype,
        decomposition,
        f"subdomain {d}: prolong(v, n) must be a tensor of shape ({n},) and {theta.dtype}",
    )
    outside = torch.ones(n, dtype=torch.bool)
    outside[slice(None) if subdomain.indices is None else subdomain.indices] = False
    leak = full[outside].ne(0.0).sum().item()
    require(
        not leak,
        decomposition,
        f"subdomain {d}: prolong(v, n) writes to {leak} parameters that are not among its indices",
    )
    shares = restrict(subdomain.prolong(torch.ones_like(v), n), subdomain.indices)
    within = bool(((shares >= 0.0) & (shares <= 1.0)).all())
    require(
        within and torch.allclose(restrict(full, subdomain.indices), shares * v),
        decomposition,
        f"subdomain {d}: restrict(prolong(v)) must be v, or w v with fixed weights w in 0..1",
    )


def _check_consistency(
    decomposition: Decomposition, problem: Problem, theta: torch.Tensor, subdomain: Subdomain
) -> None:
    """∇f̃_d(θ_k) = R_d g_k."""
    point = problem.at(theta)
    local = subdomain.objective(problem, point)
    wanted = subdomain.restrict(point.gradient)
    origin = local.at(subdomain.restrict(theta))
    found = Consistent(local, origin, wanted).at(origin.theta).gradient
    require(
        norm(found - wanted) <= 1e-10 * max(norm(wanted), 1e-300),
        decomposition,
        f"subdomain {subdomain.index}: the consistent local gradient must be the restricted global "
        "gradient",
    )
