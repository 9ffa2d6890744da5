"""The clusters are those of the samples, and the plugin conforms to its seam."""

import pytest
import torch
from ddopt_clusters import Clusters

from ddopt.testing import check_decomposition
from ddopt.testing.problems import regression


def clouds():
    """The kit's regression, its samples in two clouds far from each other."""
    problem, theta = regression()
    places = torch.linspace(-1.0, 1.0, 37, dtype=theta.dtype)[:, None]
    problem.located = lambda term: places + 10.0 * places.sign()
    return problem


@pytest.mark.parametrize("subdomains", [1, 2, 4])
def test_it_conforms(subdomains):
    check_decomposition(Clusters(subdomains=subdomains), clouds())


def test_clouds_are_found():
    problem = clouds()
    parts = Clusters(subdomains=2).split(problem)
    sides = [{bool(i > 18) for i in one.samples.terms[0].tolist() if i != 18} for one in parts]
    assert sorted(map(len, sides)) == [1, 1]
    assert sum(one.weight for one in parts) == pytest.approx(1.0)


def test_equal_points_leave_no_cluster_empty():
    problem = clouds()
    problem.located = lambda term: torch.zeros(37, 2)
    with pytest.raises(ValueError, match="40 clusters need as many samples"):
        Clusters(subdomains=40).split(problem)
    assert all(len(one.samples) for one in Clusters(subdomains=5).split(problem))
