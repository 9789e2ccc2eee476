"""Calls as users write them, checked by mypy as `make lint` runs it: their arguments have the types that are taken."""

from pathlib import Path

import numpy as np

import gan_bench as gb


def use() -> None:
    """Take a path as a reference, and seeds and extractors out of what can be gone through."""
    gb.score(Path("made"), Path("real.zip"), extractors={"inception"})
    gb.run("digits", seeds=np.arange(3), extractors=(name for name in ["inception"]))
    gb.run("digits", seeds=range(3))
