"""Hessian approximations."""

from ddopt.hessian.hessian import Hessian, Model

__all__ = ["Hessian", "Model"]
