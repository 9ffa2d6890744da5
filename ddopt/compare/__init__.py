"""Comparisons: strategies and baselines on one problem, with the same budget, over several seeds.

How it counts: one evaluation is one loss with its gradient, on all samples; a trial of a line
search counts whole, whether or not its gradient is used, and so does a product with the Hessian.
Evaluations of a decomposed strategy are those per process, one process for each subdomain;
what all processes did together stands beside them.
"""
