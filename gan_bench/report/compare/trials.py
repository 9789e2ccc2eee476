"""Changes in how trials ended between two results folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gan_bench.core.text import plural, printable, some_of
from gan_bench.report.compare.folder import ComparedFolder
from gan_bench.report.compare.measured import DIVERGED, Studies, keyed, matched

MISSING = "missing"
NOT_PLANNED = "not planned"
_NAMED = 2
"""Most missing trials that are named; the table has all."""
_OLD = {"name": "name_old", "status": "status_old"}


@dataclass(frozen=True)
class TrialChange:
    """How a trial ended in both folders; ``verdict`` is empty if equally."""

    study: str
    name: str
    old_status: str
    new_status: str
    worse: bool
    verdict: str


def trial_changes(before: Studies, after: Studies, newer: ComparedFolder) -> Iterator[TrialChange]:
    """Yield the change of every trial of common suites."""
    places = sorted(place for place in before.keys() - after.keys() if before[place].suite in newer.known)
    gone = [(before[place], keyed(before[place])) for place in places]
    absent = [(study, frame.rename(columns=_OLD).assign(status_new=MISSING)) for study, frame in gone]
    for study, both in [*((study, both) for study, _, both in matched(before, after)), *absent]:
        for _, row in both.fillna({"status_new": MISSING}).iterrows():
            old, new = row["status_old"], row["status_new"]
            new = NOT_PLANNED if new == MISSING and study.suite in newer.planned else new
            worse = old == "done" != new and new not in (NOT_PLANNED, DIVERGED)
            better = new == "done" != old
            verdict = "worse" if worse else "better" if better else "" if old == new else "other"
            yield TrialChange(study.title, row["name_old"], old, new, worse, verdict)


def suites_gone(before: Studies, newer: ComparedFolder) -> Iterator[str]:
    """Yield a sentence for each suite that the newer folder lacks."""
    counts = Counter[str]()
    for study in before.values():
        counts[study.suite] += len(study.trials)
    for suite, count in counts.items():
        if suite not in newer.known:
            left = f"{plural(count, 'trial')} {'is' if count == 1 else 'are'} not compared"
            yield f"{printable(suite)}: the newer folder does not have this suite; {left}"


def ended_worse(ended: list[TrialChange]) -> Iterator[str]:
    """Yield a sentence for each trial that ended worse, and one for all that are missing."""
    bad = [trial for trial in ended if trial.worse]
    for trial in bad:
        if trial.new_status != MISSING:
            yield f"{trial.study}: {trial.name}: {trial.old_status} -> {trial.new_status}"
    if lost := [trial.name for trial in bad if trial.new_status == MISSING]:
        are = "that was done is missing" if len(lost) == 1 else "that were done are missing"
        yield from count_with_names(lost, are)


def count_with_names(names: list[str], what: str) -> Iterator[str]:
    """Yield the number of some trials and the first names, if there are any."""
    if names:
        yield f"{plural(len(names), 'trial')} {what}: {some_of(names, _NAMED)}"
