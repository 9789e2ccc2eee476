"""What a results folder has of each setting: trials, scores and lost seeds, by data and suite; which version counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench.config.design import UNKNOWN
from gan_bench.config.measures import COLLAPSED, primary_measure
from gan_bench.config.trial import setting_key
from gan_bench.core.canonical import canonical_json
from gan_bench.core.text import printable
from gan_bench.records.plan import Suites
from gan_bench.records.reader import StoredTrial
from gan_bench.report.study.frame import BAD, ENDED, FAULTY, WITHDRAWN, build_frames

VERSIONS = (
    "Of several versions of a suite the newest counts of which all seeds of the first look have ended, or where no "
    "seeds were declared all that were planned; where that is known of none, the one with most finished seeds. One "
    "without a score to compare is passed over."
)
"""The rule, as people read it."""


@dataclass(frozen=True)
class Version:
    """How far a version of a suite has come with a setting.

    Attributes:
        number: The version.
        finished: Seeds with a finished trial, at each length of training.
        is_whole: Whether all seeds of the first look have ended, at all lengths of training that it asks for.
    """

    number: int
    finished: int
    is_whole: bool

    @property
    def rank(self) -> tuple[bool, int, int]:
        """What the version that counts has most of."""
        return (True, self.number, 0) if self.is_whole else (False, self.finished, self.number)


def by_preference(
    olds: Iterable[SettingVersion], news: Iterable[SettingVersion]
) -> list[tuple[SettingVersion, SettingVersion]]:
    """Return all pairs of two folders' versions, those first whose lesser version ranks highest.

    No pair comes before another one both of whose versions rank higher: where all can be compared, the first pair is
    that of the versions that count. Exchanging the folders changes no order but of pairs that are equal in it.
    """

    def preference(pair: tuple[SettingVersion, SettingVersion]) -> list[tuple[bool, int, int]]:
        old, new = (each.version.rank for each in pair)
        return [*sorted((old, new)), new]

    return sorted(product(olds, news), key=preference, reverse=True)


def version_of(rows: pd.DataFrame, plan: Suites) -> Version:
    """Return how far a version has come, from the rows of its trials of one setting as ``build_frames`` makes them."""
    lengths = [each for _, each in rows.groupby("epochs")]
    come = [_has_come(each, plan) for each in lengths]
    is_given_up = [bool((each["status"] == WITHDRAWN).any()) for each in lengths]
    is_whole = any(come) and all(map(max, come, is_given_up))
    finished = rows[rows["status"] == "done"].drop_duplicates(["epochs", "seed"])
    return Version(int(rows["suite_version"].iloc[0]), len(finished), is_whole)


def _has_come(rows: pd.DataFrame, plan: Suites) -> bool:
    """True if all seeds of the first look of a training have ended, or all planned where none is declared.

    Seeds that were added to those declared change no first look, but what an unknown plan declared is not known.
    """
    ended, config = set(rows["seed"][rows["status"].isin((*ENDED, *FAULTY))]), rows["config"].iloc[0]
    design = plan.design(*(config[name] for name in ("suite", "suite_version", "profile", "dataset")))
    if design is None:  # planned before there were designs
        return bool(ended) and set(rows["seed"][rows["status"] != WITHDRAWN]) <= ended
    return design != UNKNOWN and set(design.first(design.looks[0])) <= ended


UNMATCHED = ("suite", "suite_version", "profile", "evaluation", "epochs")
"""Fields that the same training may differ in: what it is part of, when it was looked at, and how long it went on."""
SuiteProfile = tuple[str, str]
"""Suite and profile."""
Data = tuple[str, str]
"""Dataset, and the size of its images."""
_VERSION = ["key", "dataset", "image_size", "suite", "profile", "suite_version"]
"""Columns whose values are those of a setting in one version of a suite."""


@dataclass(frozen=True)
class ScoredSetting:
    """A study's trials of a setting under one protocol.

    Attributes:
        study: Its suite, and that the profile is the quick one.
        data: Its dataset, and the size of its images.
        config: The config of its first trial.
        settings: Its settings that are equal in the named fields: the first config of each, by what all of it is.
        setting: The setting's name.
        trials: Rows of the trials that were scored after training began; of a setting without any, of the lost ones.
        scores: The primary scores of these, epoch after epoch of a trial, NaN where its images cannot be scored, and
            whether the generator counts as collapsed then, NaN where that was not counted.
        failed: Seeds of trials that failed or diverged; those of another length may have ended well.
        newest: The newest version of its suite in the folder, which may be another than that of its trials.
    """

    study: str
    data: Data
    config: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    setting: str
    trials: pd.DataFrame
    scores: pd.DataFrame
    failed: set[int]
    newest: int

    @property
    def version(self) -> str:
        """Its suite's version, and the newest one where that is another."""
        own = int(self.config["suite_version"])
        return str(own) if own == self.newest else f"{own} (newest: {self.newest})"

    @property
    def epochs(self) -> set[int]:
        """The epochs at which some seed has a score."""
        return set(self.scores.dropna(subset="value")["epoch"])

    def at(self, epoch: int) -> tuple[NDArray[np.float64], set[int]]:
        """Return the scores at an epoch, one per seed, and the seeds whose images could not be scored."""
        looked = self.scores[self.scores["epoch"] == epoch]
        known = looked.dropna(subset="value").drop_duplicates("seed", keep="last")
        return known["value"].to_numpy(), set(looked["seed"]) - set(known["seed"])

    def seeds_at(self, epoch: int) -> set[int]:
        """Return the seeds whose images were scored at an epoch, or could not be."""
        return set(self.scores["seed"][self.scores["epoch"] == epoch])

    def lost_at(self, epoch: int) -> set[int]:
        """Return the seeds that failed or diverged without reaching an epoch, and those that cannot be scored there."""
        return (self.lost - self.failed) | (self.failed - self.seeds_at(epoch)) | self.at(epoch)[1]

    def collapsed_at(self, epoch: int) -> int | None:
        """Return how many generators count as collapsed at an epoch; None if none does and some were not looked at."""
        scored = self.scores[self.scores["epoch"] == epoch]
        looked = scored.dropna(subset="collapsed")
        is_whole = set(looked["seed"]) == set(scored["seed"])
        seen = int(looked["seed"][looked["collapsed"] > 0].nunique())
        return seen if seen or (is_whole and len(looked)) else None

    @property
    def lost(self) -> set[int]:
        """The seeds that failed or diverged, and those whose last images cannot be scored."""
        ends, known = self.scores.drop_duplicates("trial", keep="last"), self.scores.dropna(subset="value")
        scored = set(zip(known["seed"], known["epoch"], strict=True))
        at_end = zip(ends["seed"], ends["epoch"], strict=True)
        return self.failed | {seed for seed, epoch in at_end if (seed, epoch) not in scored}


