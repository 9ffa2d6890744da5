"""The methods as torch optimizers: one line in a training script that already exists."""

from ddopt.optim.methods import SAPTS, LeastSquares, LevenbergMarquardt, TrustRegion
from ddopt.optim.optimizer import EngineOptimizer

__all__ = ["SAPTS", "EngineOptimizer", "LeastSquares", "LevenbergMarquardt", "TrustRegion"]
