"""Processes that meet where others have met before find each other, and nobody else."""

import random
import threading
from datetime import timedelta

import pytest
import torch.distributed as dist

from ddopt.executor.appointment import CALL, appointment

SOON = timedelta(seconds=60)


def gathered(store, size):
    """The name that each of ``size`` processes, here threads, has found."""
    names = [""] * size

    def come(rank):
        names[rank] = appointment(store, rank, size, SOON)

    threads = [threading.Thread(target=come, args=(rank,)) for rank in range(size)]
    random.shuffle(threads)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return names


@pytest.mark.parametrize("size", [2, 3, 5])
def test_those_who_meet_again_have_a_new_name(size):
    store = dist.HashStore()
    first, second = gathered(store, size), gathered(store, size)
    assert len({*first}) == len({*second}) == 1
    assert first[0] != second[0]


def test_the_call_and_the_answer_of_the_dead_are_not_counted():
    store = dist.HashStore()
    store.set(CALL, "old")
    for rank in (1, 2):
        store.set(f"old/{rank}", f"dead{rank}")
    store.set("old/words", "dead1 dead2")
    names = gathered(store, 3)
    assert len({*names}) == 1
    assert names[0] != "old"


def test_who_is_left_alone_says_so():
    with pytest.raises(TimeoutError, match="2 processes have not met"):
        appointment(dist.HashStore(), 1, 2, timedelta(seconds=0.1))
