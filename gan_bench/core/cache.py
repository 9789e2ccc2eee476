"""Where what can be computed again is kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the user's cache folder: ``$GAN_BENCH_CACHE``, else ``$XDG_CACHE_HOME/gan_bench``."""
    given = os.environ.get("GAN_BENCH_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan_bench"
