"""How settings of two results folders differ, and whether that is better, worse, or cannot be judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd

from gan_bench.config.design import Design, Look
from gan_bench.config.measures import COLLAPSED, MEASURES, measures_with, primary_measure
from gan_bench.core.text import plural, printable
from gan_bench.records.reader import StoredTrial
from gan_bench.report.findings.pairs import Paired, paired
from gan_bench.report.study.frame import group_key
from gan_bench.report.study.looks import repeated_p
from gan_bench.report.study.stats import ALPHA, FARTHEST, coincidence, holm
from gan_bench.report.study.study import Scored, Study, values_of
from gan_bench.report.study.table import Column, arrow, number, put_interval

TOLERANCE = 0.2
"""Relative change of the primary score that is always tolerated where a test cannot decide."""
GROSS = 1.0
"""Relative change that is judged even when nothing is known of the spread over seeds: a factor of two."""
REACH = 2.0
"""Standard errors of a difference between two runs of the same trials that the default tolerance allows."""
SETTING_COLUMNS = (
    Column("study", "study"),
    Column("setting", "setting", vital=True),
    Column("metric", "score", vital=True),
    Column("protocol", "protocol"),
    Column("old", "old mean", "number"),
    Column("new", "new mean", "number"),
    Column("ratio", "new / old", "range", vital=True),
    Column("difference", "new - old", "interval"),
    Column("seeds", "seeds", "count"),
    Column("corrected", "p (Holm)", "p"),
    Column("tolerance", "tolerance", "share"),
    Column("verdict", "verdict", vital=True),
    Column("why", "why"),
)


Studies = dict[tuple[str, ...], Study]


def matched(before: Studies, after: Studies) -> Iterator[tuple[Study, Study, pd.DataFrame]]:
    """Yield the studies that both folders have, with the older trials and what the newer folder has of them."""
    for place in sorted(before.keys() & after.keys()):
        old, new = newest(before[place]), newest(after[place])
        yield before[place], after[place], old.merge(new, "left", ["setting_key", "seed"], suffixes=("_old", "_new"))


def newest(study: Study) -> pd.DataFrame:
    """Return a study's trials, of several versions of the suite those of the last."""
    same = [group_key(config, ("suite_version",)) for config in study.trials["config"]]
    newest = study.trials.assign(setting_key=same).sort_values("suite_version", kind="stable")
    return newest.drop_duplicates(["setting_key", "seed"], keep="last")


def setting_changes(before: Studies, after: Studies, tolerance: float | None) -> list[dict[str, Any]]:
    """Compare every setting that both folders have scores of, measure by measure.

    Args:
        before: The older folder's studies.
        after: The newer folder's.
        tolerance: As in ``gan_bench.report.compare.comparison.compare``.

    Returns:
        Rows for ``SETTING_COLUMNS``; ``verdict`` is identical, within tolerance, better, worse or cannot judge, and
        of the exploratory measures exploratory or no change.
    """
    rows = list(_compared(before, after, tolerance))
    tested = [row for row in rows if row["tested"]]
    for row, p in zip(tested, holm([row["repeated"](row["pair"].p) for row in tested]), strict=True):
        row["corrected"] = p
    for row in rows:
        row["verdict"], row["why"] = _judge(row, len(tested))
        del row["repeated"]
        pair: Paired | None = row.pop("pair")
        put_interval(row, "ratio", pair.shown if pair and pair.ratio else None)
        put_interval(row, "difference", pair.shown if pair and not pair.ratio else None)
    return rows


