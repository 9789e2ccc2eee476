"""Settings of a results folder with their trials, scores and lost seeds, by data and suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench.config.measures import COLLAPSED, primary_measure
from gan_bench.config.trial import setting_key
from gan_bench.core.canonical import canonical_json
from gan_bench.core.text import printable
from gan_bench.records.reader import StoredTrial
from gan_bench.report.study.frame import BAD, build_frames

UNMATCHED = ("suite", "suite_version", "profile", "evaluation", "epochs")
"""Fields in which equal trainings may differ: suite, evaluations and length."""
SuiteProfile = tuple[str, str]
"""Suite and profile."""
Data = tuple[str, str]
"""Dataset, and the size of its images."""
_SETTING = ["key", "dataset", "image_size", "suite", "profile"]
"""Columns whose values are those of a setting of a suite."""


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
    """

    study: str
    data: Data
    config: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    setting: str
    trials: pd.DataFrame
    scores: pd.DataFrame
    failed: set[int]

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
        """Return how many generators collapsed at an epoch; None if none is known to and some were not checked."""
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
class Sides:
    """The trials of a suite's setting in a folder, by protocol.

    Attributes:
        scored: Its trials by the protocol they were scored under.
        lost: What there is of one without any score, all of whose trials failed or diverged.
    """

    scored: Mapping[str, ScoredSetting]
    lost: ScoredSetting | None


BySetting = dict[Data, dict[SuiteProfile, Sides]]
"""A setting by data, and by suite and profile."""


def by_setting(trials: Iterable[StoredTrial], names: tuple[str, ...]) -> dict[str, BySetting]:
    """Collect primary scores of done trials and lost seeds, by setting, data and study."""
    frames = build_frames(trials)
    whole = frames.trials["config"].map(lambda config: setting_key(config, UNMATCHED))
    named = frames.trials["config"].map(lambda config: canonical_json({each: config[each] for each in names}))
    rows = frames.trials.assign(whole=whole, key=named if names else whole)
    scores = frames.scores[frames.scores["metric"] == primary_measure()].sort_values("epoch", kind="stable")
    scores = scores[["trial", "protocol", "epoch", "value"]].merge(rows, on="trial", suffixes=("", "_of_trial"))
    scores = scores[scores["status"] == "done"]
    every, scored = (each.assign(average=each["protocol"].str.endswith(",ema")) for each in (frames.scores, scores))
    # collapse is a property of a generator or its average, the same under all protocols
    of = ["trial", "epoch", "average"]
    collapses = every[every["metric"] == COLLAPSED].groupby(of)["value"].max()
    looked = pd.MultiIndex.from_frame(scored[of])
    scores = scores.assign(collapsed=collapses.reindex(looked).to_numpy(dtype=float))
    by_setting = dict(iter(scores.groupby(_SETTING)))
    found = dict[str, BySetting]()
    for at, mine in rows.groupby(_SETTING, sort=True):
        sides = _sides(mine, by_setting.get(at, scores.iloc[:0]))
        if sides.scored or sides.lost:
            key, dataset, size, suite, profile = map(str, at)
            found.setdefault(key, {}).setdefault((dataset, size), {})[(suite, profile)] = sides
    return found


def _sides(trials: pd.DataFrame, scores: pd.DataFrame) -> Sides:
    """Make the sides of a setting from its trials and the scores of those that are done."""
    done, failed = trials[trials["status"] == "done"], trials[trials["status"].isin(BAD)]
    scored = dict[str, ScoredSetting]()
    for protocol, every in scores.groupby("protocol", sort=False):
        trained = every[every["epoch"] > 0]
        shown = done[done["trial"].isin(trained["trial"])]
        scored[str(protocol)] = _scored_setting(every, shown, trained, set(failed["seed"]))
    is_lost = not scored and len(failed) > 0
    lost = _scored_setting(failed, failed, scores.iloc[:0], set(failed["seed"])) if is_lost else None
    return Sides(scored, lost)


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
    )
