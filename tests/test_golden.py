"""Golden runs: a change of the house moves no number (``python -m tests.golden`` writes them)."""

import pytest

from ddopt.executor import Serial
from ddopt.run.running import Run
from ddopt.testing import run_ranks
from ddopt_sapts import STRATEGIES
from tests.golden import RUNS, config, followed, platform_key, stored, trace

FIRST, CLOSE = 3, 1e-4  # iterations, and the relative difference, that another machine may have


@pytest.fixture(scope="module")
def golden():
    """The stored runs, and whether they were made on a machine and a torch like these."""
    found = stored()
    return found["runs"], found["platform"] == platform_key()


@pytest.fixture(scope="module")
def serial():
    return {name: followed(Run(config(name), Serial(), None)) for name in RUNS}


def near(found, kept):
    """Whether losses agree where the last bits may not: they part after a few iterations."""
    pairs = zip(found["losses"][:FIRST], kept["losses"][:FIRST], strict=True)
    return all(float.fromhex(a) == pytest.approx(float.fromhex(b), rel=CLOSE) for a, b in pairs)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_on_one_process_has_the_numbers_that_it_had(name, golden, serial):
    (runs, same), found = golden, serial[name]
    if not same:
        assert near(found, runs[name])
        return
    assert found == {fact: runs[name][fact] for fact in found}


@pytest.mark.ranks
def test_two_processes_have_the_numbers_of_one_and_send_what_they_sent(golden, serial):
    runs, same = golden
    for name, found in run_ranks(trace, 2)[0].items():
        for fact in ("losses", "evaluations"):
            assert found[fact] == serial[name][fact], name
        kept = runs[name]["on two processes"]
        assert found["traffic"] == kept["traffic"] or not same, name
        assert found["theta"] == kept["theta"] or not same, name


def test_every_strategy_of_sapts_has_a_golden_run():
    assert {strategy["name"] for strategy, _ in RUNS.values()} == STRATEGIES.keys()
