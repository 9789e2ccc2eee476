"""The filters of warnings belong to all threads of a process: blocks that change them may overlap in several."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock, _blocks = threading.Lock(), 0
_before = warnings.catch_warnings()


@contextmanager
def shared_warnings() -> Iterator[None]:
    """Give back the filters of warnings, and what shows them, when the last of the blocks that overlap ends."""
    global _before, _blocks  # noqa: PLW0603 - one a process, as the filters are
    with _lock:
        if not _blocks:
            _before = warnings.catch_warnings()
            _before.__enter__()
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                _before.__exit__(None, None, None)
