"""The base of all other packages: errors, atomic files, registries, canonical text. Standard library only."""

__version__ = "0.1.0"
"""The version of the package; a test compares it with pyproject.toml."""
GARBAGE_THRESHOLD = 100_000
"""Allocations after which the programs of this package collect cyclic garbage (``gc.set_threshold``).

Imports of torch and torchmetrics make objects that stay. With Python's own 700, looking through them time and again
took a fifth of the start of each process (5.2 s of CPU time, 4.2 s with this number). What holds much memory in few
objects, as the metrics of an evaluation and the networks of a trial do, is freed by hand.
"""
