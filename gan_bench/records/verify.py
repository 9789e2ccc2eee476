"""Verifies records: nothing was lost, duplicated or changed since they were written. Only reads."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from gan_bench.config.naming import misnamed
from gan_bench.config.trial import TrialConfig
from gan_bench.core.atomic import unseal
from gan_bench.core.errors import AlteredError, CopiedError, RecordError, UnreadableError
from gan_bench.core.text import clip, plural, printable
from gan_bench.records.earlier import Earlier, refuse_other_format
from gan_bench.records.folders import (
    FETCH_AGAIN,
    baselines_fault,
    excused,
    folders_by_suite,
    holds_records,
    home_of,
    is_published,
    read_left_out,
    read_plan,
    remedy_of,
    scan_suite,
    trial_folders,
)
from gan_bench.records.json_files import is_link, read_file
from gan_bench.records.layout import (
    CHECKPOINT_MAGIC,
    DAMAGED,
    EVALUATIONS,
    HISTORY,
    RECORD,
    SAMPLES,
    TRIAL,
    TRIALS,
    WEIGHTS,
    RecordDirectory,
)
from gan_bench.records.lock import trial_lock
from gan_bench.records.plan import declare_foreign_measures
from gan_bench.records.reader import StoredTrial, check_saved, read_header
from gan_bench.records.record import Protocol, Status, TrialRecord, best_scores
from gan_bench.records.schema import NO_RECORD, STATISTICS
from gan_bench.records.writer import digests


@dataclass(frozen=True)
class RecordCheck:
    """The result of checking one record.

    Attributes:
        name: Its directory, or the trial's name.
        faults: What is invalid, a sentence each.
        remarks: What is worth knowing.
        checked: Whether there was a record to check.
        planned: Whether it is of a planned trial that never started.
        withdrawn: Whether the suite, as it was last run, does not plan that trial any more.
        unreadable: Whether the fault is that this process cannot read it, which says nothing about its content.
        partial: Whether some files of the record are not there, as of a card or a copy.
        missing: Files that are not there and should be, where nothing that is there disagrees.
        stored: The record, from ``verified_suite`` alone and where it can be read.
        directory: That of a record that cannot be read or is damaged, whose trial is not known, or nothing.
    """

    name: str
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    checked: bool = True
    planned: bool = False
    withdrawn: bool = False
    unreadable: bool = False
    partial: bool = False
    missing: tuple[str, ...] = ()
    stored: StoredTrial | None = field(default=None, repr=False, compare=False)
    directory: str = field(default="", compare=False)


def verify(results: Path) -> Iterator[RecordCheck]:
    """Check every record under a results folder, one record, or the part of one in a card.

    Yields:
        What was found of every planned trial, for every directory that cannot be read, and for damaged shared files.
    """
    if (results / TRIAL).is_file():
        yield _verified_alone(results.resolve())
        if not holds_records(results):
            return
    declare_foreign_measures(results)
    folders = folders_by_suite(results).values()
    # once if several links lead to one folder
    for suite in sorted(each for found in folders for each in (found.read, *found.others)):
        for check in verified_suite(suite):
            yield replace(check, stored=None)  # so that keeping all checks does not keep all histories


def _verified_alone(path: Path) -> RecordCheck:
    """Check a record without its suite, or a folder with some files of a record."""
    if fnmatchcase(path.name, TRIALS):
        declare_foreign_measures(path.parent)
        for check in verified_suite(path.parent):
            if check.name == path.name:
                return replace(check, stored=None)
    try:
        record = read_header(path).record
        if record is None:
            return RecordCheck(path.name, (f"it has no {RECORD}, and nothing vouches for its files",))
        files = record.get("files") or (WEIGHTS,)
        check_saved(path, record, files)
    except RecordError as error:
        return RecordCheck(path.name, (str(error),), unreadable=isinstance(error, UnreadableError))
    here = sum((path / name).exists() for name in files)
    remarks = (f"has {here} of the record's {len(files)} files",) if here < len(files) else ()
    return RecordCheck(path.name, (), remarks, partial=bool(remarks))


def verified_suite(suite: Path) -> Iterator[RecordCheck]:
    """Check one suite's folder: its shared files, every record, and every planned trial without one."""
    try:
        trial_folders(suite)
    except UnreadableError as error:
        yield _refused(suite.name, error)
        return
    if fault := baselines_fault(suite):
        yield _refused(suite.name, fault)
    left_out: dict[str, dict[str, str]] = {}
    try:
        left_out = read_left_out(suite)
    except RecordError as error:
        yield _refused(suite.name, error)
    if left_out:
        missed = plural(sum(map(len, left_out.values())), "file")
        yield RecordCheck(suite.name, (), (f"was published without {missed}",), checked=False)
    yield from _renamed(suite)
    for stored in scan_suite(suite):
        if isinstance(stored, RecordError):
            lost = (f"{stored.folder}/{TRIAL}",) if _has_lost_its_trial(suite, stored.folder) else ()
            name = "record" if stored.folder else suite.name  # an error without a folder is the plan's
            yield replace(_refused(name, stored), missing=lost, directory=stored.folder or "")
        elif isinstance(stored.fault, AlteredError) or (stored.fault is None and (stored.path / TRIAL).exists()):
            may_miss = excused(left_out, stored) - {HISTORY, EVALUATIONS}  # publications always include these
            gone = _gone(stored, may_miss)
            wrong = tuple(_faults(stored, may_miss.union(gone)))
            faults = (*(f"{name} is gone" for name in gone), *wrong)
            remarks = (*_remarks(stored), *_remedy(suite, stored, faults))
            yield RecordCheck(stored.path.name, faults, remarks, missing=() if wrong else gone, stored=stored)
        elif not stored.fault:
            remark = f"is {'no longer planned' if stored.withdrawn else 'planned'} and has no record"
            yield RecordCheck(
                stored.path.name, (), (remark,), checked=False, planned=True, withdrawn=stored.withdrawn, stored=stored
            )


