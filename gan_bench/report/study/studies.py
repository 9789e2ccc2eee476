"""A results folder -> its studies: comparable trials, by suite, profile, dataset and size."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gan_bench.records.folders import existing, scan
from gan_bench.records.plan import Suites, declare_foreign_measures, read_suites
from gan_bench.records.reader import StoredTrial
from gan_bench.report.study.frame import WITHDRAWN, Frames, build_frames
from gan_bench.report.study.study import Study

_PLACE = ["suite", "profile", "dataset", "image_size"]


def studies(frames: Frames, suites: Suites) -> list[Study]:
    """Split frames into studies, each of one profile, dataset and version of a suite.

    Trials of another version of a suite than its plan's, or where that is not known than the newest, make a study of
    their own: nothing trains them any more.

    Args:
        frames: What ``build_frames`` made of the records.
        suites: What is known of their suites besides.
    """
    is_withdrawn = frames.trials["status"] == WITHDRAWN
    everything, withdrawn = frames.trials[~is_withdrawn], frames.trials[is_withdrawn]
    if everything.empty:
        return []
    found, together = [], everything.groupby(["suite", "profile"])
    outdated = _outdated(everything, suites)
    for (suite, profile, *_, older), trials in everything.groupby([*_PLACE, outdated], sort=True):
        others = together.get_group((suite, profile)).drop(trials.index)
        others = others[outdated[others.index] == older]
        found.append(Study(trials, frames, suites, others, int(str(older)) or None))
    _add_withdrawn(found, withdrawn)
    for study in found:
        is_whole = (everything["suite"] == study.suite) & (everything["profile"] == "full")
        study.whole = everything[is_whole & (outdated == (study.outdated or 0))]
    return found


def _add_withdrawn(found: list[Study], withdrawn: pd.DataFrame) -> None:
    """Add trials that are no longer planned to the study of their settings, so that all are rows.

    Where there is none, they go to that of their suite and profile of which most trials are finished.
    """
    for (suite, profile), rows in withdrawn.assign(label=withdrawn["suite_setting"]).groupby(["suite", "profile"]):
        beside = [each for each in found if (each.suite, each.profile, each.outdated) == (suite, profile, None)]
        strays = rows
        for study in beside:
            is_own = (rows["dataset"] == study.dataset) & (rows["image_size"] == study.image_size)
            study.withdrawn, strays = rows[is_own], strays[~is_own[strays.index]]
        if beside and len(strays):
            sizes = strays["image_size"].map("{0}x{0}".format)
            strays = strays.assign(reason="of the dataset " + strays["dataset"] + ", " + sizes)
            most = max(beside, key=lambda each: int((each.trials["status"] == "done").sum()))
            most.withdrawn = pd.concat([most.withdrawn, strays])


def _outdated(trials: pd.DataFrame, suites: Suites) -> pd.Series[int]:
    """Return the version of trials of a version that is not run any more, and 0 for all others."""
    version, newest = trials["suite_version"], trials.groupby("suite")["suite_version"].transform("max")
    run = trials["suite"].map(suites.versions).fillna(newest)
    return version.where(version != run, 0).rename("outdated")


def read_studies(results: Path, *, history: bool = False) -> tuple[list[StoredTrial], list[Study]]:
    """Read the studies of a results folder.

    Args:
        results: The results folder.
        history: Whether histories are read, and held against their digests.

    Returns:
        The trials that were found, and their studies.

    Raises:
        UserError: There is no such folder.
    """
    declare_foreign_measures(existing(results))
    found = [item for item in scan(results, steps=False, history=history) if isinstance(item, StoredTrial)]
    return found, studies(build_frames(found), read_suites(results))
