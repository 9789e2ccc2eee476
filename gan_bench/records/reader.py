"""Read records back. Every damage is a ``RecordError`` of its trial, and the rest is read all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gan_bench.config.trial import RESERVED_NAMES, TrialConfig
from gan_bench.core.errors import RecordError, UserError
from gan_bench.records import schema
from gan_bench.records.json_files import REMEDY, known, read_known, read_object
from gan_bench.records.json_lines import read_lines, refuse_link
from gan_bench.records.layout import BASELINES, LEFT_OUT, PLAN, TRIALS, RecordDirectory, check_name
from gan_bench.records.record import SCHEMA_VERSION

STEP_LINE = b'{"kind":"step"'


@dataclass(frozen=True, kw_only=True)
class StoredTrial:
    """A trial as read back.

    Attributes:
        path: Its record directory; it may not exist for a trial that never started.
        trial: ``trial.json``.
        environment: ``environment.json``, empty when there is none.
        history: Lines of ``history.jsonl``.
        evaluations: Lines of ``evaluations.jsonl``.
        record: ``record.json``, or None while the trial has not ended.
        damage: Why the record of a planned trial cannot be read, or None.
    """

    path: Path
    trial: Mapping[str, Any]
    environment: Mapping[str, Any]
    history: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    record: Mapping[str, Any] | None
    damage: str | None = None


# ------------------------------------------------------------------------------------------- one record


Steps = bool | Callable[[Mapping[str, Any]], bool]
"""Whether ``step`` lines of histories are read; a function says it for each trial, from its config."""


def read_trial(path: Path, *, steps: Steps = True, history: bool = True) -> StoredTrial:
    """Read a record directory, with or without its history or the ``step`` lines of that.

    Raises:
        RecordError: It is not one, or is damaged, or is of a version this package does not know.
    """
    directory = RecordDirectory(path)
    trial = _read_trial(directory)
    wanted = steps if isinstance(steps, bool) else steps(trial["config"])
    return StoredTrial(
        path=path,
        trial=trial,
        environment=read_optional(directory.environment, schema.ENVIRONMENT, schema.Environment) or {},
        history=read_lines(directory.history, schema.HISTORY, b"" if wanted else STEP_LINE) if history else [],
        evaluations=read_lines(directory.evaluations, schema.EVALUATIONS),
        record=read_optional(directory.record, schema.RECORD, schema.Record),
    )


def _read_trial(directory: RecordDirectory) -> Mapping[str, Any]:
    refuse_link(directory.trial)
    if not directory.trial.exists():
        raise RecordError(f"{directory.path} has no trial.json, so nobody can say what it is; {REMEDY}")
    trial = read_object(directory.trial)
    if trial.get("schema") != SCHEMA_VERSION:
        raise RecordError(
            f"{directory.trial} has record version {str(trial.get('schema'))[:20]}, this gan_bench reads "
            f"{SCHEMA_VERSION}; use the gan_bench that wrote it"
        )
    return _with_config(directory.trial, known(directory.trial, trial, schema.TRIAL, schema.Trial))


def _with_config(path: Path, trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial whose config has all fields, those that were added since it was written included.

    Raises:
        RecordError: The config is not the one that the trial's id is made from.
    """
    try:
        config = TrialConfig.from_json(trial["config"])
        found, complete = config.id, config.to_json()
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise RecordError(f"{path} is damaged: its config is not valid ({error}); {REMEDY}") from None
    if found != trial["id"]:
        raise RecordError(f"{path} is damaged: its id {trial['id'][:40]} is not that of its config, {found}; {REMEDY}")
    return {**trial, "config": complete}


def read_optional(path: Path, form: TypeAdapter[Any], keys: type) -> dict[str, Any] | None:
    """Read a JSON object of a documented form, or return None when there is none."""
    refuse_link(path)
    if not path.exists():
        return None
    return read_known(path, form, keys)


def read_header(path: Path) -> StoredTrial:
    """Read a record directory without the lines of its history and evaluations.

    Raises:
        RecordError: It is not one, or is damaged, or is of a version this package does not know.
    """
    directory = RecordDirectory(path)
    return StoredTrial(
        path=path,
        trial=_read_trial(directory),
        environment=read_optional(directory.environment, schema.ENVIRONMENT, schema.Environment) or {},
        history=[],
        evaluations=[],
        record=read_optional(directory.record, schema.RECORD, schema.Record),
    )


# ------------------------------------------------------------------------------------------ many records


def existing(results: Path) -> Path:
    """Return a results folder that must be there.

    Raises:
        UserError: It is not.
    """
    if not results.is_dir():
        raise UserError(f"{results} is no folder; name the results folder of an earlier run")
    return results


