"""The pair memory against plain matrices."""

import io

import pytest
import torch

from ddopt.hessian.secant import SecantPairs
from tests.sharding import Reduced, Shards


def vectors(num: int, n: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(num, n, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def filled(capacity: int, num: int, n: int, dtype: torch.dtype = torch.float64, seed: int = 0):
    pairs = SecantPairs(capacity)
    S, Y = vectors(num, n, seed, dtype), vectors(num, n, seed + 1, dtype)
    for s, y in zip(S, Y, strict=True):
        assert pairs.push(s, y)
    return pairs, S[-capacity:], Y[-capacity:]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("capacity", "num", "n"),
    [(1, 1, 1), (1, 4, 3), (3, 2, 7), (5, 5, 4), (5, 13, 40), (70, 100, 900)],
)
def test_grams_products_and_combination_equal_dense(capacity, num, n, dtype):
    pairs, S, Y = filled(capacity, num, n, dtype)
    g = vectors(1, n, 9, dtype)[0]
    S2, Y2, g2 = S.double(), Y.double(), g.double()
    close = dict(rtol=1e-13, atol=1e-12)
    torch.testing.assert_close(pairs.ss, S2 @ S2.T, **close)
    torch.testing.assert_close(pairs.sy, S2 @ Y2.T, **close)
    torch.testing.assert_close(pairs.yy, Y2 @ Y2.T, **close)
    sg, yg, gg = pairs.products(g)
    torch.testing.assert_close(sg, S2 @ g2, **close)
    torch.testing.assert_close(yg, Y2 @ g2, **close)
    assert gg == pytest.approx(float(g2 @ g2), rel=1e-13)
    b, c = vectors(2, len(pairs), 4)
    expected = (0.3 * g2 + S2.T @ b + Y2.T @ c).to(dtype)
    tolerance = dict(rtol=1e-6, atol=1e-6) if dtype == torch.float32 else close
    result = pairs.combine(0.3, g, b, c)
    assert result.dtype == dtype
    torch.testing.assert_close(result, expected, **tolerance)
    curvatures = (S2 * Y2).sum(1) / (S2 * S2).sum(1)
    torch.testing.assert_close(pairs.curvatures(), curvatures, **close)


def test_float32_combination_survives_cancelling_coefficients():
    pairs, S, _ = filled(4, 4, 300, torch.float32)
    g = torch.zeros(300)
    pairs.push(S[0], S[0] + 0.5)
    b, c = torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    b[-1], c[-1] = -1e7, 1e7
    exact = 1e7 * ((S[0] + 0.5).double() - S[0].double())
    torch.testing.assert_close(pairs.combine(0.0, g, b, c), exact.float(), rtol=1e-6, atol=0.0)


def test_empty_memory():
    pairs = SecantPairs(3)
    g = vectors(1, 5, 0)[0]
    sg, yg, gg = pairs.products(g)
    assert len(pairs) == len(sg) == len(yg) == 0
    assert gg == pytest.approx(float(g @ g))
    nothing = torch.zeros(0, dtype=torch.float64)
    torch.testing.assert_close(pairs.combine(2.0, g, nothing, nothing), 2.0 * g)
    assert pairs.ss.shape == (0, 0)
    assert pairs.curvatures().shape == (0,)


@pytest.mark.parametrize("bad", ["zero", "nan", "inf"])
def test_useless_pairs_are_refused_and_leave_no_trace(bad):
    pairs, _, _ = filled(2, 3, 4)
    before = {key: value for key, value in pairs.state_dict().items()}
    kept = before["pairs"].clone(), before["gram"].clone()
    s, y = vectors(2, 4, 7)
    if bad == "zero":
        s = torch.zeros(4, dtype=torch.float64)
    else:
        y[2] = float(bad)
    assert not pairs.push(s, y)
    after = pairs.state_dict()
    assert torch.equal(after["pairs"], kept[0])
    assert torch.equal(after["gram"], kept[1])


@pytest.mark.parametrize("bad", ["zero", "nan"])
def test_a_pair_that_is_useless_on_one_of_two_shards_is_refused_or_stored_on_both(bad):
    S, Y = vectors(3, 8, 0), vectors(3, 8, 1)
    s, y = vectors(2, 8, 2)
    if bad == "zero":
        s[:4] = 0.0  # on the first shard only: the whole of s is not zero
    else:
        y[1] = float("nan")

    def body(rank, reduce):
        part = slice(4 * rank, 4 * rank + 4)
        pairs = SecantPairs(2, Reduced(reduce))
        for a, b in zip(S, Y, strict=True):
            pairs.push(a[part], b[part])
        before = pairs.ss.clone()
        stored = pairs.push(s[part], y[part])
        return stored, torch.equal(before, pairs.ss), pairs.products(s[part]).gg

    results = Shards(2).run(body)
    assert results[0] == results[1]
    assert results[0][:2] == ((True, False) if bad == "zero" else (False, True))


@pytest.mark.parametrize("num", [1, 3, 4, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_are_the_same_bits_whether_a_pass_was_shared_or_not(num, dtype):
    S, Y, G = (vectors(num, 20_000, seed, dtype) for seed in (0, 1, 2))
    shared, alone = SecantPairs(4), SecantPairs(4)
    for s, y, g in zip(S, Y, G, strict=True):
        shared.push(s, y, g)
        alone.push(s, y)
        for a, b in zip(shared.products(g), alone.products(g), strict=True):
            assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))
    assert torch.equal(shared.sy, alone.sy)


def test_reset_forgets_everything():
    pairs, _, _ = filled(3, 5, 6)
    pairs.reset()
    assert len(pairs) == 0
    assert "pairs" not in pairs.state_dict()
    assert pairs.push(*vectors(2, 9, 1))


@pytest.mark.parametrize("num", [0, 2, 4, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saved_memory_continues_bit_for_bit(num, dtype):
    pairs, _, _ = filled(4, num, 50, dtype)
    buffer = io.BytesIO()
    torch.save(pairs.state_dict(), buffer)
    buffer.seek(0)
    other = SecantPairs(4)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    s, y = vectors(2, 50, 21, dtype)
    for memory in (pairs, other):
        memory.push(s, y)
    assert torch.equal(pairs.ss, other.ss)
    assert torch.equal(pairs.sy, other.sy)
    assert torch.equal(pairs.yy, other.yy)
    assert torch.equal(pairs.products(s).yg, other.products(s).yg)
    b, c = vectors(2, len(pairs), 3)
    assert torch.equal(pairs.combine(1.0, s, b, c), other.combine(1.0, s, b, c))


def test_a_state_of_another_capacity_is_an_error():
    with pytest.raises(ValueError, match="saved capacity"):
        SecantPairs(3).load_state_dict(SecantPairs(2).state_dict())
    with pytest.raises(ValueError, match="at least 1"):
        SecantPairs(0)


def test_one_reduction_per_push_and_per_product():
    calls = []

    def reduce(block):
        calls.append(block.dtype)
        return block

    pairs = SecantPairs(3, Reduced(reduce))
    s, y = vectors(2, 6, 0)
    pairs.push(s, y)
    pairs.push(y, s)
    pairs.products(s)
    assert calls == [torch.float64] * 3
