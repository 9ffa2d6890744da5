"""``python -m ddopt``, which is also what torchrun starts."""

from ddopt.cli import main

main()
