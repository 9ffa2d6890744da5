"""Runs: the loop over outer iterations, and what it leaves in its folder."""
