"""The row of a trial whose worker is gone without an answer."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gan_bench.config.trial import Trial
from gan_bench.core.errors import RecordError, UnreadableError
from gan_bench.execution.claim import Claim, Policy, blocked
from gan_bench.records import writer
from gan_bench.records.earlier import end_of, record_of, require_access
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Failure, Status, TrialRecord

LATE = "the worker did not stop at its time limit and was killed; raise it and run with --retry-failed"
_EPOCH = {"epochs": "epoch", "images": "images", "train_seconds": "train_seconds"}


def write_lost(
    results: Path, trial: Trial, policy: Policy, reason: str, before: bytes | None, *, late: bool = False
) -> Claim:
    """Write the row of a trial whose worker died without an answer.

    Args:
        results: The results folder.
        trial: The trial.
        policy: What it ran under.
        reason: What became of the worker.
        before: What ``end_of`` returned before the job: an end of an earlier run, which this one was to replace.
        late: Whether it was killed for being past its time limit.

    Returns:
        The row; or the end that the worker did write; or the process that owns the trial now.
    """
    directory = RecordDirectory.of(results, trial)
    with trial_lock(directory) as lock:
        try:
            if owner := lock.acquire():
                return owner
            if policy.is_terminal(directory) and end_of(directory) != before:
                return record_of(directory)
            require_access(directory)
        except UnreadableError as error:
            return blocked(str(error))
        failure = Failure.TIMEOUT if late else Failure.CRASH
        record = replace(_so_far(directory, policy), status=Status.FAILED, failure=failure, reason=reason)
        with contextlib.suppress(OSError):
            record = writer.fail(directory, trial, record)
    return record


def _so_far(directory: RecordDirectory, policy: Policy) -> TrialRecord:
    """Return how far a trial came, from its history."""
    record = TrialRecord(status=Status.FAILED, reason=None)
    if policy.is_outdated(directory):
        return record
    with contextlib.suppress(RecordError):
        for line in read_trial(directory.path).history:
            record = replace(record, steps=line["step"])
            if line["kind"] == "epoch":
                done: Mapping[str, Any] = {name: line[key] for name, key in _EPOCH.items()}
                record = replace(record, **done)
    return record
