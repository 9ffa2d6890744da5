"""The commands of the ``ddopt`` command line, one per file; each module has one ``command``."""
