"""Executors: serial and distributed."""

from ddopt.executor.executor import Executor, tree_sum
from ddopt.executor.serial import Serial
from ddopt.executor.split import Split, shared

__all__ = ["Executor", "Serial", "Split", "shared", "tree_sum"]