def _renamed(suite: Path) -> Iterator[RecordCheck]:
    """Yield a remark for every record that no command reads."""
    why = "holds a trial's record and nothing reads it, as its name does not end in --ID; rename it back"
    for path in sorted(suite.glob(f"[!.]*/{TRIAL}")):
        if not fnmatchcase(path.parent.name, TRIALS):
            yield RecordCheck(path.parent.name, (), (why,), checked=False)


def _refused(name: str, error: RecordError) -> RecordCheck:
    return RecordCheck(name, (str(error),), checked=bool(error.folder), unreadable=isinstance(error, UnreadableError))


def _faults(stored: StoredTrial, may_miss: frozenset[str]) -> Iterator[str]:
    """Yield the faults of the existing files of a record; missing optional files are not checked."""
    directory, config = RecordDirectory(stored.path), TrialConfig.from_json(stored.trial["config"])
    if stored.added_fault:
        yield str(stored.added_fault)
    stored = stored.as_recorded()  # ``record.json`` has digests of the files at the trial's end
    yield from _name_faults(stored, config)
    yield from _history_faults(stored, config, may_miss)
    for file in (directory.checkpoint, directory.previous_checkpoint):
        if fault := _checkpoint_fault(file, config.id):
            yield fault
    if stored.record is not None:
        record = TrialRecord.from_json(stored.record)
        yield from _digest_faults(directory, record, may_miss)
        if record.status is not Status.SKIPPED:
            yield from _end_faults(stored, record, config, may_miss)
    if stored.record is None or stored.record["status"] in (Status.SKIPPED, Status.INTERRUPTED):
        yield from _lost_faults(stored, config)


def _name_faults(stored: StoredTrial, config: TrialConfig) -> Iterator[str]:
    """Yield how a record's name and setting contradict its config, and a wrong id."""
    name, setting, seed = stored.trial["name"], stored.trial["setting"], f",seed={config.seed}"
    home = home_of(stored)
    if stored.path != home and home.is_dir():
        yield _beside(stored, home)
    elif not stored.path.name.endswith(f"--{config.id}"):
        yield f"it is the record of another trial, {config.id}; a run sets it aside where its directory is planned"
    for what, text in (("name", name.removesuffix(seed)), ("setting", setting)):
        if value := misnamed(text, config):
            yield f"its {what} says {clip(printable(value), 60)}, which is not what its config says"
            return
    if name != setting + seed:
        yield f"its name is {clip(printable(name), 60)}, which is not its setting with its seed"


def _beside(stored: StoredTrial, home: Path) -> str:
    """Return that a record is a copy beside that of its trial, or intact beside the remains of that."""
    with contextlib.suppress(RecordError):  # an unreadable record may be intact
        here, there = Earlier(RecordDirectory(stored.path)), Earlier(RecordDirectory(home))
        is_whole = here.status in (Status.DONE, Status.DIVERGED) and not here.damage()
        goes_on = there.directory.has_checkpoint or trial_lock(there.directory).holder()
        if is_whole and not goes_on and (there.record is None or there.damage()):
            left = f"its trial's own directory, {home.name}, holds no whole record of it"
            return f"{left}: move that one elsewhere, and rename this one to it"
    return str(CopiedError(stored.path, home))