def _compared(before: Studies, after: Studies, tolerance: float | None) -> Iterator[dict[str, Any]]:
    primary = primary_measure()
    for old, new, both in matched(before, after):
        for earlier in old.scored:
            protocol = earlier.protocol
            later = Scored(new, protocol)
            scores, spread = (earlier.final(), later.final()), _spread(earlier)
            for metric in [m for m in old.shown(measures_with("compared")) if m in new.metrics or m == primary]:
                noise = max(earlier.measurement_sd(metric), later.measurement_sd(metric))
                for _, members in both.groupby("setting_key", sort=False):
                    a, b = members["trial_old"].map(scores[0][metric]), members["trial_new"].map(scores[1][metric])
                    known = a.notna() & b.notna()
                    gone = int((a.notna() & b.isna() & (members["status_new"] == "done")).sum())
                    if metric == primary and gone:
                        yield _lost_scores(earlier, members, metric, gone)
                    if not known.any():
                        continue
                    there = members["seed"][members["status_new"].notna()]
                    designs = old.design.of(set(members["seed"])), new.design.of(set(there))
                    look = _look(*designs, members["seed"][known])
                    if look.number:
                        known &= members["seed"].isin(look.seeds)
                    pair = paired(metric, a[known], b[known])
                    same = not pair.values.any()
                    row = {
                        "study": old.title,
                        "setting": members["label_old"].iloc[0],
                        "protocol": protocol,
                        "key": metric,
                        "metric": arrow(metric),
                        "old": float(a[known].mean()),
                        "new": float(b[known].mean()),
                        "seeds": int(known.sum()),
                        "pair": pair,
                        "noise": noise,
                        "repeated": partial(_repeated, designs[0], look) if look.number else None,
                        "tested": metric == primary and not same and int(known.sum()) > 1 and look.number > 0,
                        "corrected": None,
                        "tolerance": None,
                        "certain": True,
                        "always": "",
                        "untested": _untested(old.design, new.design, look),
                    }
                    if metric == primary:
                        row["tolerance"], row["certain"] = _tolerance(tolerance, spread, noise, int(known.sum()))
                        row["always"] = _always_worse(earlier, later, members[known])
                    yield row


def _look(old: Design, new: Design, shared: pd.Series[int]) -> Look:
    """Return the look that a setting's shared seeds come to; none where seeds were added that were not declared."""
    seeds = {int(seed) for seed in shared}
    if old.extended or new.extended:
        return Look(seeds=(), number=0, next=None)
    if not old.is_fixed:
        return old.at(seeds)
    both = [seed for seed in old.seeds if seed in new.seeds]
    return Design.fixed(both).at(seeds) if both else Look(seeds=(), number=0, next=None)


def _untested(old: Design, new: Design, look: Look) -> str:
    """Return why no test decides."""
    if old.extended or new.extended:
        return "no test, as not all seeds are known to have been declared"
    return "too few seeds for a test" if look.number else "no test before all seeds of the next look have ended"


def _repeated(design: Design, look: Look, p: float) -> float:
    """Return a p value that allows for the looks of a design."""
    return p if design.is_fixed else repeated_p(design.looks, look.number, p)


def _lost_scores(scored: Scored, members: pd.DataFrame, metric: str, gone: int) -> dict[str, object]:
    """Make the row of a setting whose trials are done and have scores no more."""
    return {
        "study": scored.study.title,
        "setting": members["label_old"].iloc[0],
        "protocol": scored.protocol,
        "key": metric,
        "metric": arrow(metric),
        "old": None,
        "new": None,
        "seeds": gone,
        "pair": None,
        "repeated": None,
        "noise": 0.0,
        "tested": False,
        "corrected": None,
        "tolerance": None,
        "certain": True,
        "always": f"{plural(gone, 'score')} of {len(members)} gone, though the trials are done",
    }


def _spread(scored: Scored) -> float | None:
    """Return the standard deviation of a log primary score over seeds, pooled over settings; None without any."""
    final, squares, degrees = scored.final()[primary_measure()], 0.0, 0
    for _, done in scored.study.settings():
        values = done["trial"].map(final).dropna().astype(float)
        if len(values) > 1 and (values > 0).all():
            logs = values.map(math.log)
            squares, degrees = squares + float(((logs - logs.mean()) ** 2).sum()), degrees + len(logs) - 1
    return math.sqrt(squares / degrees) if degrees else None


def _tolerance(asked: float | None, spread: float | None, noise: float, seeds: int) -> tuple[float, bool]:
    """Return the relative change that is tolerated, and whether what exceeds it is certainly no chance."""
    if asked is not None:
        return asked, True
    error = math.sqrt((spread or 0.0) ** 2 + noise**2) * math.sqrt(2 / seeds)
    return max(TOLERANCE, math.expm1(min(REACH * error, FARTHEST))), spread is not None


