"""What a run in MLflow has of a trial or a setting, and what people wrote on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from gan_bench.tracking.entities import NAME_TAG, NOTE_TAG

TAG = "gan_bench.synced"
"""Holds the position of the run of a trial."""
ALTERED_TAG = "gan_bench.altered"
"""Says which file of a record is not what was saved: then its run is not to be believed. Empty where all are."""
SHOWN_TAG, CURVES_TAG = "gan_bench.shown", "gan_bench.curves"
"""Digests of what the run of a setting shows."""
OWN_TAG = "gan_bench.own"
"""Lists the tags that gan_bench wrote on a run: all others are people's."""
EDITED = (NAME_TAG, NOTE_TAG, "mlflow.runColor")
"""Tags that people write over: these are listed with a digest of what gan_bench wrote."""


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


def listed(own: Iterable[str]) -> str:
    """Return the value of ``OWN_TAG``."""
    return json.dumps(sorted(own))


def own_of(tags: Mapping[str, str]) -> set[str]:
    """Return what gan_bench wrote on a run, as ``OWN_TAG`` lists it.

    Runs of earlier versions have no list: of these it is what a report says, as the next one says it otherwise.
    """
    try:
        return set(json.loads(tags[OWN_TAG]))
    except (KeyError, ValueError, TypeError):
        said, of_trials = ("verdict.", "baseline."), ("status", "reason", "command", "look", "mlflow.runColor")
        is_ours = tags.get(NOTE_TAG, "").startswith(("- ", "Record: "))
        note = {mark(NOTE_TAG, tags[NOTE_TAG])} if is_ours else set()
        return note | {mark(name, tags[name]) for name in tags if name.startswith(said) or name in of_trials}


def mark(name: str, value: str) -> str:
    """Return how ``OWN_TAG`` lists a tag."""
    return digest([name, value]) if name in EDITED else name


def of_people(tags: Mapping[str, str]) -> dict[str, str]:
    """Return what people wrote on a run, as tags: their own, and name, note and colour where these are theirs."""
    own = own_of(tags)
    return {
        name: value
        for name, value in tags.items()
        if value and mark(name, value) not in own and (name in EDITED or not name.startswith(("mlflow.", "gan_bench.")))
    }


def taken_over(tags: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that a run takes over from another one, which it stands for.

    Args:
        tags: Those that it has: of what people wrote on both, theirs stay; of two notes it gets both.
        other: Those of the other one.
    """
    own, kept, theirs = own_of(tags), of_people(tags), of_people(other)
    taken = {name: value for name, value in theirs.items() if name not in kept and mark(name, value) not in own}
    notes = kept.get(NOTE_TAG, ""), theirs.get(NOTE_TAG, "")
    return taken if notes[1] in notes[0] else {**taken, NOTE_TAG: "\n\n".join(filter(None, notes))}