def _checkpoint_fault(checkpoint: Path, trial_id: str) -> str:
    """Return the fault of a checkpoint by its digest and trial, or an empty text; reading more needs torch."""
    damaged = f"{checkpoint.name} is damaged; the next run sets it aside"
    try:
        refuse_other_format(checkpoint)
        payload = unseal(read_file(checkpoint), CHECKPOINT_MAGIC)
    except FileNotFoundError:  # no checkpoint, or its trial has just ended
        return ""
    except UnreadableError as error:
        return str(error)
    except RecordError:
        return damaged
    return "" if payload is not None and trial_id.encode() in payload else damaged


def _history_faults(stored: StoredTrial, config: TrialConfig, may_miss: frozenset[str]) -> Iterator[str]:
    epochs = [line["epoch"] for line in stored.epochs]
    if epochs != list(range(1, len(epochs) + 1)):
        yield f"history.jsonl has epoch lines {_short(epochs)}, not 1, 2, 3, ... each once"
    steps = [line["step"] for line in stored.steps]
    if steps != list(range(config.log_every, config.log_every * len(steps) + 1, config.log_every)):
        yield f"history.jsonl has step lines that are not every {config.log_every} steps, each once"
    seconds = [line["train_seconds"] for line in stored.epochs]
    if seconds != sorted(seconds):
        yield "history.jsonl has seconds that run backwards"
    yield from _score_faults(stored, config)
    scored = [line["epoch"] for line in stored.evaluations]
    if scored != [epoch for epoch in config.evaluation.epochs if epoch in set(scored)]:
        yield f"evaluations.jsonl has epochs {_short(scored)}, not those of the config in order"
    grids = {epoch: RecordDirectory(stored.path).sample(epoch) for epoch in scored}
    missing = [e for e, grid in grids.items() if not grid.exists() and f"{SAMPLES}/{grid.name}" not in may_miss]
    if missing:
        yield f"samples of epochs {_short(missing)} are missing"


def _score_faults(stored: StoredTrial, config: TrialConfig) -> Iterator[str]:
    """Yield the faults of the names of scores, which hold their protocols."""
    for line in stored.evaluations:
        names = [score["name"] for score in line["scores"]]
        for score in line["scores"]:
            protocol = Protocol.of(score["extractor"], score["split"], score["generated"], score.get("weights"))
            if score["name"] != f"{score['metric']}[{protocol}]" or score["generated"] != config.evaluation.samples:
                yield f"a score of epoch {line['epoch']} is called {score['name'][:60]} and is another"
                return
        if len(set(names)) < len(names):
            yield f"evaluations.jsonl has a score of epoch {line['epoch']} twice"
            return


def _digest_faults(directory: RecordDirectory, record: TrialRecord, may_miss: frozenset[str]) -> Iterator[str]:
    try:
        found = digests(directory)
    except UnreadableError as error:
        yield str(error)
        return
    for name in sorted({*record.files, *found} if record.files else ()):
        if name not in found:
            if name not in may_miss:
                yield f"{name} is gone"
        elif name not in record.files:
            yield f"{name} was not there when the record was written"
        elif found[name] != record.files[name]:
            yield f"{name} has changed since the record was written"
    if record.weights_sha256 is None or found.get(WEIGHTS) == record.weights_sha256:
        return
    if WEIGHTS in found:
        yield f"{WEIGHTS} is not the one that was saved"
    elif WEIGHTS not in may_miss and WEIGHTS not in record.files:  # else it was reported as a missing file
        yield f"{WEIGHTS} is gone"


def _has_lost_its_trial(suite: Path, folder: str) -> bool:
    """True if a record directory has no ``trial.json``."""
    path = suite / folder
    return fnmatchcase(folder, TRIALS) and not is_link(path) and path.is_dir() and not (path / TRIAL).exists()


def _gone(stored: StoredTrial, left_out: frozenset[str]) -> tuple[str, ...]:
    """Return which files of an ended record are missing and were not omitted on purpose."""
    files = (stored.record or NO_RECORD).get("files") or {}
    return tuple(name for name in sorted(files) if name not in left_out and not (stored.path / name).exists())


