"""Two results folders, trial by trial and setting by setting: what became better or worse beyond noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gan_bench.errors import UserError
from gan_bench.report.frame import build_frames, group_key
from gan_bench.report.stats import differences, mean_interval, verdict_of
from gan_bench.report.study import Study, studies
from gan_bench.report.table import Column, Table, arrow, put
from gan_bench.scores import MEASURES
from gan_bench.store import StoredTrial, earlier, read_anchors, scan

JUDGED = ("fid", "kid", "is")
_ONE_SEED = 3.0
"""With one seed there is no interval: a difference counts when it exceeds so many standard deviations of scoring."""

TRIAL_COLUMNS = (
    Column("study", "study"),
    Column("name", "trial"),
    Column("old_status", "old"),
    Column("new_status", "new"),
    Column("verdict", "verdict"),
)
SETTING_COLUMNS = (
    Column("study", "study"),
    Column("setting", "setting"),
    Column("metric", "score"),
    Column("protocol", "protocol"),
    Column("old", "old mean", "number"),
    Column("new", "new mean", "number"),
    Column("difference", "new - old", "interval"),
    Column("seeds", "seeds", "count"),
    Column("verdict", "verdict"),
)


@dataclass(frozen=True)
class Comparison:
    """What became of the trials and settings of an older results folder.

    Attributes:
        tables: Trials whose end changed, and every setting that both have scores of.
        worse: One sentence for everything that got worse beyond noise.
    """

    tables: list[Table]
    worse: list[str]


def compare(old: Path, new: Path) -> Comparison:
    """Compare two results folders.

    Trials are the same by suite, profile, and config without the suite's version. A setting got worse when the 95 %
    interval of its paired difference over equal seeds leaves out zero on the bad side and the difference exceeds the
    noise of scoring; with one seed, when it exceeds three standard deviations of that noise. A trial got worse when
    it was done and now diverges or fails.

    Raises:
        UserError: One of them is no results folder, or they have no trial in common.
    """
    before, after = _load(old), _load(new)
    trials = list(_trials(before, after))
    if not trials:
        raise UserError(f"{old} and {new} have no trial in common; compare results of the same suites")
    settings = list(_settings(before, after))
    changed = [row for row in trials if row["verdict"]]
    tables = []
    if changed:
        note = f"{len(trials)} trials are planned in both."
        tables.append(Table("changes", "trials that ended otherwise", TRIAL_COLUMNS, pd.DataFrame(changed), note))
    if settings:
        note = "Paired over equal seeds; identical: the same values to the bit."
        tables.append(Table("settings", "settings", SETTING_COLUMNS, pd.DataFrame(settings), note))
    worse = [f"{r['study']}: {r['name']}: {r['old_status']} -> {r['new_status']}" for r in changed if r["worse"]]
    worse += [
        f"{r['study']}: {r['setting']}: {r['metric']} {r['old']:.4g} -> {r['new']:.4g} ({r['protocol']})"
        for r in settings
        if r["verdict"] == "worse"
    ]
    return Comparison(tables, worse)


def _load(results: Path) -> dict[tuple[str, ...], Study]:
    trials = [item for item in scan(earlier(results), steps=False) if isinstance(item, StoredTrial)]
    if not trials:
        raise UserError(f"{results} holds no trial records; name the results folder of an earlier run")
    found = studies(build_frames(trials), read_anchors(results))
    return {(s.suite, s.profile, s.dataset, str(s.image_size)): s for s in found}


def _pairs(
    before: dict[tuple[str, ...], Study], after: dict[tuple[str, ...], Study]
) -> Iterator[tuple[Study, Study, pd.DataFrame]]:
    """Yield the studies that both have, with the trials that both have."""
    for place in sorted(before.keys() & after.keys()):
        sides = []
        for study in (before[place], after[place]):
            same = [group_key(config, ("suite_version",)) for config in study.trials["config"]]
            newest = study.trials.assign(setting_key=same).sort_values("suite_version", kind="stable")
            sides.append(newest.drop_duplicates(["setting_key", "seed"], keep="last"))
        both = sides[0].merge(sides[1], on=["setting_key", "seed"], suffixes=("_old", "_new"))
        yield before[place], after[place], both


def _trials(before: dict[tuple[str, ...], Study], after: dict[tuple[str, ...], Study]) -> Iterator[dict[str, Any]]:
    for study, _, both in _pairs(before, after):
        for _, row in both.iterrows():
            old, new = row["status_old"], row["status_new"]
            worse = old == "done" and new in ("diverged", "failed")
            better = new == "done" and old in ("diverged", "failed")
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
            for metric in [m for m in old.shown(JUDGED) if m in new.metrics]:
                noise = max(old.noise(protocol, metric), new.noise(protocol, metric))
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
    elif (found := verdict_of(interval, noise)) == "one seed":
        beyond = noise > 0 and abs(interval.mean) > _ONE_SEED * noise
        verdict = (
            ("worse" if bad else "better") if beyond else "one seed: within noise" if noise else "one seed: unknown"
        )
    elif found in ("tie", "undecided"):
        verdict = "within noise"
    else:
        verdict = "worse" if bad else "better"
    return {**row, "verdict": verdict}
