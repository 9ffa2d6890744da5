"""The campaign of faults sees what fails, counts it, and goes on where it was killed."""

import json
from types import SimpleNamespace

import pytest

from tests.faults import campaign

pytestmark = pytest.mark.ranks


@pytest.fixture
def tried(tmp_path, monkeypatch):
    """A campaign on one class of faults, and the numbers that it has tried so far."""
    (tmp_path / "tried").mkdir()

    def attempt(random, place, references):
        (tmp_path / "tried" / f"{place.name}-{random.random()}").touch()
        number = int(place.name.partition("-")[2])
        assert number != 3, "three is wrong"
        if number == 5:
            raise KeyError("five")

    monkeypatch.setattr(campaign, "KINDS", {"made up": SimpleNamespace(attempt=attempt)})
    monkeypatch.setattr(campaign.Campaign, "_prepare", lambda self: None)
    made = campaign.Campaign(tmp_path / "out", 7, {"made up": 8}, jobs=2, soaked=1)
    return made, lambda: sorted(path.name for path in (tmp_path / "tried").iterdir())


def test_what_fails_is_counted_and_kept(tried):
    made, names = tried
    results = made.run()
    assert [one["number"] for one in results] == list(range(8))
    wrong = {one["number"]: one["failed"] for one in results if one["failed"]}
    assert wrong.keys() == {3, 5}
    assert wrong[3].startswith("three is wrong")
    assert "KeyError: 'five'" in wrong[5]
    assert "| made up | 8 | 2 |" in campaign.table(results, made.counts)
    assert sorted(path.name for path in made.folder.glob("made up-*")) == ["made up-3", "made up-5"]
    assert len(names()) == 8


def test_a_campaign_that_was_killed_goes_on(tried):
    made, names = tried
    made.run()
    first = names()
    lines = made.journal.read_text().splitlines(keepends=True)
    other = json.dumps({**json.loads(lines[0]), "tested": "other code"}) + "\n"
    made.journal.write_text("".join([other, *lines[2:7]]) + lines[7][:20])
    assert len(made.run()) == 8
    assert len(names()) == 8, "an attempt follows from the seed and its number alone"
    assert names() == first
    there = made.journal.read_text()
    assert len(there.splitlines()) == 10
    made.run()
    assert made.journal.read_text() == there
