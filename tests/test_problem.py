"""Identities of problems: first-order consistency, parts, shares and frozen parameters."""

import pytest
import torch

from ddopt.decomposition.data import Data, deal, widen
from ddopt.decomposition.layers import Layers, balanced
from ddopt.evaluation.blank import Blank
from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.derived import Frozen, held
from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial, Split
from ddopt.numerics.space import Layout, Parameters, prolong, restrict


def directional(problem, theta, direction, h=1e-5):
    """The derivative of f along a direction by central differences; error O(h²)."""
    ahead, behind = problem.at(theta + h * direction), problem.at(theta - h * direction)
    return (ahead.value - behind.value) / (2 * h)


def unequal_parts(problem):
    """Two parts of D that share nothing and differ in size."""
    count = problem.samples.counts[0]
    return [Samples((torch.arange(5),)), Samples((torch.arange(5, count),))]


def test_consistent_gradient_is_the_global_gradient(small_regression):
    problem, theta = small_regression
    g = problem.at(theta).gradient
    for samples in unequal_parts(problem):
        local = problem.part(samples)
        start = local.at(theta)
        assert (start.gradient - g).norm() > 0.1 * g.norm()  # the parts do differ
        consistent = Consistent(local, start, g)
        assert torch.allclose(consistent.at(theta).gradient, g, rtol=1e-14, atol=1e-15)
        assert torch.equal(consistent.start.gradient, g)
        assert consistent.at(theta).value == start.value


def test_consistent_value_and_gradient_belong_together(small_regression):
    problem, theta = small_regression
    g = problem.at(theta).gradient
    generator = torch.Generator().manual_seed(3)
    elsewhere = theta + 0.1 * torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    direction = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    for samples in unequal_parts(problem):
        local = problem.part(samples)
        consistent = Consistent(local, local.at(theta), g)
        slope = float(consistent.at(elsewhere).gradient @ direction)
        assert directional(consistent, elsewhere, direction) == pytest.approx(slope, rel=1e-7)


def test_layer_subdomains_are_consistent_by_themselves(small_regression):
    problem, theta = small_regression
    point = problem.at(theta)
    for subdomain in Layers(subdomains=3).split(problem):
        local = subdomain.objective(problem, point)
        start = local.at(subdomain.restrict(theta))
        assert torch.allclose(start.gradient, subdomain.restrict(point.gradient), rtol=1e-13)
        assert start.value == point.value


def test_frozen_by_tensor_equals_frozen_by_index(small_regression):
    problem, theta = small_regression
    indices = Layers(subdomains=3).split(problem)[1].indices
    fast, plain = held(problem, problem.at(theta), indices), Frozen(problem, theta, indices)
    part = restrict(theta, indices) + 0.3
    assert fast.at(part).value == plain.at(part).value
    assert torch.allclose(fast.at(part).gradient, plain.at(part).gradient, rtol=1e-13)
    direction = torch.ones_like(part)
    assert torch.allclose(
        fast.curvature(part)(direction), plain.curvature(part)(direction), rtol=1e-11
    )


