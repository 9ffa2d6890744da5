"""A symmetric matrix in panels is the same matrix, and half of it is enough."""

import pytest
import torch

from ddopt.hessian import panels


@pytest.fixture(params=[1, 7, 50], ids=lambda rows: f"{rows} rows")
def matrix(request, monkeypatch):
    """D of 50 rows in panels of so many, with nonsense above the blocks of the diagonal."""
    n = 50
    monkeypatch.setattr(panels, "SMALL", 0)
    monkeypatch.setattr(panels, "CACHE", request.param * n)
    whole = torch.randn(n, n, dtype=torch.float64)
    whole = whole + whole.T
    kept = whole.clone()
    for rows, _ in panels.panels(kept):
        kept[: rows.start, rows] = torch.nan
    assert (request.param == n) == bool(kept.isfinite().all())
    return kept, whole


def test_a_product_looks_at_one_half(matrix):
    kept, whole = matrix
    v = torch.randn(50, dtype=torch.float64)
    assert torch.allclose(panels.product(kept, v), whole @ v, rtol=0.0, atol=1e-13)


def test_a_sum_changes_one_half_and_the_other_is_its_mirror_image(matrix):
    kept, whole = matrix
    rows = torch.randn(3, 50, dtype=torch.float64)
    weights = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    found = panels.whole(panels.add(kept, rows.T * weights, rows, 0.25))
    expected = 0.25 * whole + rows.T @ torch.diag(weights) @ rows
    assert torch.allclose(found, expected, rtol=0.0, atol=1e-13)


def test_what_round_off_has_made_unsymmetric_is_repaired(matrix):
    kept, whole = matrix
    found = kept + 1e-9 * torch.randn(50, 50, dtype=torch.float64)
    panels.symmetrise(found)
    found = panels.whole(found)
    assert torch.equal(found, found.T)
    assert torch.allclose(found, whole, rtol=0.0, atol=1e-8)


@pytest.mark.parametrize("n", [0, 1, 300])
def test_small_matrices_are_one_panel(n):
    D = torch.eye(n, dtype=torch.float64)
    assert len(list(panels.panels(D))) == min(n, 1)
