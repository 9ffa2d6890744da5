"""Every defect in the table is told, with its cause; what is right passes."""

import pytest

from ddopt import testing
from tests.planted import OPTIONS, TABLES, made
from tests.planted.hooks import COMMANDS, COUNT, HOOKS, adding, begun, counted, watching

CASES = [(seam, defect) for seam, table in TABLES.items() for defect in table]

EVERYWHERE = [  # seams whose components two processes must find alike
    *("decomposition", "acceptance", "radius", "hessian", "subproblem", "sampling"),
    *("strategy", "task", "solver", "walk"),
]
FORGETFUL = ("acceptance", "recombination", "hessian", "solver")  # seams with a reset
NAMED = {  # what earlier kits, ours too, let pass or gave a false cause: where it is planted
    "weights that sum to 1.8": [("decomposition", "weights that sum to 1.8")],
    "a prolongation that leaks outside": [("decomposition", "prolongs outside")],
    "parameters without a seed": [
        ("task", "parameters without a seed"), ("decomposition", "draws without a seed"),
        ("decomposition", "draws from numpy without a seed"),
        ("decomposition", "draws from Python's random"),
    ],
    "samples without a seed": [("task", "samples without a seed"), ("sampling", "draws")],
    "differences by rank": [
        ("recombination", "differs by rank"), ("recombination", "adds up its own steps only"),
        ("decomposition", "differs by process"),
        *((seam, "differs by rank") for seam in EVERYWHERE),
    ],
    "a false end.value": [("solver", "a false end.value"), ("walk", "says an end")],
    "a buffer of its own": [
        (seam, "keeps a buffer") for seam in (
            "solver", "walk", "subproblem", "recombination", "hessian", "decomposition", "sampling")
    ] + [("executor", "a buffer of its own")],
    "reset without effect": [(seam, "reset without effect") for seam in FORGETFUL],
    "no evaluations counted": [
        ("solver", "evaluates behind the meter"), ("solver", "evaluates by itself"),
        ("recombination", "evaluates behind the meter"), ("executor", "evaluates inside"),
        ("baseline", "evaluates for nothing"),
    ],
    "torch reseeded": [("solver", "reseeds torch"), ("decomposition", "seeds torch")],
    "a solver that never moves": [("solver", "never moves")],
    "a solver that ignores iterations": [
        ("solver", "ignores iterations"), ("solver", "asks without end")],
    "a solver that keeps every trial": [("solver", "keeps every trial")],
    "a Hessian whose state_dict forgets": [("hessian", "forgets")],
    "a Hessian that learns nothing": [("hessian", "learns nothing")],
    "a Hessian that flips the secant": [
        ("hessian", "flips the secant"), ("hessian", "swaps s and y")],
    "a Hessian that mutates s": [("hessian", "mutates s"), ("hessian", "keeps s and y")],
    "a Hessian that keeps points": [("hessian", "keeps points")],
    "a ratio that is a tensor": [("acceptance", "ratio is a tensor")],
    "a wrong norm": [("subproblem", "a wrong norm"), ("subproblem", "a norm that is a tensor")],
    "a task that ignores dtype": [
        ("task", "ignores dtype"), ("task", "initial of another dtype")],
    "θ mutated in place has its own cause": [
        ("solver", "moves the start"), ("walk", "moves the start"), ("hessian", "mutates θ"),
        ("recombination", "changes θ"), ("task", "measuring moves θ"), ("subproblem", "mutates g")],
    "a float32 step has its own cause": [
        ("solver", "a float32 step"), ("walk", "a float32 step"), ("subproblem", "a float32 step"),
        ("recombination", "returns float32"), ("hessian", "returns float32")],
    "randomness is not called a fault of the state": [
        ("solver", "draws"), ("solver", "draws without a seed"), ("walk", "draws"),
        ("walk", "draws without a seed"), ("radius", "draws"), ("acceptance", "draws"),
        ("task", "draws in the loss")],
}  # fmt: skip


def planted(seam, defect):
    above, methods, _ = TABLES[seam][defect]
    return (made(above, **methods) if methods else above)(**OPTIONS.get(seam, {}))


@pytest.mark.parametrize(("seam", "defect"), CASES)
def test_a_defect_is_told_in_a_sentence(seam, defect):
    check = getattr(testing, f"check_{seam}")
    ranks = any(word in defect for word in ("rank", "own steps", "process"))
    with pytest.raises(AssertionError, match=TABLES[seam][defect][2]) as error:
        check(planted(seam, defect), **({} if seam == "executor" else {"ranks": ranks}))
    assert "\n" not in str(error.value)
    name = "problem" if seam == "task" else "solver" if seam == "walk" else seam
    assert str(error.value).startswith(f"{name} '")


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


def test_every_defect_that_a_kit_is_known_to_miss_is_planted():
    for defect, places in NAMED.items():
        assert places, defect
        for seam, planted_as in places:
            assert planted_as in TABLES[seam], (defect, seam)


def test_enough_defects_are_planted():
    found = [*CASES, *HOOKS, *COMMANDS]
    assert len(found) >= 4 * 69
    assert min(len(table) for table in (*TABLES.values(), HOOKS, COMMANDS)) >= 11
