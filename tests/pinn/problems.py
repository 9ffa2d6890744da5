"""Small versions of every problem, quick to evaluate."""

from importlib import import_module

import torch

from ddopt.evaluation.problem import Samples
from ddopt.task import Setting
from ddopt_pinn import PROBLEMS

SMALL = {"interior": 30, "width": 6, "depth": 2}


def prepared(name, seed=0, dtype=torch.float64, **options):
    module, _, found = PROBLEMS[name].partition(":")
    task = getattr(import_module(module), found)
    if task.Config.model_fields["boundary"].default:
        options = {"boundary": 12, **options}
    if task.Config.model_fields["initial"].default:
        options = {"initial": 7, **options}
    task = task(**{**SMALL, **options})
    task.prepare(Setting(seed=seed, dtype=dtype))
    return task


def halves(problem):
    """The samples in two unequal parts, out of order; the last term is left whole."""
    generator = torch.Generator().manual_seed(1)
    orders = [torch.randperm(count, generator=generator) for count in problem.samples.counts]
    first = [order[: len(order) // 3] for order in orders]
    second = [order[len(order) // 3 :] for order in orders]
    if len(orders) > 1:
        first[-1], second[-1] = orders[-1][:0], orders[-1]
    return Samples(tuple(first)), Samples(tuple(second))


def solved_by(task, monkeypatch):
    """Let the network's output be the reference solution."""
    monkeypatch.setattr(task, "predict", lambda theta, points: task.solution(points))
