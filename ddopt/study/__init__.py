"""Studies: many runs by one file, which varies settings, problems, methods and seeds.

A study is a list of cells. A cell is one method on one problem with one choice of everything that
varies, and has a run for each seed. ``ddopt compare`` is a study of one problem.
"""
