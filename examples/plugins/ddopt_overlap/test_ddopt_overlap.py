"""The groups overlap, their steps do not, and the plugin conforms to its seam."""

import pytest
import torch
from ddopt_overlap import Overlap

from ddopt.decomposition.layers import Layers
from ddopt.testing import check_decomposition
from ddopt.testing.problems import regression


@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_it_conforms(overlap):
    check_decomposition(Overlap(subdomains=3, overlap=overlap))


@pytest.mark.parametrize("overlap", [0, 1])
def test_the_prolongations_are_a_partition_of_unity(overlap):
    problem, theta = regression()
    subdomains = Overlap(subdomains=3, overlap=overlap).split(problem)
    n = len(theta)
    total = sum(one.prolong(one.restrict(torch.ones_like(theta)), n) for one in subdomains)
    assert torch.equal(total, torch.ones_like(theta))
    assert sum(one.size(n) for one in subdomains) > n or not overlap


def test_without_overlap_the_groups_are_those_of_layers():
    problem, _ = regression()
    ours = Overlap(subdomains=3, overlap=0).split(problem)
    for one, other in zip(
        ours, Layers(subdomains=3, grouping="module").split(problem), strict=True
    ):
        rest = torch.arange(problem.layout.size)[other.indices]
        assert torch.equal(one.indices.sort().values, rest.sort().values)


def test_too_many_groups_are_told():
    with pytest.raises(ValueError, match="3 layers cannot be cut into 4 groups"):
        Overlap(subdomains=4).split(regression()[0])
