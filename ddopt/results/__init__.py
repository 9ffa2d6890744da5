"""Results: training and comparing from Python, and what came of it, also in a notebook."""

from __future__ import annotations

from ddopt.results.comparison import Comparison as Comparison
from ddopt.results.comparison import compare_methods as compare_methods
from ddopt.results.result import Result as Result
from ddopt.results.stored import load as load
from ddopt.results.training import train as train
