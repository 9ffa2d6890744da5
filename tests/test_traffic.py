"""The bytes and collectives in the record are those of the tensors that torch.distributed sends."""

from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch.distributed as dist

from ddopt.executor import distributed
from ddopt.executor.collectives import all_gather_single
from ddopt.testing.ranks import run_ranks
from tests.test_variants import RELAY, RUN_FILE, VARIANTS, record_of

pytestmark = pytest.mark.ranks
CHOSEN = (
    "sapts_d",
    "apts, no global pass",
    "sapts_p",
    "napts",
    "trust_region",
    "trust_region in pieces",
)


def counting(size, sent):
    """The names that ``distributed`` calls: they add up bytes in ``sent``, one entry per call."""

    def add(count):
        sent.append(sent[-1] + count)

    def gather(whole, own, **options):
        add(own.nbytes * (size - 1))
        return all_gather_single(whole, own, **options)

    def exchange(into, out, incoming, outgoing, **options):
        others = sum(outgoing) - outgoing[dist.get_rank()]
        add(others * out.element_size())
        return dist.all_to_all_single(into, out, incoming, outgoing, **options)

    def reduce(tensor, **options):
        add(2 * tensor.numel() * (size - 1) // size * tensor.element_size())
        return dist.all_reduce(tensor, **options)

    def broadcast(tensor, source, **options):
        add(tensor.nbytes * (size - 1) if source == dist.get_rank() else 0)
        return dist.broadcast(tensor, source, **options)

    counted = {
        "all_to_all_single": exchange,
        "all_reduce": reduce,
        "broadcast": broadcast,
    }
    return {"dist": SimpleNamespace(**{**vars(dist), **counted}), "all_gather_single": gather}


@pytest.mark.parametrize("reduction", ["ordered", "fast"])
@pytest.mark.parametrize("world_size", [2, 3])
def test_every_byte_of_the_record_was_sent(world_size, reduction, tmp_path):
    file = tmp_path / "relay.toml"
    file.write_text(RUN_FILE.format(relay=RELAY.as_posix()))

    def traffic(executor):
        found = {}
        for variant in CHOSEN:
            sent = [0]
            executor.bytes_sent = executor.collectives = 0
            with patch.multiple(distributed, **counting(executor.size, sent)):
                lines = record_of(executor, file, VARIANTS[variant], tmp_path / variant)
            found[variant] = sent, lines
        return found

    ranks = run_ranks(traffic, world_size, reduction=reduction)
    for variant, (_, lines) in ranks[0].items():
        for line in lines:
            calls = line["collectives"]
            assert line["bytes_sent"] == sum(rank[variant][0][calls] for rank in ranks)
        assert lines[-1]["collectives"] > lines[0]["collectives"] == 0
