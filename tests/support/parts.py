"""Parts that are registered for a while."""

from __future__ import annotations

from contextlib import contextmanager


@contextmanager
def registered(registry, name, entry):
    """An entry that this program registers, for as long as the block runs."""
    with registry.temporary():
        registry.register(name, entry)
        yield
