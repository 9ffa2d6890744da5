"""States are stored without copies and without empty rows, and come back with all their bits."""

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddopt.hessian.secant import SecantPairs
from ddopt.run import checkpoint, stored


def back(state):
    """A state after a trip through a file, and the bytes of that."""
    stream = io.BytesIO()
    torch.save(stored.tight(state), stream)
    size = stream.tell()
    stream.seek(0)
    return stored.loose(torch.load(stream, weights_only=True)), size


@given(
    st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.5, torch.nan]), min_size=3, max_size=3)),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_every_matrix_comes_back(rows, dtype):
    matrix = torch.tensor(rows, dtype=dtype).reshape(-1, 3)
    found, _ = back({"a": [matrix, (matrix[1:], 7)]})
    for one, other in ((found["a"][0], matrix), (found["a"][1][0], matrix[1:])):
        assert one.dtype == dtype
        assert one.shape == other.shape
        assert one.view(torch.uint8).tolist() == other.contiguous().view(torch.uint8).tolist()


def test_what_shows_a_part_of_a_tensor_is_written_alone_and_not_copied():
    whole = torch.randn(1000, 50)
    part = stored.tight({"a": whole[10:20]})["a"]
    assert part.data_ptr() == whole[10:20].data_ptr()
    found, size = back({"a": whole[10:20], "b": whole[10:20], "c": whole[:, 3], "d": whole[0, 0]})
    assert size < 3 * 4 * 500 + 4 * 1000 + 4000
    assert torch.equal(found["b"], whole[10:20])
    assert torch.equal(found["c"], whole[:, 3])
    assert found["d"] == whole[0, 0]


def test_a_young_memory_takes_the_room_of_its_pairs():
    pairs, n = SecantPairs(100), 5_000
    for _ in range(7):
        pairs.push(torch.randn(n), torch.randn(n))
    found, size = back(pairs.state_dict())
    assert 2 * 7 * n * 4 < size < 1.1 * 2 * 7 * n * 4
    twin = SecantPairs(100)
    twin.load_state_dict(found)
    g = torch.randn(n)
    assert torch.equal(twin.products(g).yg, pairs.products(g).yg)
    assert twin.push(g, g) == pairs.push(g, g)
    assert torch.equal(twin.sy, pairs.sy)


def test_rows_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="empty rows"):
        stored.loose({"x": {stored.FILLED: 3, stored.ROWS: 4}})
    place = tmp_path / "x.pt"
    checkpoint.write(place, {"x": torch.zeros(5, 2)})
    assert torch.equal(checkpoint.read(place)["x"], torch.zeros(5, 2))