def suite_folders(results: Path) -> list[Path]:
    """Return the suites under a results folder, or the folder itself when it is one suite's."""
    if (results / PLAN).exists():
        return [results]
    folders = [path for path in sorted(results.iterdir()) if path.is_dir() and path.name not in RESERVED_NAMES]
    return [path for path in folders if not path.name.startswith(".") and _is_suite(path)]


def _is_suite(folder: Path) -> bool:
    """Say whether a folder holds a plan, baselines or a record."""
    return (folder / PLAN).exists() or (folder / BASELINES).exists() or next(folder.glob(TRIALS), None) is not None


def count_records(results: Path) -> int:
    """Count the record directories under a results folder, without a look into them."""
    return sum(1 for suite in suite_folders(results) for _ in suite.glob(TRIALS))


def scan(results: Path, *, steps: Steps = True, history: bool = True) -> Iterator[StoredTrial | RecordError]:
    """Read every trial under a results folder, planned ones that never started included.

    Args:
        results: A results folder, or one suite's folder in it.
        steps: Whether the ``step`` lines of histories are read; without them a long history takes a fraction of the
            time.
        history: Whether histories are read at all.

    Yields:
        Trials in the order of their paths, and an error for every directory that cannot be read. A planned trial
        whose directory cannot be read follows as a row with its ``damage``.
    """
    for suite in suite_folders(results):
        yield from scan_suite(suite, steps=steps, history=history)


def scan_suite(suite: Path, *, steps: Steps = True, history: bool = True) -> Iterator[StoredTrial | RecordError]:
    """Read every trial of one suite's folder, as ``scan`` does."""
    seen: set[str] = set()
    damaged: dict[str, str] = {}
    for path in sorted(suite.glob(TRIALS)):
        if not path.is_dir():
            continue
        found = read_or_error(path, steps=steps, history=history)
        if isinstance(found, StoredTrial):
            seen.add(path.name)
        else:
            damaged[path.name] = str(found)
        yield found
    yield from _without_record(suite, seen, damaged)


def read_or_error(path: Path, *, steps: Steps = True, history: bool = True) -> StoredTrial | RecordError:
    """Read a record directory, or return what is wrong with it."""
    try:
        return read_trial(path, steps=steps, history=history)
    except RecordError as error:
        return error
    except OSError as error:
        return RecordError(f"{path} cannot be read ({error.strerror}); {REMEDY}")


def _without_record(suite: Path, seen: set[str], damaged: Mapping[str, str]) -> Iterator[StoredTrial | RecordError]:
    if not (suite / PLAN).exists():
        return
    try:
        rows = read_plan(suite)
    except RecordError as error:
        yield error
        return
    for row in rows:
        if row["directory"] not in seen:
            yield StoredTrial(
                path=suite / row["directory"],
                trial=row,
                environment={},
                history=[],
                evaluations=[],
                record=None,
                damage=damaged.get(row["directory"]),
            )


def read_plan(suite: Path) -> list[dict[str, Any]]:
    """Read the trials that were planned of a suite.

    Raises:
        RecordError: The plan is damaged.
    """
    path = suite / PLAN
    rows: list[dict[str, Any]] = read_known(path, schema.PLAN, schema.Plan)["trials"]
    return [check_planned(path, row) for row in rows]


def check_planned(path: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a planned trial with all fields of its config.

    Raises:
        RecordError: Its directory or config is damaged.
    """
    try:
        check_name(row["directory"], "trial")
    except UserError as error:
        raise RecordError(f"{path} is damaged: {error}") from None
    return _with_config(path, row)


def read_left_out(suite: Path) -> dict[str, dict[str, str]]:
    """Read which files a published suite does without.

    Returns:
        Digests of these files by record directory and name; empty for records that were not published.

    Raises:
        RecordError: The list is damaged.
    """
    if not (suite / LEFT_OUT).exists():
        return {}
    try:
        files: dict[str, dict[str, str]] = read_known(suite / LEFT_OUT, schema.LEFT_OUT, schema.LeftOut)["files"]
    except RecordError as error:
        remedy = "no run writes it; fetch the publication again, or publish again"
        raise RecordError(str(error).replace(REMEDY, remedy)) from None
    return files


def excused(left_out: Mapping[str, str], record: Mapping[str, Any] | None) -> frozenset[str]:
    """Return which files of a trial may be missing: those that were left out of the record that is there.

    Args:
        left_out: What ``read_left_out`` returned of the trial's directory.
        record: ``record.json``; of a trial that was trained again since, it has other digests.
    """
    files = record.get("files", {}) if record else {}
    return frozenset(name for name, digest in left_out.items() if files.get(name) == digest)
