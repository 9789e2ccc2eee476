"""Long preparations report what they do to a listener: images that are decoded, statistics that are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Notify = Callable[[str, float], None]
"""Takes what is being prepared, and how much of it is done, in [0, 1]."""


_listener: ContextVar[Notify] = ContextVar("preparing", default=lambda what, fraction: None)


@contextmanager
def told_to(notify: Notify) -> Iterator[None]:
    """Tell a function what is being prepared for as long as the block runs, below any number of calls."""
    token = _listener.set(notify)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(what: str, fraction: float) -> None:
    """Tell the listener what is being prepared, and how much of it is done, in [0, 1]."""
    _listener.get()(what, fraction)
