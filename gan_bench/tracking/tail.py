"""Reads a record directory again and again, each time only what is new."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from gan_bench.core.errors import RecordError
from gan_bench.records import schema
from gan_bench.records.json_lines import read_new_lines
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import StoredTrial, read_header

Signature = tuple[tuple[int, int, int] | None, ...]


class TrialTail:
    """What this process has seen of one record.

    Args:
        path: The record directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._directory = RecordDirectory(path)
        self._seen: object = None
        self._started: object = None
        self._offsets = (0, 0)
        self._next: tuple[object, object, tuple[int, int]] | None = None

    def changed(self, *, live: bool) -> bool:
        """True if anything is new since the last ``commit``: looks at sizes and times only."""
        return self._signature(live=live) != self._seen

    def header(self) -> StoredTrial:
        """Read what a record is and how it ended.

        Raises:
            RecordError: It is damaged.
        """
        return read_header(self.path)

    def read(self, header: StoredTrial, *, live: bool) -> StoredTrial:
        """Return the record with the lines that are new since the last ``commit``.

        Raises:
            RecordError: It is damaged.
        """
        signature, started = self._signature(live=live), header.environment.get("started")
        offsets = self._offsets if started == self._started else (0, 0)
        try:
            history, first = read_new_lines(self._directory.history, schema.HISTORY, offsets[0])
            evaluations, second = read_new_lines(self._directory.evaluations, schema.EVALUATIONS, offsets[1])
        except RecordError:  # a resumed trial cuts its files back, and may have gone on past the old place
            history, first = read_new_lines(self._directory.history, schema.HISTORY, 0)
            evaluations, second = read_new_lines(self._directory.evaluations, schema.EVALUATIONS, 0)
        self._next = (signature, started, (first, second))
        return replace(header, history=history, evaluations=evaluations)

    def commit(self, *, live: bool) -> None:
        """Take what was read last as seen: it has been sent."""
        self._seen, self._started, self._offsets = self._next or (
            self._signature(live=live), self._started, self._offsets
        )  # fmt: skip
        self._next = None

    def _signature(self, *, live: bool) -> tuple[bool, Signature]:
        d = self._directory
        return live, tuple(_stat(path) for path in (d.environment, d.history, d.evaluations, d.record))


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
