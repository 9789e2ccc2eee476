"""A folder that is written again and again, where what is no longer made goes and a user's own files stay."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from gan_bench.core.atomic import remove_leftovers, write_atomically
from gan_bench.core.errors import RecordError
from gan_bench.records.json_files import read_file

WRITTEN = "files.txt"
"""Lists the files of such a folder that the next one may remove."""


class WrittenFiles:
    """The folder of a report or a board.

    Args:
        folder: Where it goes.
        listed: Pattern of the names that are listed; the rest is never removed.
        name: What the list is called.

    Attributes:
        folder: Where it goes.
        earlier: What the list of an earlier one names.
        written: What was written.
    """

    def __init__(self, folder: Path, listed: str, name: str = WRITTEN) -> None:
        self.folder, self._listed, self._name = folder, re.compile(listed), name
        self.written: list[str] = []
        self.earlier: list[str] = []
        with suppress(OSError, RecordError):  # where no list can be read, nothing goes
            names = read_file(folder / name).decode(errors="replace").splitlines()
            self.earlier = list(filter(self._listed.fullmatch, names))

    def write(self, name: str, content: bytes | str) -> Path:
        """Write a file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        self.written.append(name)
        return path

    def finish(self, *kept: str) -> None:
        """Remove what the earlier one wrote and this one did not: settings may be called otherwise now.

        Args:
            kept: Beginnings of names that stay all the same.
        """
        gone = {name for name in self.earlier if not name.startswith(kept)} - set(self.written)
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)
        names = {*self.written, *self.earlier}
        for place in {(self.folder / name).parent for name in (self._name, *names)}:
            remove_leftovers(place)
        listed = sorted(filter(self._listed.fullmatch, names - gone))
        write_atomically(self.folder / self._name, "".join(f"{name}\n" for name in listed))
