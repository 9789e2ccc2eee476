"""What of a record a run on the server has, and what is new of it since."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gan_bench.core.errors import RecordError
from gan_bench.records import schema
from gan_bench.records.json_files import read_new_lines
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import StoredTrial
from gan_bench.records.schema import HistoryLine

TAG = "gan_bench.synced"


@dataclass(frozen=True)
class Position:
    """What of a record a run has.

    Attributes:
        epoch: Last epoch whose means are there.
        step: Last logged step whose values are there.
        evaluated: Epochs whose scores are there.
        samples: Epochs whose sample grids are there.
        seconds: Seconds of training after that epoch.
        images: Real images shown by then.
        end: Digest of the end of the trial that is there, or nothing.
    """

    epoch: int = 0
    step: int = 0
    evaluated: frozenset[int] = frozenset()
    samples: frozenset[int] = frozenset()
    seconds: float = 0.0
    images: int = 0
    end: str = ""

    def to_tag(self) -> str:
        """Return it as the value of a tag."""
        content = {**vars(self), "evaluated": sorted(self.evaluated), "samples": sorted(self.samples)}
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_tag(cls, text: str | None) -> Position:
        """Read the value of a tag; an edited one counts as nothing, and all is sent again."""
        try:
            return _POSITION.validate_json(text or "{}")
        except ValueError:
            return cls()

    def lacks(self, line: Mapping[str, Any]) -> bool:
        """True if a line of a history or of evaluations is new to the run."""
        if "kind" not in line:
            return line["epoch"] not in self.evaluated
        return bool(line["epoch"] > self.epoch if line["kind"] == "epoch" else line["step"] > self.step)


_POSITION = TypeAdapter(Position)


class TrialTail:
    """What this process has seen of one record.

    Args:
        path: The record directory.

    Attributes:
        kept: Lines of its history that were read and are not sent yet.
    """

    def __init__(self, path: Path) -> None:
        self._directory = RecordDirectory(path)
        self._found: object = None
        self._seen: object = None
        self._started: object = None
        self._offsets = (0, 0)
        self._read: tuple[object, tuple[int, int]] = (None, (0, 0))
        self.kept: list[HistoryLine] = []

    def changed(self, *, live: bool) -> bool:
        """True if anything is new since the last ``commit``: looks at sizes and times only."""
        d = self._directory
        self._found = live, tuple(_stat(path) for path in (d.environment, d.history, d.evaluations, d.record))
        return self._found != self._seen

    def commit(self) -> None:
        """Take what ``changed`` looked at last as seen, and what was read as sent."""
        self._seen = self._found
        self._started, self._offsets = self._read

    def read(self, header: StoredTrial) -> StoredTrial:
        """Return the record with the lines that are new since the last time, and those that were kept.

        Raises:
            RecordError: It is damaged.
        """
        started = header.environment.get("started")
        offsets = self._offsets if started == self._started else (0, 0)
        try:
            history, first = read_new_lines(self._directory.history, schema.HISTORY, offsets[0])
            evaluations, second = read_new_lines(self._directory.evaluations, schema.EVALUATIONS, offsets[1])
            known = {line["epoch"] for line in history if line["kind"] == "epoch"}
            history = [*(line for line in self.kept if offsets[0] and line["epoch"] not in known), *history]
        except RecordError:  # a resumed trial cuts its files back, and may have gone on past the old place
            history, first = read_new_lines(self._directory.history, schema.HISTORY, 0)
            evaluations, second = read_new_lines(self._directory.evaluations, schema.EVALUATIONS, 0)
        self._read = started, (first, second)
        return replace(header, history=history, evaluations=evaluations)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
