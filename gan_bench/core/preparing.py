"""Long preparations report what they do to a listener: images that are decoded, statistics that are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Notify = Callable[[str, float], None]
"""Takes what is being prepared, and its progress in [0, 1]."""


_listener: ContextVar[Notify] = ContextVar("preparing", default=lambda what, fraction: None)


@contextmanager
def progress_listener(notify: Notify) -> Iterator[None]:
    """Report all preparations within the block to a function."""
    token = _listener.set(notify)
    try:
        yield
    finally:
        _listener.reset(token)


def report_progress(what: str, fraction: float) -> None:
    """Report to the listener what is being prepared, and its progress in [0, 1]."""
    _listener.get()(what, fraction)