@dataclass(frozen=True)
class SettingVersion:
    """A version of a suite, as far as it has a setting.

    Attributes:
        version: Which, and how far it has come.
        sides: Its trials by the protocol they were scored under.
        lost: What there is of one without any score, all of whose trials failed or diverged.
    """

    version: Version
    sides: Mapping[str, ScoredSetting]
    lost: ScoredSetting | None


BySetting = dict[Data, dict[SuiteProfile, list[SettingVersion]]]
"""Of a setting the versions of suites, by data and by suite and profile."""


def by_setting(trials: Iterable[StoredTrial], names: tuple[str, ...], plan: Suites) -> dict[str, BySetting]:
    """Gather primary scores of done trials, and which seeds were lost, by setting, data, study and version."""
    frames = build_frames(trials)
    whole = frames.trials["config"].map(lambda config: setting_key(config, UNMATCHED))
    named = frames.trials["config"].map(lambda config: canonical_json({each: config[each] for each in names}))
    newest = frames.trials.groupby("suite")["suite_version"].transform("max")
    rows = frames.trials.assign(whole=whole, key=named if names else whole, newest=newest)
    scores = frames.scores[frames.scores["metric"] == primary_measure()].sort_values("epoch", kind="stable")
    scores = scores[["trial", "protocol", "epoch", "value"]].merge(rows, on="trial", suffixes=("", "_of_trial"))
    scores = scores[scores["status"] == "done"]
    every, scored = (each.assign(average=each["protocol"].str.endswith(",ema")) for each in (frames.scores, scores))
    of = ["trial", "epoch", "average"]  # moving averages collapse on their own, and no protocol by itself
    collapses = every[every["metric"] == COLLAPSED].groupby(of)["value"].max()
    looked = pd.MultiIndex.from_frame(scored[of])
    scores = scores.assign(collapsed=collapses.reindex(looked).to_numpy(dtype=float))
    by_version = dict(iter(scores.groupby(_VERSION)))
    found = dict[str, BySetting]()
    for at, mine in rows.groupby(_VERSION, sort=True):
        version = _version(mine, by_version.get(at, scores.iloc[:0]), plan)
        if version.sides or version.lost:
            key, dataset, size, suite, profile, _ = map(str, at)
            found.setdefault(key, {}).setdefault((dataset, size), {}).setdefault((suite, profile), []).append(version)
    return found


def _version(trials: pd.DataFrame, scores: pd.DataFrame, plan: Suites) -> SettingVersion:
    """Make the sides of a version from its trials and the scores of those that are done."""
    done, failed = trials[trials["status"] == "done"], trials[trials["status"].isin(BAD)]
    sides = dict[str, ScoredSetting]()
    for protocol, every in scores.groupby("protocol", sort=False):
        trained = every[every["epoch"] > 0]
        shown = done[done["trial"].isin(trained["trial"])]
        sides[str(protocol)] = _scored_setting(every, shown, trained, set(failed["seed"]))
    is_lost = not sides and len(failed) > 0
    lost = _scored_setting(failed, failed, scores.iloc[:0], set(failed["seed"])) if is_lost else None
    return SettingVersion(version_of(trials, plan), sides, lost)


def _scored_setting(of: pd.DataFrame, shown: pd.DataFrame, scores: pd.DataFrame, failed: set[int]) -> ScoredSetting:
    first, settings = of.iloc[0], of.drop_duplicates("whole")
    study = printable(str(first["suite"])) + (" (quick)" if first["profile"] == "quick" else "")
    return ScoredSetting(
        study=study,
        data=(str(first["dataset"]), str(first["image_size"])),
        config=first["config"],
        settings=dict(zip(settings["whole"], settings["config"], strict=True)),
        setting=first["suite_setting"],
        trials=shown,
        scores=scores,
        failed=failed,
        newest=int(first["newest"]),
    )
