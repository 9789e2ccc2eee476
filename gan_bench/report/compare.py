"""Two results folders, trial by trial and setting by setting: what became better or worse beyond noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gan_bench.config.measures import MEASURES, measures_with
from gan_bench.core.errors import UserError
from gan_bench.records.reader import StoredTrial, existing, scan
from gan_bench.records.shared import read_baselines
from gan_bench.report.frame import build_frames, group_key
from gan_bench.report.stats import differences, mean_interval, verdict_of
from gan_bench.report.study import Study, studies
from gan_bench.report.table import Column, Table, arrow, put

MISSING = "missing"
_NAMED = 5
"""Missing trials that are named; the table has them all."""

TRIAL_COLUMNS = (
    Column("study", "study"),
    Column("name", "trial", vital=True),
    Column("old_status", "old", vital=True),
    Column("new_status", "new", vital=True),
    Column("verdict", "verdict", vital=True),
)
_OLD = {"name": "name_old", "status": "status_old"}
SETTING_COLUMNS = (
    Column("study", "study"),
    Column("setting", "setting", vital=True),
    Column("metric", "score", vital=True),
    Column("protocol", "protocol"),
    Column("old", "old mean", "number"),
    Column("new", "new mean", "number"),
    Column("difference", "new - old", "interval", vital=True),
    Column("seeds", "seeds", "count"),
    Column("verdict", "verdict", vital=True),
)


@dataclass(frozen=True)
class Comparison:
    """What became of the trials and settings of an older results folder.

    Attributes:
        tables: Trials whose end changed, and every setting that both have scores of.
        worse: One sentence for everything that got worse beyond noise or is gone.
    """

    tables: list[Table]
    worse: list[str]


def compare(old: Path, new: Path) -> Comparison:
    """Compare two results folders.

    Trials are the same by suite, profile, and config without the suite's version. A setting got worse when the 95 %
    interval of its paired difference over equal seeds excludes zero on the bad side and the difference exceeds the
    noise of scoring; one seed cannot say, because seeds differ by far more than that noise. A trial got worse when it
    was done and now is anything else: diverged, failed, not run or not there.

    Raises:
        UserError: One of them is no results folder, or they have no trial in common.
    """
    before, after = _load(old), _load(new)
    trials = list(_trials(before, after))
    common = sum(row["new_status"] != MISSING for row in trials)
    if not common:
        raise UserError(f"{old} and {new} have no trial in common; compare results of the same suites")
    settings = list(_settings(before, after))
    changed = [row for row in trials if row["verdict"]]
    tables = []
    if changed:
        note = f"{common} of {len(trials)} trials are planned in both."
        tables.append(Table("changes", "trials that ended otherwise", TRIAL_COLUMNS, pd.DataFrame(changed), note))
    if settings:
        note = "Paired over equal seeds; identical: the same values to the bit."
        tables.append(Table("settings", "settings", SETTING_COLUMNS, pd.DataFrame(settings), note))
    lost = [row["name"] for row in changed if row["worse"] and row["new_status"] == MISSING]
    worse = [
        f"{r['study']}: {r['name']}: {r['old_status']} -> {r['new_status']}"
        for r in changed
        if r["worse"] and r["new_status"] != MISSING
    ]
    if lost:
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        worse.append(f"{len(lost)} trials that were done are missing: {', '.join(lost[:_NAMED])}{more}")
    worse += [
        f"{r['study']}: {r['setting']}: {r['metric']} {r['old']:.4g} -> {r['new']:.4g} ({r['protocol']})"
        for r in settings
        if r["verdict"] == "worse"
    ]
    return Comparison(tables, worse)


def _load(results: Path) -> dict[tuple[str, ...], Study]:
    trials = [item for item in scan(existing(results), steps=False) if isinstance(item, StoredTrial)]
    if not trials:
        raise UserError(f"{results} holds no trial records; name the results folder of an earlier run")
    found = studies(build_frames(trials), read_baselines(results))
    return {(s.suite, s.profile, s.dataset, str(s.image_size)): s for s in found}


def _pairs(
    before: dict[tuple[str, ...], Study], after: dict[tuple[str, ...], Study]
) -> Iterator[tuple[Study, Study, pd.DataFrame]]:
    """Yield the studies that both have, with the older trials and what the newer folder has of them."""
    for place in sorted(before.keys() & after.keys()):
        old, new = _newest(before[place]), _newest(after[place])
        yield before[place], after[place], old.merge(new, "left", ["setting_key", "seed"], suffixes=("_old", "_new"))


def _newest(study: Study) -> pd.DataFrame:
    """Return a study's trials, of several versions of the suite those of the last."""
    same = [group_key(config, ("suite_version",)) for config in study.trials["config"]]
    newest = study.trials.assign(setting_key=same).sort_values("suite_version", kind="stable")
    return newest.drop_duplicates(["setting_key", "seed"], keep="last")


def _trials(before: dict[tuple[str, ...], Study], after: dict[tuple[str, ...], Study]) -> Iterator[dict[str, Any]]:
    gone = [(before[place], _newest(before[place])) for place in sorted(before.keys() - after.keys())]
    absent = [(study, frame.rename(columns=_OLD).assign(status_new=MISSING)) for study, frame in gone]
    for study, both in [*((study, both) for study, _, both in _pairs(before, after)), *absent]:
        for _, row in both.fillna({"status_new": MISSING}).iterrows():
            old, new = row["status_old"], row["status_new"]
            worse = old == "done" != new
            better = new == "done" != old
            verdict = "worse" if worse else "better" if better else "" if old == new else "other"
            yield {
                "study": study.title,
                "name": row["name_old"],
                "old_status": old,
                "new_status": new,
                "worse": worse,
                "verdict": verdict,
            }


def _settings(before: dict[tuple[str, ...], Study], after: dict[tuple[str, ...], Study]) -> Iterator[dict[str, Any]]:
    for old, new, both in _pairs(before, after):
        for protocol in [p for p in old.protocols if p in new.protocols]:
            scores = old.final(protocol), new.final(protocol)
            for metric in [m for m in old.shown(measures_with("compared")) if m in new.metrics]:
                noise = max(old.measurement_sd(protocol, metric), new.measurement_sd(protocol, metric))
                for _, members in both.groupby("setting_key", sort=False):
                    a = members["trial_old"].map(scores[0][metric])
                    b = members["trial_new"].map(scores[1][metric])
                    known = a.notna() & b.notna()
                    if known.any():
                        row = _judge(a[known], b[known], metric, noise)
                        setting = members["label_old"].iloc[0]
                        yield {"study": old.title, "setting": setting, "protocol": protocol, **row}


def _judge(old: pd.Series[Any], new: pd.Series[Any], metric: str, noise: float) -> dict[str, Any]:
    gaps = differences(old, new)
    interval = mean_interval(gaps)
    row: dict[str, Any] = {"metric": arrow(metric), "old": old.mean(), "new": new.mean(), "seeds": len(gaps)}
    put(row, "difference", interval)
    bad = (interval.mean > 0) == MEASURES[metric].lower_is_better
    if not gaps.any():
        verdict = "identical"
    else:
        words = {"one seed": "one seed: undecided", "tie": "within noise", "undecided": "undecided"}
        verdict = words.get(verdict_of(interval, noise), "worse" if bad else "better")
    return {**row, "verdict": verdict}
