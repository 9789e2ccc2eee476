"""The setting that a user names, or the best one of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from gan_bench.config.naming import means
from gan_bench.core.errors import RecordError, UserError
from gan_bench.core.text import as_typed, plural, some_of
from gan_bench.report.findings.leaders import leaders
from gan_bench.report.study.frame import FAULTY
from gan_bench.report.study.studies import read_studies
from gan_bench.report.study.study import Scored, Study

BEST = "best"
"""Stands for the best setting."""
NAMED = 5
"""Settings that an error names."""


@dataclass(frozen=True)
class FinishedSetting:
    """A setting with finished trials.

    Attributes:
        study: The study it is of.
        label: Its name in tables: ``mnist-dcgan · lr 3e-4``.
        name: Its name in suites: ``mnist-dcgan,lr=0.0003``.
        done: Its finished trials, one row each.
        row: What tables know of it: how many trials were planned, are done, are bad.
    """

    study: Study
    label: str
    name: str
    done: pd.DataFrame
    row: Mapping[str, Any]

    @property
    def scored(self) -> Scored:
        """The scores that rank it: Inception's where it has some, else the first of those that it has."""
        found = [each for each in self.study.scored if each.median_trial(self.done)]
        return next((each for each in found if each.protocol.extractor == "inception"), found[0])


def find_setting(found: list[Study], wanted: str) -> FinishedSetting:
    """Return the one scored setting that is meant; settings of full trials go before those of quick ones.

    Args:
        found: Where it may be.
        wanted: A name in tables or in suites, part of one, a glob, values such as ``lr=1e-3``, or ``best``.

    Raises:
        UserError: None is meant, or several are.
    """
    settings = [setting for study in found if study.scored for setting in finished_settings(study)]
    if not settings:
        raise UserError("no trial here is finished and scored; run a suite first, for example `gan-bench run digits`")
    matching: list[FinishedSetting] = []
    for matches in (_is_named, _contains, _has_values):
        matching = [setting for setting in settings if matches(setting, wanted)]
        matching = [setting for setting in matching if not setting.study.outdated] or matching
        matching = [setting for setting in matching if setting.study.profile == "full"] or matching
        if matching:
            break
    if len(matching) == 1:
        return matching[0]
    shown = Counter(setting.name for setting in matching or settings)
    names = [
        f"{setting.name if shown[setting.name] == 1 else setting.label} ({setting.study.title})"
        for setting in matching or settings
    ]
    what = (
        f'"{as_typed(wanted)}" names several settings'
        if matching
        else f'no finished setting is called "{as_typed(wanted)}"'
    )
    there = some_of(names, NAMED, "; ", "; and {} more")
    raise UserError(f"{what}; there are {there}; name one, or the folder of one suite")


def require_sound(study: Study, label: str | None = None) -> None:
    """Refuse to speak for settings some of whose records are not what was saved.

    Args:
        study: The study.
        label: The setting; None takes all of the study.

    Raises:
        RecordError: A record is damaged, altered or unreadable.
    """
    members = study.trials if label is None else study.trials[study.trials["label"] == label]
    faulty = members[members["status"].isin(FAULTY)]
    if len(faulty):
        more = f", and {len(faulty) - 1} more" if len(faulty) > 1 else ""
        raise RecordError(f"{faulty['name'].iloc[0]} is {faulty['status'].iloc[0]}: {faulty['reason'].iloc[0]}{more}")


def finished_settings(study: Study) -> Iterator[FinishedSetting]:
    """Yield the settings of a study that have a finished trial with a score."""
    names = dict(zip(study.trials["label"], study.trials["suite_setting"], strict=True))
    for row, done in study.settings():
        if any(scored.median_trial(done) for scored in study.scored):
            yield FinishedSetting(study, row["setting"], names[row["setting"]], done, row)


def _is_named(setting: FinishedSetting, wanted: str) -> bool:
    if wanted == BEST:
        return setting.scored.ranking()[:1] == [setting.label]
    return wanted in (setting.name, setting.label)


def _contains(setting: FinishedSetting, wanted: str) -> bool:
    return any(wanted in name or fnmatchcase(name, wanted) for name in (setting.name, setting.label))


def _has_values(setting: FinishedSetting, wanted: str) -> bool:
    trials = setting.study.trials
    return means(setting.name, trials.loc[trials["label"] == setting.label, "config"].iloc[0], wanted)


@dataclass(frozen=True)
class Champion:
    """What is decided of a study.

    Attributes:
        title: The study.
        setting: Its best setting.
        path: Record of the trial with the median score, or None when nothing is decided.
        why: Why nothing is.
    """

    title: str
    setting: str
    path: Path | None
    why: str = ""


def champions(results: Path) -> Iterator[Champion]:
    """Yield every study's best setting: decided when all others are decidedly worse and it beats untrained ones.

    Raises:
        UserError: There is no such folder.
        RecordError: A record of a study is damaged, altered or unreadable, which may be why a setting is best.
    """
    for study in read_studies(results, history=True)[1]:
        if study.outdated:
            continue
        require_sound(study)
        for scored in study.scored[:1]:
            yield _champion(scored)


def _champion(scored: Scored) -> Champion:
    found = leaders(scored)
    if found is None:
        return Champion(scored.study.title, "", None, "no finished trial has a score")
    rivals = [
        (len(found.tied) - len(found.ahead) + len(found.unknown), "may be as good"),
        (len(found.ahead), "decidedly better in the mean over equal seeds"),
        (len(found.unequal), f"{found.unlike}, which no test judges"),
    ]
    others = "; ".join(f"{plural(count, 'other')} {words}" for count, words in rivals if count)
    if others or not found.behind:
        why = others or "there is nothing to compare it with"
        return Champion(scored.study.title, found.best, None, f"{found.best} is not decided: {why}")
    if found.best in scored.no_better_than_untrained():
        return Champion(scored.study.title, found.best, None, f"{found.best} is no better than untrained generators")
    median = scored.study.trials["trial"] == scored.median_trial(scored.study.setting(found.best)[1])
    return Champion(scored.study.title, found.best, Path(scored.study.trials["path"][median].iloc[0]))