def test_hessian_vector_product_is_the_derivative_of_the_gradient(small_regression):
    problem, theta = small_regression
    v = torch.ones_like(theta)
    h = 1e-5
    difference = (problem.at(theta + h * v).gradient - problem.at(theta - h * v).gradient) / (2 * h)
    assert torch.allclose(problem.curvature(theta)(v), difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shares_add_up_to_the_whole(small_regression, count):
    problem, theta = small_regression
    split = Split(problem, count, Serial())
    assert split.at(theta).value == pytest.approx(problem.at(theta).value, rel=1e-14)
    assert torch.allclose(split.at(theta).gradient, problem.at(theta).gradient, rtol=1e-12)


def test_a_part_of_everything_is_the_problem(small_regression):
    problem, theta = small_regression
    whole = problem.part(problem.samples)
    assert whole.at(theta).value == problem.at(theta).value
    assert whole.cost == 1.0


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_dealt_parts_partition_the_samples(parts):
    dealt = deal((10, 7), parts)
    for term, count in enumerate((10, 7)):
        joined = torch.cat([part.terms[term] for part in dealt])
        assert torch.equal(joined.sort().values, torch.arange(count))
        sizes = [len(part.terms[term]) for part in dealt]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
def test_widened_parts_contain_their_own_and_have_the_right_size(overlap):
    counts = (20, 8)
    for part in deal(counts, 4):
        wide = widen(part, counts, overlap, 4)
        for own, more, count in zip(part.terms, wide.terms, counts, strict=True):
            assert set(own.tolist()) <= set(more.tolist())
            assert len(more) == len(more.unique()) == min(count, len(own) + overlap * count)


def test_data_of_one_subdomain_is_the_whole(small_regression):
    (subdomain,) = Data(subdomains=1).split(small_regression[0])
    assert subdomain.whole


def test_too_many_data_subdomains_is_an_error(small_regression):
    with pytest.raises(ValueError, match="use at most 37 subdomains"):
        Data(subdomains=38).split(small_regression[0])


def test_a_term_without_samples_does_not_limit_the_subdomains(small_regression):
    problem, _ = small_regression
    empty = torch.arange(0)
    two = problem._but(samples=Samples((torch.arange(3), empty)))
    assert [len(s.samples.terms[0]) for s in Data(subdomains=3).split(two)] == [1, 1, 1]
    with pytest.raises(ValueError, match=r"deal \(3, 0\) .* use at most 3 subdomains"):
        Data(subdomains=4).split(two)
    with pytest.raises(ValueError, match=r"deal \(0,\) samples"):
        Data(subdomains=2).split(problem._but(samples=Samples((empty,))))


def test_restrict_undoes_prolong():
    part = torch.tensor([1.0, 2.0])
    for indices in (torch.tensor([4, 1]), slice(2, 4)):
        assert torch.equal(restrict(prolong(part, indices, 6), indices), part)


@pytest.mark.parametrize("grouping", ["balanced", "module", "random"])
def test_layer_groups_are_a_partition_without_split_layers(small_regression, grouping):
    problem, _ = small_regression
    subdomains = Layers(subdomains=2, grouping=grouping).split(problem)
    owners = torch.zeros(problem.layout.size)
    for subdomain in subdomains:
        owners[subdomain.indices] += 1
        assert problem.layout.whole(subdomain.indices) is not None
    assert torch.equal(owners, torch.ones_like(owners))


def test_a_layer_group_takes_no_parameter_that_lies_between_its_own():
    names = ("a.weight", "c.weight", "b.weight", "d.weight", "a.bias")
    layout = Layout(names, tuple(torch.Size([n]) for n in (2, 1, 1, 1, 1)))
    groups = Layers(subdomains=2, grouping="module").split(Blank(layout))
    first, second = (subdomain.indices for subdomain in groups)
    assert first.tolist() == [0, 1, 3, 5]  # a and b
    assert second.tolist() == [2, 4]
    assert layout.whole(first) == [0, 2, 4]


def test_balanced_groups_minimise_the_largest():
    assert balanced([80, 420, 420, 420, 21], 2) == [[0, 1], [2, 3, 4]]
    assert balanced([5, 1, 1, 1], 4) == [[0], [1], [2], [3]]
    assert [len(group) for group in balanced([1] * 9, 3)] == [3, 3, 3]


def test_patterns_name_groups_and_complain_about_strays(small_regression):
    problem, _ = small_regression
    subdomains = Layers(patterns=[["0.*"], ["2.*", "4.*"]]).split(problem)
    assert [s.size(problem.layout.size) for s in subdomains] == [32, 81]
    with pytest.raises(ValueError, match=r"'4\.weight' belongs to 0 of the groups"):
        Layers(patterns=[["0.*"], ["2.*"]]).split(problem)


def test_parameters_of_two_kinds_are_refused():
    with pytest.raises(ValueError, match="expected one dtype on one device"):
        Parameters([("a", torch.zeros(2)), ("b", torch.zeros(2, dtype=torch.float64))])


def test_writing_what_was_read_changes_no_bit(small_classification):
    model, _, _ = small_classification
    parameters = Parameters(model.named_parameters())
    before = [tensor.detach().clone() for tensor in parameters.tensors]
    parameters.write(parameters.read())
    assert all(torch.equal(a, b) for a, b in zip(before, parameters.tensors, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_steps_below_the_rounding_of_half_precision_add_up(dtype):
    tensor = torch.ones(3, dtype=dtype)
    parameters = Parameters([("a", tensor)])
    assert parameters.layout.dtype == torch.float32
    theta = parameters.read()
    for _ in range(1024):
        parameters.write(theta + 2.0**-13)
        theta = parameters.read(theta + 2.0**-13)
    assert theta.tolist() == [1.125] * 3
    assert tensor.tolist() == theta.to(dtype).tolist()
    tensor.fill_(2.0)  # by somebody else
    assert parameters.read(theta).tolist() == [2.0] * 3


def test_layers_group_weight_and_bias():
    layout = Layout(
        ("a.weight", "a.bias", "b.weight"), (torch.Size([2, 3]),) * 2 + (torch.Size([4]),)
    )
    assert layout.layers() == {"a": [slice(0, 6), slice(6, 12)], "b": [slice(12, 16)]}
