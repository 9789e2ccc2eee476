"""A results folder -> what a report needs of it: of all trials how they ended, histories of those that are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gan_bench.core.errors import AlteredError, RecordError
from gan_bench.records.folders import count_records, read_or_error, scan
from gan_bench.records.reader import StoredTrial
from gan_bench.report.findings.reproduction import own_trials
from gan_bench.report.page.curves import SETTINGS, best_first
from gan_bench.report.page.trial_details import Curve, thin_curve
from gan_bench.report.study.frame import Frames, Histories, build_frames, few_epochs
from gan_bench.report.study.study import Study

MOST_HISTORIES = 2_000
"""Trials up to which all histories are read. They are by far the most of what records hold, and a page draws them for
the best settings only."""


@dataclass(frozen=True)
class Collected:
    """What was read.

    Attributes:
        trials: The trials, without the lines of their histories.
        frames: What tables are made from.
        curves: Thinned curves for the details of trials, by trial.
        unreadable: One sentence for every record that could not be read.
        whole: Whether all histories are in ``frames``.
    """

    trials: list[StoredTrial]
    frames: Frames
    curves: Mapping[str, Curve] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    whole: bool = True


def collect(results: Path) -> Collected:
    """Read a results folder; beyond ``MOST_HISTORIES`` trials, histories are left to ``with_histories``."""
    count = count_records(results)
    whole = count <= MOST_HISTORIES
    gathered, trials, unreadable = _Gathered(count), list[StoredTrial](), list[str]()
    for item in scan(results, steps=few_epochs, history=whole):
        if isinstance(item, RecordError):
            unreadable.append(item.line)
        else:
            trials.append(gathered.take(item))
            if isinstance(item.fault, AlteredError):
                unreadable.append(item.fault.line)
            elif item.added_fault:
                unreadable.append(item.added_fault.line)
    history, steps = gathered.histories.frames()
    frames = replace(build_frames(trials), history=history, steps=steps)
    return Collected(trials, frames, gathered.curves, unreadable, whole)


def with_histories(collected: Collected, made: list[Study]) -> Collected:
    """Add the histories of the trials that are drawn, or set beside an article's values.

    Args:
        collected: What ``collect`` read; histories that are there are not read again.
        made: Its studies, which are given the histories too.
    """
    if collected.whole:
        return collected
    wanted = set(own_trials(collected.frames.trials))
    for study in made:
        wanted.update(_drawn(study))
    gathered, unreadable = _Gathered(len(collected.trials)), list[str]()
    for item in _read(trial for trial in collected.trials if trial.trial["id"] in wanted):
        if isinstance(item, RecordError):
            unreadable.append(item.line)
        else:
            gathered.take(item)
    history, steps = gathered.histories.frames()
    for study in made:
        study.draw(history, steps)
    return replace(
        collected,
        frames=replace(collected.frames, history=history, steps=steps),
        curves=gathered.curves,
        unreadable=[*collected.unreadable, *unreadable],
    )


class _Gathered:
    """Takes what is needed of histories, and lets them go."""

    def __init__(self, trials: int) -> None:
        self.histories, self.curves, self._trials = Histories(), dict[str, Curve](), trials

    def take(self, item: StoredTrial) -> StoredTrial:
        """Return the trial without its history."""
        if item.history and not item.fault:
            self.histories.add(item)
            self.curves[item.trial["id"]] = thin_curve(item, self._trials)
        return replace(item, history=[])


def _drawn(study: Study) -> Iterator[str]:
    """Yield the trials of the settings that a page draws, as many of each setting as there is room for."""
    labels = best_first(study)[:SETTINGS]
    shown = study.trials[study.trials["label"].isin(labels)].sort_values("seed", kind="stable")
    most = max(1, MOST_HISTORIES // max(1, len(labels)))
    yield from shown.groupby("label", sort=False).head(most)["trial"]


def _read(trials: Iterable[StoredTrial]) -> Iterator[StoredTrial | RecordError]:
    for trial in trials:
        if trial.record or trial.environment:
            yield read_or_error(trial.path, steps=few_epochs)
