"""Reads records. Damage is a ``RecordError`` of its trial; all others are still read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from gan_bench.config.trial import UNWRITTEN_DEFAULTS, TrialConfig
from gan_bench.core.errors import AlteredError, DamagedError, RecordError
from gan_bench.records import schema
from gan_bench.records.json_files import REMEDY, is_link, parse_known, parse_lines, read_if_there, unreadable
from gan_bench.records.layout import (
    ADDED,
    ENVIRONMENT,
    EVALUATIONS,
    HISTORY,
    KEPT,
    RECORD,
    SAMPLES,
    TRIAL,
    WEIGHTS,
    RecordDirectory,
)
from gan_bench.records.record import split_name

STEP_LINE = b'{"kind":"step"'
TRIES = 3
"""Attempts to read a record whose ``record.json`` is replaced meanwhile."""


@dataclass(frozen=True, kw_only=True)
class StoredTrial:
    """A trial as read from its record.

    Attributes:
        path: Its record directory; it may not exist for a trial that never started.
        trial: ``trial.json``.
        environment: ``environment.json``, empty when there is none.
        history: Lines of ``history.jsonl``.
        evaluations: Lines of ``evaluations.jsonl``, with the scores that were added later.
        record: ``record.json``, or None while the trial has not ended.
        record_sha256: Digest of the very bytes that ``record`` was read from, empty without one.
        fault: What is wrong with it, or None: nothing of it is to be believed.
        added: Names of the scores that were added later, by epoch.
        added_file: ``added.json``, or None where there is none that can be believed.
        added_fault: Why scores that were added later are left out, or None: the trial itself is whole.
        withdrawn: Whether the last run of the whole suite planned it no longer, as far as its plan is read as well.
    """

    path: Path
    trial: schema.TrialFile | schema.PlannedTrial
    environment: schema.EnvironmentFile
    history: list[schema.HistoryLine]
    evaluations: list[schema.EvaluationLine]
    record: schema.RecordFile | None
    record_sha256: str = ""
    fault: RecordError | None = None
    added: Mapping[int, frozenset[str]] = field(default_factory=dict)
    added_file: schema.AddedFile | None = None
    added_fault: RecordError | None = None
    withdrawn: bool = False

    @property
    def epochs(self) -> list[schema.EpochLine]:
        """The ``epoch`` lines of its history."""
        return [line for line in self.history if line["kind"] == "epoch"]

    @property
    def steps(self) -> list[schema.StepLine]:
        """The ``step`` lines of its history that were read."""
        return [line for line in self.history if line["kind"] == "step"]

    @property
    def held_out_sha256(self) -> str | None:
        """Digest of the held-out images of its last scores, empty without any; None if it is not recorded."""
        parts = (self.environment, *self.environment.get("changes", ()))
        found = [part["held_out_sha256"] for part in parts if "held_out_sha256" in part]
        return str(found[-1] or "") if found else None

    def may_have_other_images(self, epoch: int) -> bool:
        """True if an evaluation may have had other held-out images than the last, as in a resumed trial."""
        changed = any("held_out_sha256" in part for part in self.environment.get("changes", ()))
        return changed and epoch != self.trial["config"]["epochs"]

    def steps_in_epochs(self) -> list[tuple[float, schema.StepLine]]:
        """Return the ``step`` lines, each with its position in epochs; nothing before an epoch has ended."""
        first = next(iter(self.epochs), None)
        per_epoch = first["step"] / first["epoch"] if first else 0.0
        return [(line["step"] / per_epoch, line) for line in self.steps] if first else []

    def scores(self) -> Iterator[tuple[schema.EvaluationLine, schema.ScoreLine]]:
        """Yield all scores, each with its evaluation."""
        yield from ((line, score) for line in self.evaluations for score in line["scores"])

    def as_recorded(self) -> StoredTrial:
        """Return the trial without scores that were added after its end."""
        if not self.added:
            return self
        lines: list[schema.EvaluationLine] = []
        for line in self.evaluations:
            later = self.added.get(line["epoch"], frozenset())
            lines.append({**line, "scores": [score for score in line["scores"] if score["name"] not in later]})
        return replace(self, evaluations=lines, added={}, added_file=None)


# ------------------------------------------------------------------------------------------- one record


T = TypeVar("T")
P = TypeVar("P", schema.TrialFile, schema.PlannedTrial)
Steps = bool | Callable[[Mapping[str, object]], bool]
"""Whether ``step`` lines of histories are read, or a function of a trial's config that decides it."""


