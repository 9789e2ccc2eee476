"""Folders for files that can be computed again."""

from __future__ import annotations

import contextlib
import getpass
import os
import stat
import tempfile
from functools import lru_cache
from pathlib import Path

from gan_bench.core.text import at_home


def cache_folder() -> Path:
    """Return the user's cache folder: ``$GAN_BENCH_CACHE``, else ``$XDG_CACHE_HOME/gan_bench``.

    A user without a home, as a container's numeric user is, has a folder in the one for temporary files.
    """
    given = os.environ.get("GAN_BENCH_CACHE")
    if given:
        return Path(at_home(given))
    base = Path(at_home(os.environ.get("XDG_CACHE_HOME", "")))
    if base.is_absolute():  # a relative one is to be ignored, says the specification
        return base / "gan_bench"
    home = _home()
    return home / ".cache" / "gan_bench" if home and os.access(home, os.W_OK | os.X_OK) else _private_folder()


def ensure_home() -> None:
    """Set a home folder for this process if its user has none: MLflow needs one, and Matplotlib warns."""
    home = _home()
    if home is None:
        os.environ["HOME"] = str(_private_folder())
    if home is None or not os.access(home, os.W_OK | os.X_OK):
        os.environ.setdefault("MPLCONFIGDIR", str(_private_folder() / "matplotlib"))


def ensure_compiler_cache() -> None:
    """Set torch's folder of compiled code if this user has no name: optimizers of torch 2.11 fail otherwise."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(_private_folder() / "torchinductor"))


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and no entry in the list of users
        return None


@lru_cache(maxsize=1)
def _private_folder() -> Path:
    """Return a temporary folder that only this user can write: others could plant statistics in a shared one."""
    user = getattr(os, "getuid", lambda: 0)()
    folder = Path(tempfile.gettempdir()) / f"gan_bench-{user}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
            return folder
    return Path(tempfile.mkdtemp(prefix="gan_bench-"))
