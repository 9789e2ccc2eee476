"""A typed name table that refuses duplicates and answers a failed lookup with near names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from gan_bench.core.errors import UserError

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known names are close to a wrong one.

    Args:
        name: The name that was not found.
        known: Every name that would have been.

    Returns:
        ``did you mean "x"?`` when something is close, else ``known: a, b, c``.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else f"known: {', '.join(names)}"


class Registry(Mapping[str, T], Generic[T]):
    """Entries of one kind by name, in the order of their registration.

    Args:
        kind: What the entries are, in the singular; used in error messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add an entry and return it.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._entries:
            raise ValueError(f'{self.kind} "{name}" is registered twice')
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise UserError(f'unknown {self.kind} "{name}" ({did_you_mean(name, self._entries)})') from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
