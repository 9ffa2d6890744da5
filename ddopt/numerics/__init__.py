"""Numerics: flat vectors and their layers, inner products, random numbers, BLAS threads."""
