"""Executors: serial and distributed."""

from ddopt.executor.executor import Executor
from ddopt.executor.serial import Serial

__all__ = ["Executor", "Serial"]
