"""Parts that are registered for a while."""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy


@contextmanager
def temporary(registry, **entries):
    """Take back, at the end of the block, whatever is registered or dropped in it.

    The given entries stand under their names in the block, also in the place of those that are there.
    """
    kept = {name: copy(vars(registry)[name]) for name in ("_entries", "_sources", "_provisional", "_of_program")}
    try:
        registry._entries.update(entries)
        yield
    finally:
        vars(registry).update(kept)


@contextmanager
def registered(registry, name, entry):
    """An entry that this program registers, for as long as the block runs."""
    with temporary(registry):
        registry.register(name, entry)
        yield
