"""Mistakes in a differential equation of a user's own are told before they give wrong numbers."""

import numpy as np
import pytest
import torch

from ddopt.task import Setting
from ddopt_pinn import PDETask, dde


class Flat(PDETask):
    """u″ = 0, with mistakes that a newcomer makes."""

    name = "flat"
    axes = ("x",)

    def geometry(self):
        return dde.geometry.Interval(0, 1)

    def equation(self, x, u):
        return dde.grad.hessian(u, x)

    def conditions(self, geometry):
        return [dde.icbc.DirichletBC(geometry, lambda x: x[:, :1], lambda x, on: on)]


def prepared(*, boundary=2, **parts):
    """The task with other parts, prepared."""
    task = type("Spoilt", (Flat,), parts)(interior=9, boundary=boundary)
    task.prepare(Setting(0, torch.float64))
    return task


def test_a_solution_has_a_column_for_each_output():
    task = prepared(solution=lambda self, points: points[:, 0])
    with pytest.raises(ValueError, match=r"returned shape \(\d+,\) .* points\[:, :1\], not"):
        task.measure(task.initial)
    assert "error" in prepared(solution=lambda self, points: points).measure(task.initial)


def test_the_values_of_a_condition_are_a_column():
    def conditions(self, geometry):
        return [dde.icbc.DirichletBC(geometry, lambda x: x[:, 0], lambda x, on: on)]

    task = prepared(conditions=conditions)
    with pytest.raises(ValueError, match=r"condition 0 \(DirichletBC\) .* x\[:, :1\], not"):
        task.problem.at(task.initial)


def test_a_condition_without_points_is_told():
    with pytest.raises(ValueError, match=r"condition 0 \(DirichletBC\) has no points"):
        prepared(boundary=0)


def test_numpy_in_an_equation_is_told():
    task = prepared(equation=lambda self, x, u: dde.grad.hessian(u, x) - np.sin(x))
    with pytest.raises(ValueError, match=r"torch.sin\(x\), not np.sin"):
        task.problem.at(task.initial)
