"""Every defect in the table is told, with its cause; what is right passes."""

import pytest

from ddopt import testing
from tests.planted import SIZE, TABLES, made
from tests.planted.hooks import COMMANDS, COUNT, HOOKS, adding, begun, counted, watching

CASES = [(seam, defect) for seam, table in TABLES.items() for defect in table]


def planted(seam, defect):
    above, methods, _ = TABLES[seam][defect]
    options = SIZE | {"growth": 2.0, "patience": 1} if seam == "sampling" else {}
    return (made(above, **methods) if methods else above)(**options)


@pytest.mark.parametrize(("seam", "defect"), CASES)
def test_a_defect_is_told_in_a_sentence(seam, defect):
    check = getattr(testing, f"check_{seam}")
    with pytest.raises(AssertionError, match=TABLES[seam][defect][2]) as error:
        check(planted(seam, defect), ranks="rank" in defect or "own steps" in defect or
              "process" in defect)  # fmt: skip
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("check", "defect"),
    [("check_hooks", d) for d in HOOKS] + [("check_commands", d) for d in COMMANDS],
)
def test_a_defect_of_hooks_or_commands_is_told(check, defect, recwarn):
    functions, words = (HOOKS if check == "check_hooks" else COMMANDS)[defect]
    with pytest.raises(AssertionError, match=words):
        getattr(testing, check)(watching(**functions))


def test_hooks_and_commands_that_are_right_pass():
    right = {
        "ddopt_before_run": begun,
        "ddopt_after_step": counted,
        "state_dict": lambda: dict(COUNT),
        "load_state_dict": COUNT.update,
    }
    testing.check_hooks(watching(**right))
    testing.check_commands(watching(**adding("odd", "Do something odd.")))


def test_enough_defects_are_planted():
    found = [*CASES, *HOOKS, *COMMANDS]
    assert len(found) >= 2 * 69
