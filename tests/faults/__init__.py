"""A campaign of faults: what a run promises is tried at random, again and again.

``python -m tests.faults --seed 0 --budget quick`` prints a table of what was tried and what failed.
Each attempt follows from the seed, its class and its number alone. Each result is a line of
``results.jsonl``, so a campaign that is killed goes on where it was.
"""
