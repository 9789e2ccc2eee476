"""Parts that are registered for a while."""

from __future__ import annotations

from contextlib import contextmanager


@contextmanager
def temporary(registry, **entries):
    """Take back, at the end of the block, whatever is registered or dropped in it.

    Entries stand under their names in the block, also in the place of those that are there.
    """
    kept = dict(registry._entries), dict(registry._sources), set(registry._provisional)
    try:
        registry._entries.update(entries)
        yield
    finally:
        registry._entries, registry._sources, registry._provisional = kept


@contextmanager
def registered(registry, name, entry):
    """An entry that this program registers, for as long as the block runs."""
    with temporary(registry):
        registry.register(name, entry)
        yield
