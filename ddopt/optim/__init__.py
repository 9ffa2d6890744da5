"""The methods as torch optimizers: one line in a training script that already exists."""

from ddopt.optim.methods import SAPTS, LevenbergMarquardt, TrustRegion
from ddopt.optim.optimizer import EngineOptimizer

__all__ = ["SAPTS", "EngineOptimizer", "LevenbergMarquardt", "TrustRegion"]