def _always_worse(old: Scored, new: Scored, members: pd.DataFrame) -> str:
    """Return why a setting is worse without a test: no better than untrained, or newly collapsed; else nothing."""
    primary = primary_measure()
    recipe = str(members["recipe_old"].iloc[0])
    untrained = new.untrained(primary, recipe) or old.untrained(primary, recipe)
    before = values_of(members.rename(columns={"trial_old": "trial"}), old.final(), primary).mean()
    after = values_of(members.rename(columns={"trial_new": "trial"}), new.final(), primary).mean()
    if untrained is not None and before < untrained <= after:
        return f"no better than untrained generators ({number(untrained)})"
    if COLLAPSED in old.study.metrics and COLLAPSED in new.study.metrics:
        flags = [
            int((values_of(members.rename(columns={column: "trial"}), scored.final(), COLLAPSED) > 0).sum())
            for column, scored in (("trial_old", old), ("trial_new", new))
        ]
        if flags[1] > flags[0]:
            return f"{flags[1]} of {len(members)} generators collapsed, {flags[0]} before"
    return ""


def _judge(row: Mapping[str, Any], tests: int) -> tuple[str, str]:
    """Return a setting's verdict, and why."""
    pair: Paired | None = row["pair"]
    if pair is None:
        return "worse", row["always"]
    if not pair.values.any():
        return "identical", ""
    bad = (pair.interval.estimate > 0) == MEASURES[pair.metric].lower_is_better
    way = "worse" if bad else "better"
    beyond_noise = abs(pair.interval.estimate) > row["noise"]
    if row["key"] != primary_measure():
        return ("exploratory", way) if pair.p <= ALPHA and beyond_noise else ("no change", "")
    if row["always"]:
        return "worse", row["always"]
    if row["corrected"] is not None and row["corrected"] <= ALPHA and beyond_noise:
        return way, "decided by the test"
    return _judge_by_tolerance(row, pair, way, tests)


def _judge_by_tolerance(row: Mapping[str, Any], pair: Paired, way: str, tests: int) -> tuple[str, str]:
    """Return the verdict of a change that no test decides."""
    change = (
        math.expm1(min(abs(pair.interval.estimate), FARTHEST))
        if pair.ratio
        else abs(pair.interval.estimate) / max(abs(pair.first), 1e-12)
    )
    if change <= row["tolerance"]:
        return "within tolerance", ""
    if row["repeated"] and row["repeated"](float(coincidence(row["seeds"]))) * max(tests, 1) <= ALPHA:
        return "cannot judge", "beyond the tolerance, and the test does not decide"
    if row["certain"] or change > GROSS:
        return way, f"beyond the tolerance of {row['tolerance']:.0%}; {row['untested']}"
    return "cannot judge", f"{row['untested']}, and nothing is known of the spread over seeds"


def sentence(row: Mapping[str, Any]) -> str:
    """Return a setting's verdict as a sentence."""
    seeds = plural(row["seeds"], "seed")
    if row["old"] is None:
        return f"{row['study']}: {row['setting']}: {row['metric']} ({row['protocol']}): {row['why']}"
    change = f"{row['metric']} {number(row['old'])} -> {number(row['new'])}"
    return f"{row['study']}: {row['setting']}: {change} ({seeds}, {row['protocol']}): {row['why']}"


_WATCHED = ("gan_bench", "git_commit", "python", "device_name", "engine", "threads")


def differences_of(before: Mapping[str, StoredTrial], after: Mapping[str, StoredTrial]) -> Iterator[str]:
    """List the conditions that differ between the trials that both folders have.

    Args:
        before: Trials by what makes them the same trial.
        after: The newer ones.
    """
    shared = [(before[key], after[key]) for key in before if key in after]
    for key in _WATCHED:
        yield from _changed(key, [(o.environment.get(key), n.environment.get(key)) for o, n in shared])
    names = {name for pair in shared for item in pair for name in item.environment.get("libraries", {})}
    for name in sorted(names):
        found = [tuple(item.environment.get("libraries", {}).get(name) for item in pair) for pair in shared]
        yield from _changed(name, found)
    for key, what, field_ in (("data_sha256", "training images", "dataset"), ("networks_sha256", "networks", "recipe")):
        of = {
            str(o.trial["config"][field_])
            for o, n in shared
            if None not in (a := o.environment.get(key), b := n.environment.get(key)) and a != b
        }
        for name in sorted(of):
            yield f"{what} of {printable(name)} differ"


def _changed(what: str, pairs: list[tuple[Any, ...]]) -> Iterator[str]:
    changes = Counter((str(a), str(b)) for a, b in pairs if a != b and None not in (a, b))
    for (a, b), count in changes.most_common(1):
        others = len(changes) - 1
        more = f" and {plural(others, 'other change')}" if others else ""
        yield f"{what}: {printable(a)[:40]} -> {printable(b)[:40]} in {count} of {plural(len(pairs), 'trial')}{more}"
