"""Evaluation: problems, how PyTorch code becomes one, wrappers, and the meter."""
