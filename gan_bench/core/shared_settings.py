"""Process-wide settings changed by blocks that may overlap in several threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager


class Shared:
    """Makes blocks that change settings: of overlapping ones, the first sets them and the last restores them.

    Args:
        kept: Makes the context manager that gives the settings back when it ends.
    """

    def __init__(self, kept: Callable[[], AbstractContextManager[object]]) -> None:
        self._kept, self._entered = kept, ExitStack()
        self._lock, self._blocks = threading.Lock(), 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Apply the settings while the block runs."""
        with self._lock:
            if not self._blocks:
                self._entered.enter_context(self._kept())
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if not self._blocks:
                    self._entered.close()


shared_warnings = Shared(warnings.catch_warnings)
"""Restores the warning filters and ``showwarning``."""
