"""Carry a plan's trials to their ends, one after the other in this process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gan_bench.events import Listener
from gan_bench.runner import run_trial
from gan_bench.store import RecordDirectory
from gan_bench.trial import Status, Trial, TrialRecord
from gan_bench.workplace import Workplace

FINISHED = frozenset({Status.DONE, Status.DIVERGED})
"""Ends that running again would only repeat."""


def unfinished(results: Path, trials: Iterable[Trial], place: Workplace) -> list[Trial]:
    """Drop the trials whose record says that they are finished, on the pictures that are there now."""

    def finished(trial: Trial) -> bool:
        directory, config = RecordDirectory.of(results, trial), trial.config
        if directory.status() not in FINISHED:
            return False
        return not directory.foreign_data(place.pictures(config.dataset, "train", config.image_size).sha256)

    return [trial for trial in trials if not finished(trial)]


def run_inline(results: Path, trials: Iterable[Trial], place: Workplace, listener: Listener) -> dict[str, TrialRecord]:
    """Run trials one after the other; a failed one does not stop the rest, a wish to stop does.

    Args:
        results: The results folder.
        trials: What to run.
        place: Where and how.
        listener: Told how it goes.

    Returns:
        Records of the trials that ran, by trial id.
    """
    records: dict[str, TrialRecord] = {}
    for trial in trials:
        if place.stop():
            break
        records[trial.id] = run_trial(trial, RecordDirectory.of(results, trial), place, listener)
    return records
