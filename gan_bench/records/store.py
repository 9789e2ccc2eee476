"""Record directories: the truth about every trial, as plain files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_bench.config.trial import RESERVED_NAMES, Trial
from gan_bench.core.atomic import remove_leftovers, write_atomically
from gan_bench.core.errors import RecordError, UserError
from gan_bench.records.lock import Lock
from gan_bench.records.record import SCHEMA_VERSION, Status, TrialRecord

TRIAL, ENVIRONMENT, RECORD = "trial.json", "environment.json", "record.json"
HISTORY, EVALUATIONS = "history.jsonl", "evaluations.jsonl"
SAMPLES, CHECKPOINT, WEIGHTS = "samples", "checkpoint.pt", "generator.safetensors"
PLAN = "plan.json"
LOCKS = ".locks"
BASELINES = "anchors.json"

_STEP_LINE = b'{"kind":"step"'

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,=+-]{0,199}")


def check_name(name: str, what: str) -> str:
    """Refuse names that could leave the results folder or clash with what lies in it.

    Raises:
        UserError: The name is unsafe.
    """
    if not _SAFE_NAME.fullmatch(name) or name.lower() in RESERVED_NAMES or name.endswith("."):
        raise UserError(
            f"{what} name {name!r} cannot be a folder; use letters, digits, '.', '_', '-' and not a reserved name"
        )
    return name


class RecordDirectory:
    """One trial's directory, written as the trial runs.

    Args:
        path: The directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, results: Path, trial: Trial) -> RecordDirectory:
        """Return the place of a trial under a results folder."""
        suite = check_name(trial.config.suite, "suite")
        return cls(results / suite / check_name(trial.directory, "trial"))

    def lock(self) -> Lock:
        """Return the lock that makes one process the trial's owner; it lies beside the records."""
        return Lock(self.path.parent / LOCKS, self.path.name)

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint lies."""
        return self.path / CHECKPOINT

    @property
    def weights(self) -> Path:
        """Where the finished generator lies."""
        return self.path / WEIGHTS

    def status(self) -> Status | None:
        """Return the status a trial ended with, or None when it has not."""
        record = self.record()
        return record.status if record else None

    def record(self) -> TrialRecord | None:
        """Return how the trial ended, or None when it has not or cannot be read."""
        try:
            return TrialRecord.from_json(_read_object(self.path / RECORD))
        except (RecordError, ValueError):
            return None

    def epochs_kept(self) -> int:
        """Count the finished epochs that a resumed run will not train again, as far as the history tells."""
        if not self.checkpoint.exists():
            return 0
        with contextlib.suppress(OSError, RecordError):
            return len(read_lines(self.path / HISTORY, _STEP_LINE))
        return 0

    def inputs_changed(self, now: Mapping[str, Any]) -> bool:
        """Say whether an earlier run of the trial saw other images or trained other networks.

        To go on from its checkpoint would be a mixture.

        Args:
            now: ``data_sha256``, ``networks_sha256`` and ``torch``, as they are now. Versions of torch describe the
                same networks in different words, so networks are compared under the same one only.
        """
        known = self.environment()
        same_torch = known.get("libraries", {}).get("torch") == now["torch"]
        watched = ("data_sha256", "networks_sha256") if same_torch else ("data_sha256",)
        return any(known.get(name) not in (None, now[name]) for name in watched)

    def clear(self) -> None:
        """Forget what an earlier run of the trial left."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def environment(self) -> dict[str, Any]:
        """Return ``environment.json`` of an earlier run, empty when there is none."""
        try:
            return _read_object(self.path / ENVIRONMENT)
        except RecordError:
            return {}

    def note_change(self, environment: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Write down that a trial goes on under other conditions than it started."""
        listed = [*environment.get("changes", []), dict(changes)]
        _write_json(self.path / ENVIRONMENT, {**environment, "changes": listed})

    def skip(self, trial: Trial, reason: str) -> None:
        """Leave a row for a trial that was planned and not run; what an earlier run left of it stays."""
        self.describe(trial)
        self.finish(TrialRecord(status=Status.SKIPPED, reason=reason))

    def fail(self, trial: Trial, record: TrialRecord) -> TrialRecord:
        """Leave the row of a trial whose process is gone, without what it was writing.

        Returns:
            The record with the digests of its files.
        """
        self._clear_aside()
        self.describe(trial)
        return self.finish(record)

    def begin(self, trial: Trial, environment: Mapping[str, Any]) -> None:
        """Write what is known before training, and take back an earlier end; an environment that is there stays."""
        (self.path / SAMPLES).mkdir(parents=True, exist_ok=True)
        self._clear_aside()
        self.describe(trial)
        (self.path / RECORD).unlink(missing_ok=True)
        if not (self.path / ENVIRONMENT).exists():
            _write_json(self.path / ENVIRONMENT, environment)
        for name in (HISTORY, EVALUATIONS):
            (self.path / name).touch()

    def _clear_aside(self) -> None:
        """Remove what killed processes were writing; the directory has one owner, who calls this."""
        for folder in (self.path, self.path / SAMPLES):
            remove_leftovers(folder, idle=0)

    def describe(self, trial: Trial) -> None:
        """Write what the trial is, so that however it ends it is a row."""
        self.path.mkdir(parents=True, exist_ok=True)
        description = {
            "schema": SCHEMA_VERSION,
            "id": trial.id,
            "name": trial.name,
            "setting": trial.setting,
            "config": trial.config.to_json(),
            "provenance": dict(trial.provenance),
        }
        _write_json(self.path / TRIAL, description)

    def append(self, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append lines to the history or the evaluations, in one write."""
        text = "".join(json.dumps(finite(line), separators=(",", ":"), allow_nan=False) + "\n" for line in lines)
        if text:
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(text)

    def offsets(self) -> dict[str, int]:
        """Return the sizes of the growing files, in bytes."""
        return {name: (self.path / name).stat().st_size for name in (HISTORY, EVALUATIONS)}

    def fsync(self) -> dict[str, int]:
        """Force the growing files to disk, so that a checkpoint never knows more than they hold.

        Returns:
            Their sizes, in bytes.
        """
        for name in (HISTORY, EVALUATIONS):
            with (self.path / name).open("rb") as file:
                os.fsync(file.fileno())
        return self.offsets()

    def truncate(self, offsets: Mapping[str, int]) -> bool:
        """Shorten the growing files to where a checkpoint knew them.

        Returns:
            False when a file is shorter than that, so that the checkpoint cannot be used.
        """
        sizes = self.offsets()
        if any(sizes[name] < offsets[name] for name in sizes):
            return False
        for name in sizes:
            with (self.path / name).open("r+b") as file:
                file.truncate(offsets[name])
        return True

    def save_sample(self, epoch: int, grid: NDArray[np.uint8]) -> None:
        """Write a sample grid (H, W, 3) uint8 as a PNG."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(grid).save(buffer, format="PNG", optimize=True)
        write_atomically(self.path / SAMPLES / f"epoch-{epoch:04d}.png", buffer.getvalue())

    def finish(self, record: TrialRecord) -> TrialRecord:
        """Write the end of the trial, atomically and last, with the digests of its other files.

        Returns:
            The record with those digests.
        """
        complete = replace(record, files=self.digests())
        _write_json(self.path / RECORD, complete.to_json())
        return complete

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file of the record but its end and its checkpoints, by name."""
        names = [TRIAL, ENVIRONMENT, HISTORY, EVALUATIONS, WEIGHTS]
        files = [self.path / name for name in names] + sorted((self.path / SAMPLES).glob("epoch-*.png"))
        return {
            file.relative_to(self.path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if file.exists()
        }


def finite(value: Any) -> Any:  # noqa: ANN401 - any JSON-able value
    """Replace NaN and infinities, which JSON does not have, by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def write_plan(results: Path, suite: str, version: int, trials: Iterable[Trial]) -> None:
    """Write which trials were planned of a suite's version, so that those that never started are rows too."""
    folder = results / check_name(suite, "suite")
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    fresh = [
        {"name": t.name, "setting": t.setting, "id": t.id, "directory": t.directory, "config": t.config.to_json()}
        for t in trials
    ]
    known = {row["id"] for row in fresh}
    rows = [row for row in _earlier(folder / PLAN, "trials", version) if row.get("id") not in known] + fresh
    _write_json(folder / PLAN, {"schema": SCHEMA_VERSION, "suite": suite, "version": version, "trials": rows})


def _earlier(path: Path, key: str, version: int) -> list[dict[str, Any]]:
    """Return the rows an earlier run of the same suite version left, or none."""
    try:
        content = _read_object(path)
    except RecordError:
        return []
    rows = content.get(key)
    same = content.get("version") == version and content.get("schema") == SCHEMA_VERSION
    return [row for row in rows if isinstance(row, dict)] if same and isinstance(rows, list) else []


def write_baselines(results: Path, suite: str, version: int, anchors: list[dict[str, Any]]) -> None:
    """Write the scores of real images beside a suite's records, keeping those of other protocols."""

    def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return row.get("dataset"), row.get("image_size"), row.get("samples")

    path = results / check_name(suite, "suite") / BASELINES
    known = {key(row) for row in anchors}
    rows = [row for row in _earlier(path, "anchors", version) if key(row) not in known] + anchors
    _write_json(path, {"schema": SCHEMA_VERSION, "version": version, "anchors": rows})


def read_baselines(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the anchors of every suite under a results folder; unreadable ones are left out.

    Returns:
        Baselines by suite name.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for suite in suite_folders(results):
        try:
            content = _read_object(suite / BASELINES)["anchors"]
        except (RecordError, KeyError):
            continue
        found[suite.name] = [row for row in content if isinstance(row, dict)] if isinstance(content, list) else []
    return found


def suite_folders(results: Path) -> list[Path]:
    """Return the suites under a results folder, or the folder itself when it is one suite's."""
    folders = [results] if (results / PLAN).exists() else sorted(p for p in results.iterdir() if p.is_dir())
    return [p for p in folders if not p.name.startswith(".") and p.name not in RESERVED_NAMES]


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
    """

    path: Path
    trial: Mapping[str, Any]
    environment: Mapping[str, Any]
    history: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    record: Mapping[str, Any] | None


def read_lines(path: Path, skipped: bytes = b"") -> list[dict[str, Any]]:
    """Read a JSON-lines file, leaving out a last line that a kill cut short and lines that start with ``skipped``.

    Raises:
        RecordError: A line before the last is not a JSON object.
    """
    try:
        raw = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    lines: list[dict[str, Any]] = []
    with contextlib.suppress(ValueError):  # whole files are read at once; only what is damaged is looked at closely
        kept = [line for line in raw if line and not (skipped and line.startswith(skipped))]
        lines = json.loads(b"[" + b",".join(kept) + b"]")
        if len(lines) == len(kept) and all(isinstance(line, dict) for line in lines):
            return lines
        lines = []
    for number, line in enumerate(raw, start=1):
        if not line or (skipped and line.startswith(skipped)):
            continue
        try:
            content = json.loads(line)
        except ValueError:
            if number == len(raw):
                break
            content = None
        if not isinstance(content, dict):
            raise RecordError(f"{path}:{number} is not a JSON object; run the suite again with --fresh")
        lines.append(content)
    return lines


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} cannot be read ({error}); run the suite again with --fresh") from None
    if not isinstance(content, dict):
        raise RecordError(f"{path} does not hold a JSON object; run the suite again with --fresh")
    return content


def _lines_with(path: Path, keys: set[str], skipped: bytes = b"") -> list[dict[str, Any]]:
    lines = read_lines(path, skipped)
    for number, line in enumerate(lines, start=1):
        if not keys <= set(line):
            raise RecordError(f"{path}:{number} lacks {', '.join(sorted(keys - set(line)))}; run again with --fresh")
    return lines


def read_trial(path: Path, *, steps: bool = True) -> StoredTrial:
    """Read a record directory, with or without the ``step`` lines of its history.

    Raises:
        RecordError: It is not one, or is damaged, or is of a version this package does not know.
    """
    trial = _read_object(path / TRIAL)
    if trial.get("schema") != SCHEMA_VERSION:
        raise RecordError(
            f"{path / TRIAL} has record version {trial.get('schema')!r}, this gan_bench reads {SCHEMA_VERSION}; "
            "use the gan_bench that wrote it"
        )
    missing = {"id", "name", "setting", "config"} - set(trial)
    if missing or not isinstance(trial["config"], dict):
        raise RecordError(f"{path / TRIAL} lacks {', '.join(sorted(missing)) or 'its config'}; it is no trial record")
    return StoredTrial(
        path=path,
        trial=trial,
        environment=_read_object(path / ENVIRONMENT) if (path / ENVIRONMENT).exists() else {},
        history=_lines_with(path / HISTORY, {"kind", "epoch", "step"}, b"" if steps else _STEP_LINE),
        evaluations=_lines_with(path / EVALUATIONS, {"epoch", "scores"}),
        record=_read_object(path / RECORD) if (path / RECORD).exists() else None,
    )


def earlier(results: Path) -> Path:
    """Return a results folder that must be there.

    Raises:
        UserError: It is not.
    """
    if not results.is_dir():
        raise UserError(f"{results} is no folder; name the results folder of an earlier run")
    return results


def scan(results: Path, *, steps: bool = True) -> Iterator[StoredTrial | RecordError]:
    """Read every trial under a results folder, planned ones that never started included.

    Args:
        results: A results folder, or one suite's folder in it.
        steps: Whether the ``step`` lines of histories are read; without them a long history takes a fraction.

    Yields:
        Trials in the order of their paths, and an error for every directory that cannot be read.
    """
    for suite in suite_folders(results):
        seen = set()
        for path in sorted(suite.glob("*--????????")):
            if not (path / TRIAL).exists():
                continue
            seen.add(path.name)
            try:
                yield read_trial(path, steps=steps)
            except RecordError as error:
                yield error
        yield from _never_started(suite, seen)


def _never_started(suite: Path, seen: set[str]) -> Iterator[StoredTrial | RecordError]:
    if not (suite / PLAN).exists():
        return
    try:
        rows = _read_object(suite / PLAN)["trials"]
        for row in rows:
            if row["directory"] not in seen:
                yield StoredTrial(
                    path=suite / check_name(row["directory"], "trial"),
                    trial=row,
                    environment={},
                    history=[],
                    evaluations=[],
                    record=None,
                )
    except RecordError as error:
        yield error
    except (KeyError, TypeError, UserError) as error:
        yield RecordError(f"{suite / PLAN} cannot be read ({error}); run the suite again to write it anew")
