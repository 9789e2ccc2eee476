"""An output folder that is rewritten: outdated files are removed, a user's own are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gan_bench.core.atomic import remove_leftovers, write_atomically
from gan_bench.core.errors import RecordError
from gan_bench.records.json_files import read_file
from gan_bench.records.outputs import check_output

WRITTEN = "files.txt"
"""File that lists the written files, which the next output may replace."""
_MARK = "# Written by gan_bench, which may replace and remove these files:"
"""The first line of such a list, also when sorted; marks it as gan_bench's."""


class WrittenFiles:
    """The folder of a report or a board.

    Args:
        folder: Where it goes.
        removed: Pattern of the names that are removed where they are no longer made; the rest never is.
        name: What the list is called.

    Attributes:
        folder: Where it goes.
    """

    def __init__(self, folder: Path, removed: str, name: str = WRITTEN) -> None:
        self.folder, self._removed, self._name = folder, re.compile(removed), name
        self._contents: dict[str, bytes | str] = {}
        self._earlier = set[str]()
        with suppress(OSError, RecordError):  # without a readable list, nothing is removed
            self._earlier = set(read_file(folder / name).decode(errors="replace").splitlines())

    def add(self, name: str, content: bytes | str) -> Path:
        """Add a file and return its path."""
        self._contents[name] = content
        return self.folder / name

    def refuse_others(self, what: str) -> None:
        """Refuse to replace a user's own files.

        Args:
            what: What is written, for the message.

        Raises:
            UserError: There are some, or it is no folder to write to.
        """
        known = {self._name, *self._earlier} if _MARK in self._earlier else set[str]()
        check_output(self.folder, [name for name in (self._name, *self._contents) if name not in known], what)

    def write(self, *kept: str) -> None:
        """Write the files, and remove those that only the earlier output wrote, as names of settings may change.

        The list comes first and last: what a killed one wrote is known.

        Args:
            kept: Beginnings of names that stay all the same.
        """
        removable = set(filter(self._removed.fullmatch, self._earlier))
        gone = {name for name in removable if not name.startswith(kept)} - set(self._contents)
        names = {*self._contents, *self._earlier}
        for name in self._contents:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        self._write_list(names)
        for name, content in self._contents.items():
            write_atomically(self.folder / name, content)
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)
        for place in {(self.folder / name).parent for name in (self._name, *self._contents, *removable)}:
            remove_leftovers(place)
        self._write_list(names - gone)

    def _write_list(self, names: Iterable[str]) -> None:
        write_atomically(self.folder / self._name, "".join(f"{name}\n" for name in sorted({_MARK, *names})))