def read_trial(path: Path, *, steps: Steps = True, history: bool = True) -> StoredTrial:
    """Read a record directory, with or without its history or the ``step`` lines of that.

    What is read is held against the digests in the trial's end; where it is not what was saved, ``fault`` says so.

    Raises:
        RecordError: It is not one, or is damaged, or is of a version this package does not know.
        UnreadableError: The system does not let this process read it.
    """
    saved = (TRIAL, ENVIRONMENT, EVALUATIONS, *((HISTORY,) if history else ()))
    for _ in range(TRIES):
        texts = _read_files(path, (RECORD, *saved, ADDED))
        stored = _parsed(path, texts, steps)
        fault = _altered(path, stored.record, texts, saved)
        # otherwise a run has just continued it: read again
        if fault is None or read_if_there(path / RECORD) == texts.get(RECORD):
            break
    return replace(stored, fault=fault)


def _read_files(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Read files of a record; ``record.json`` first, so that its digests are not newer than the files."""
    refuse_links(path)
    found = {name: read_if_there(path / name) for name in names}
    return {name: text for name, text in found.items() if text is not None}


def refuse_links(path: Path) -> None:
    """Refuse a record that is a link or holds one: its target would be read, copied or written as part of the record.

    Raises:
        RecordError: It is, or is no directory.
        UnreadableError: The system does not let this process look into it.
    """
    if is_link(path):
        raise DamagedError(f"{path} is a link, and records have none; {REMEDY}")
    for folder in (path, path / SAMPLES, path / KEPT):
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        raise DamagedError(f"{entry.path} is a link, and records have none; {REMEDY}")
        except (FileNotFoundError, NotADirectoryError):  # a record may have no samples yet
            if not os.path.isdir(path):  # noqa: PTH112 - see is_link
                raise DamagedError(f"{path} is no directory; {REMEDY}") from None
        except OSError as error:
            raise unreadable(path, error) from None


def _parsed(path: Path, texts: Mapping[str, bytes], steps: Steps) -> StoredTrial:
    directory = RecordDirectory(path)
    if TRIAL not in texts:
        raise DamagedError(f"{path} has no trial.json, so it is not known which trial it is; {REMEDY}")
    trial = with_config(directory.trial, parse_known(directory.trial, texts[TRIAL], schema.TRIAL))
    wanted = steps if isinstance(steps, bool) else steps(trial["config"])
    skipped = b"" if wanted else STEP_LINE
    stored = StoredTrial(
        path=path,
        trial=trial,
        environment=_parse_known(directory.environment, texts, schema.ENVIRONMENT) or schema.NO_ENVIRONMENT,
        history=parse_lines(directory.history, texts.get(HISTORY, b""), schema.HISTORY, skipped),
        evaluations=parse_lines(directory.evaluations, texts.get(EVALUATIONS, b""), schema.EVALUATIONS),
        record=_parse_known(directory.record, texts, schema.RECORD),
        record_sha256=hashlib.sha256(texts[RECORD]).hexdigest() if RECORD in texts else "",
    )
    if ADDED not in texts:
        return stored
    try:
        return _with_added(stored, _parsed_added(directory.added, texts[ADDED], trial["config"]["evaluation"]))
    except RecordError as error:
        return replace(stored, added_fault=error)


ADD_AGAIN = "delete it, and add the scores again with `gan-bench score --add`"


def _parsed_added(path: Path, text: bytes, config: Mapping[str, Any]) -> schema.AddedFile:
    """Parse ``added.json``, which must hold scores of this config's evaluations."""
    try:
        found = parse_known(path, text, schema.ADDED)
    except DamagedError as error:
        raise DamagedError(f"{str(error).partition(';')[0]}; {ADD_AGAIN}") from None
    for each in found["additions"]:
        for score in each["scores"]:
            metric, protocol = split_name(score["name"])
            fits = protocol is not None and (metric, protocol.extractor, protocol.generated) == (
                score["metric"], score["extractor"], config["samples"]
            )  # fmt: skip
            if not fits or each["epoch"] not in config["epochs"]:
                raise DamagedError(f"{path} has scores that are not of this trial; {ADD_AGAIN}")
    return found


def _with_added(stored: StoredTrial, added: schema.AddedFile) -> StoredTrial:
    """Add the scores of ``added.json`` to evaluations that have none of that name."""
    more: dict[int, dict[str, schema.ScoreLine]] = {}
    for each in added["additions"]:
        more.setdefault(each["epoch"], {}).update({score["name"]: score for score in each["scores"]})
    lines: list[schema.EvaluationLine] = []
    names: dict[int, frozenset[str]] = {}
    for line in stored.evaluations:
        known = {score["name"] for score in line["scores"]}
        new = [score for name, score in more.get(line["epoch"], {}).items() if name not in known]
        lines.append({**line, "scores": [*line["scores"], *new]})
        names[line["epoch"]] = frozenset(score["name"] for score in new)
    return replace(stored, evaluations=lines, added=names, added_file=added)


def _parse_known(path: Path, texts: Mapping[str, bytes], form: schema.Form[T]) -> T | None:
    text = texts.get(path.name)
    return None if text is None else parse_known(path, text, form)


def _altered(
    path: Path, record: schema.RecordFile | None, texts: Mapping[str, bytes], names: Iterable[str]
) -> AlteredError | None:
    """Return an error if files differ from the digests in ``record.json``; old ones have only the generator's."""
    ended = record or schema.NO_RECORD
    files, weights = ended.get("files"), ended.get("weights_sha256")
    for name in names:
        text, wanted = texts.get(name), files.get(name) if files else weights if name == WEIGHTS else None
        if wanted is None and (text is None or not files):
            continue
        if text is None or hashlib.sha256(text).hexdigest() != wanted:
            what = "is gone" if text is None else "is not what was saved: its digest differs"
            return AlteredError(f"{path / name} {what}; {REMEDY}")
    return None


def check_saved(path: Path, record: schema.RecordFile | None, names: Iterable[str]) -> None:
    """Check that files of a record are what was saved, before they are used, scored, copied or registered.

    Args:
        path: The record directory, or a folder that has its end and these files, as a card has.
        record: The trial's end; without one, or with an old one, nothing is known of its files.
        names: Names of files in it.

    Raises:
        AlteredError: One is not what was saved.
        RecordError: One is a link.
        UnreadableError: The system does not let this process read one.
    """
    for name in names:
        text = read_if_there(path / name)
        if text is not None and (error := _altered(path, record, {name: text}, [name])):
            raise error


def with_config(path: Path, trial: P) -> P:
    """Return a trial whose config has all fields, newer ones included.

    Raises:
        RecordError: The config is not the one that the trial's id is made from.
    """
    try:
        config = TrialConfig.from_json(trial["config"])
        found, complete = config.id, {**UNWRITTEN_DEFAULTS, **config.to_json()}
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise DamagedError(f"{path} is damaged: its config is not valid ({error}); {REMEDY}") from None
    if found != trial["id"]:
        raise DamagedError(f"{path} is damaged: its id {trial['id'][:40]} is not that of its config, {found}; {REMEDY}")
    return cast("P", {**trial, "config": complete})


def read_header(path: Path) -> StoredTrial:
    """Read a record directory without the lines of its history and evaluations.

    Raises:
        RecordError: It is not one, or is damaged, or is of a version this package does not know.
        UnreadableError: The system does not let this process read it.
    """
    return _parsed(path, _read_files(path, (RECORD, TRIAL, ENVIRONMENT, ADDED)), steps=False)


def read_saved(path: Path, names: Iterable[str]) -> StoredTrial:
    """Read a trial for a command that uses its files, and check their digests.

    Args:
        path: The record directory, or a folder that has its end and these files, as a card has.
        names: Names of the files that are used.

    Raises:
        RecordError: It is no record, or something of it is damaged or not what was saved.
        UnreadableError: The system does not let this process read it.
    """
    stored = read_header(path)
    check_saved(path, stored.record, (TRIAL, ENVIRONMENT, HISTORY, EVALUATIONS, *names))
    return stored
