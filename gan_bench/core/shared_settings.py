"""Settings that belong to all threads of a process: blocks that change them may overlap in several."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager


class Shared:
    """Makes blocks that change settings; the first of those that overlap begins, and the last one gives back.

    Args:
        kept: Makes the context manager that gives the settings back when it ends.
    """

    def __init__(self, kept: Callable[[], AbstractContextManager[object]]) -> None:
        self._kept, self._entered = kept, ExitStack()
        self._lock, self._blocks = threading.Lock(), 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold the settings for as long as the block runs."""
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
"""Gives back the filters of warnings, and what shows them."""
