"""What the processes of a run compare before they rely on it: method, problem, subdomains, a step.

Two processes that were given different data, or whose plugin draws its own random numbers, would
otherwise compute a method of no meaning, or wait for each other for ever. With one process nothing
is compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.decomposition import inventory
from ddopt.numerics.vectors import fingerprint

if TYPE_CHECKING:
    import torch

    from ddopt.decomposition import Decomposition, Subdomain
    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.method.parts import Parts
    from ddopt.recombination import Recombination, Recombined


def same_problem(executor: Executor, parts: Parts, problem: Problem, theta: torch.Tensor) -> None:
    """Before anything else: the method, the problem, and its first θ (n,)."""
    if executor.size > 1:
        executor.agree({"method": repr(parts), **problem.facts(theta)})


def same_subdomains(
    executor: Executor,
    decomposition: Decomposition,
    subdomains: list[Subdomain],
    problem: Problem,
) -> None:
    """With the first subdomains; of stages, every process sees its own parameters."""
    if executor.size > 1:
        own = not problem.geometry.sharded
        text = inventory(subdomains, problem.layout.size, parameters=own)
        executor.agree({f"subdomains of {type(decomposition).__name__}": text})


def same_step(
    executor: Executor, recombination: Recombination, recombined: Recombined, problem: Problem
) -> None:
    """With the first recombined step, before it is tried."""
    if executor.size > 1:
        facts = {"predicted decrease": repr(float(recombined.predicted))}
        if recombined.step is not None and not problem.geometry.sharded:
            facts["step"] = fingerprint(recombined.step)
        name = type(recombination).__name__
        executor.agree({f"{fact} of {name}": text for fact, text in facts.items()})
