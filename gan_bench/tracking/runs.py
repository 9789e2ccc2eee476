"""What a run in MLflow has of a trial or a setting."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

TAG = "gan_bench.synced"
"""Holds the position of the run of a trial."""
ALTERED_TAG = "gan_bench.altered"
"""Says which file of a record is not what was saved: then its run is not to be believed. Empty where all are."""
SHOWN_TAG, CURVES_TAG = "gan_bench.shown", "gan_bench.curves"
"""Digests of what the run of a setting shows."""


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


@dataclass
class MirroredRun:
    """A run, and how far it mirrors its record.

    Attributes:
        run_id: Its id in MLflow.
        started: When its trial first started, as the record says.
        position: How far it mirrors the record.
        described: Whether it has its parameters, tags and datasets.
        altered: Its tag that says which file of the record is not what was saved.
        parent: The run of its setting.
        status: MLflow's word for how it ended or stands.
        ended_ms: When its trial ended, in milliseconds, or 0.
    """

    run_id: str
    started: str
    position: Position = field(default_factory=Position)
    described: bool = False
    altered: str = ""
    parent: str = ""
    status: str = "RUNNING"
    ended_ms: int = 0

    @property
    def closed(self) -> bool:
        """True if it has the end of its trial, or is known not to be trained any more."""
        return self.status != "RUNNING"


@dataclass
class SettingRun:
    """The parent run of a setting.

    Attributes:
        run_id: Its id in MLflow.
        shown: Digest of what it shows: numbers and words.
        curves: Digest of its curves and of whose images it has; MLflow keeps every value that a metric ever had, so
            others need a new run.
        status: MLflow's word for how it stands.
        params: Names of its parameters.
    """

    run_id: str
    shown: str = ""
    curves: str = ""
    status: str = "RUNNING"
    params: set[str] = field(default_factory=set)


def digest(content: object) -> str:
    """Name what a run shows in 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode(errors="surrogatepass")).hexdigest()[:16]