def _end_faults(
    stored: StoredTrial, record: TrialRecord, config: TrialConfig, may_miss: frozenset[str]
) -> Iterator[str]:
    epochs = record.epochs if HISTORY in may_miss else len(stored.epochs)
    if record.status is Status.DONE:
        if not epochs == record.epochs == config.epochs:
            where = "its record" if HISTORY in may_miss else "its history"
            yield f"it is done, but {epochs} of {config.epochs} epochs are in {where}"
        scored = [line["epoch"] for line in stored.evaluations]
        if EVALUATIONS not in may_miss and scored != list(config.evaluation.epochs):
            yield f"it is done, but the evaluations of epochs {_short(config.evaluation.epochs)} are not all there"
        if record.weights_sha256 is None:
            yield "it is done, but has no generator"
    elif not record.reason:
        yield f"it is {record.status} without a reason"
    if record.status in (Status.DONE, Status.INTERRUPTED) and record.epochs != epochs:
        yield f"its record counts {record.epochs} epochs, its history {epochs}"
    if record.status is Status.DONE:
        yield from _summary_faults(stored, record, may_miss)


def _lost_faults(stored: StoredTrial, config: TrialConfig) -> Iterator[str]:
    """Yield the losses of an unfinished trial that keep the next run from continuing it."""
    directory, now = RecordDirectory(stored.path), Earlier(RecordDirectory(stored.path))
    if stored.withdrawn or stored.path != home_of(stored) or is_published(stored.path.parent, stored.path.name):
        return  # no run continues it
    if directory.has_checkpoint or trial_lock(directory).holder() or bool(now.record) != bool(stored.record):
        return  # nothing is lost, or it has just ended
    if lost := now.lost(config.epochs):
        yield f"{lost}; the next run keeps it in {DAMAGED} and trains the trial"


def _summary_faults(stored: StoredTrial, record: TrialRecord, may_miss: frozenset[str]) -> Iterator[str]:
    """Yield how ``record.json`` contradicts the lines of history and evaluations."""
    epochs = stored.epochs
    scores = [(line["epoch"], {s["name"]: s["value"] for s in line["scores"]}) for line in stored.evaluations]
    final: dict[str, object] = {**(epochs[-1]["mean"] if epochs else {}), **(scores[-1][1] if scores else {})}
    sources = {name: HISTORY if name in STATISTICS else EVALUATIONS for name in record.final}
    if epochs and (record.steps, record.images) != (epochs[-1]["step"], epochs[-1]["images"]):
        yield "its steps and images are not those of its history"
    if {name: value for name, value in record.final.items() if sources[name] not in may_miss} != final:
        yield "its final values are not those of its history and evaluations"
    if EVALUATIONS not in may_miss and dict(record.best) != best_scores(scores):
        yield "its best scores are not those of its evaluations"


def _remedy(suite: Path, stored: StoredTrial, faults: Collection[str]) -> Iterator[str]:
    """Yield the command that replaces an ended trial with lost files."""
    if not faults or stored.record is None or stored.path != home_of(stored):  # runs do not replace copies
        return
    with contextlib.suppress(RecordError):  # unreadable files are reported elsewhere
        if Earlier(RecordDirectory(stored.path)).damage():
            rows = {row["directory"]: row for row in read_plan(suite)}
            yield remedy_of(suite, rows, home_of(stored).name)


def _remarks(stored: StoredTrial) -> Iterator[str]:
    if stored.record is None:
        owner = trial_lock(RecordDirectory(stored.path)).holder()
        is_theirs = is_published(stored.path.parent, home_of(stored).name)
        remedy = FETCH_AGAIN if is_theirs else "run the suite again"
        yield f"running now ({owner})" if owner else f"has not ended; {remedy}"
    home = home_of(stored)
    if stored.path != home and not home.is_dir() and stored.path.name.endswith(f"--{stored.trial['id']}"):
        yield f"its directory is not called as its trial; rename it back to {printable(home.name)}"
    broken = [path.name for path in stored.path.glob("*.broken")]
    if broken:
        yield f"{', '.join(sorted(broken))} was found damaged and set aside"
    for change in stored.environment.get("changes", []):
        yield f"resumed in a different environment: {json.dumps(change)}"


def _short(numbers: Iterable[int]) -> str:
    texts = [str(number) for number in numbers]
    return ", ".join(texts) if len(texts) <= 8 else f"{', '.join(texts[:4])}, ..., {texts[-1]}"
