"""The same settings trained twice, on other machines or in other suites: equivalent, different, or undecided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench.config.design import MARGIN
from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.config.mistakes import field_hint
from gan_bench.config.naming import plain
from gan_bench.config.trial import BOTH, TrialConfig
from gan_bench.core.errors import UserError
from gan_bench.core.text import as_typed, printable
from gan_bench.records.reader import StoredTrial
from gan_bench.report.compare.scored_settings import UNMATCHED, BySetting, ScoredSetting, Sides, by_setting
from gan_bench.report.compare.welch import Welch, judged_together, welch
from gan_bench.report.study.frame import images_changed
from gan_bench.report.study.stats import ALPHA, FEW, Interval, ratio_of
from gan_bench.report.study.table import Column, Table, put_interval

EXACT, SETTINGS, AUTO = "trials", "settings", "auto"
"""Ways of matching: equal trials of equal suites; settings; the first if there are any, else the second."""
_NAMED = 3
"""Fields that an error suggests."""


def same_settings(
    before: Iterable[StoredTrial],
    after: Iterable[StoredTrial],
    margin: float = MARGIN,
    fields: Sequence[str] = (),
) -> list[dict[str, object]]:
    """Compare the primary scores of common settings at their last common epoch.

    Settings are the same when everything of their configs is but ``UNMATCHED``: a shorter training is the exact
    beginning of a longer one. Where fields are named, settings are the same when these are, and what else differs is
    listed; without a common epoch their last ones are compared. Seeds of two machines draw different noise, so they
    are not paired. Scores are compared under the same protocol only. No mean is over two suites.

    Args:
        before: Trials of one folder, also planned ones, of one version of each suite.
        after: Trials of the other.
        margin: Largest relative difference that counts as none.
        fields: Names of fields, as suites have them; none for all but ``UNMATCHED``.

    Raises:
        UserError: A field is unknown, or a folder has several settings that are equal in the named fields.

    Returns:
        One row per setting, protocol and study of either side: the setting's number, recipe, epoch, protocol, both
        sides' geometric mean and numbers of scored and lost seeds, the ratio of these means with its 95 % interval, the
        judgement, and what differs. A setting all of whose seeds one side lost has a row too.
    """
    names = _expanded(fields)
    first, second = by_setting(before, names), by_setting(after, names)
    compared = [
        (key, *each)
        for key in sorted(first.keys() & second.keys())
        for each in _comparisons(first[key], second[key], margin, fields)
    ]
    _judge([row for *_, row in compared])
    _check_told_apart([((key, protocol), old) for key, protocol, old, _, _ in compared], names, "older")
    _check_told_apart([((key, protocol), new) for key, protocol, _, new, _ in compared], names, "newer")
    groups, numbers = dict[tuple[str, str], list[dict[str, object]]](), dict[object, int]()
    for key, protocol, old, new, row in compared:
        number = numbers.setdefault((key, old.data, new.data), len(numbers) + 1)
        groups.setdefault((key, protocol), []).append(row | {"number": number})
    is_once = all(len(rows) < 2 for rows in groups.values())  # then the differences name the suites
    return [row | {"studies": ""} if is_once else row for of in sorted(groups) for row in groups[of]]


def _judge(rows: Sequence[dict[str, object]]) -> None:
    """Write verdicts and corrected p values into rows that have a comparison."""
    tests = [(row, each) for row in rows if isinstance(each := row.pop("welch"), Welch)]
    collapsed = [bool(row["old_collapsed"] or row["new_collapsed"]) for row, _ in tests]
    found = [each for _, each in tests]
    by_scores, verdicts = judged_together(found), judged_together(found, collapsed=collapsed)
    for row in rows:
        row |= {"verdict": "not judged", "corrected": None, "withheld": False}
    for (row, _), (of_scores, _), (verdict, corrected) in zip(tests, by_scores, verdicts, strict=True):
        row |= {"verdict": verdict, "corrected": corrected, "withheld": verdict != of_scores}


def _comparisons(
    olds: BySetting, news: BySetting, margin: float, fields: Sequence[str]
) -> Iterator[tuple[str, ScoredSetting, ScoredSetting, dict[str, object]]]:
    """Yield what can be compared of a setting: protocol, sides and row."""
    for old_data, new_data in _paired(olds, news):
        is_own = old_data == new_data or not olds.keys() & news.keys()
        for old_place, new_place in _paired(olds[old_data], news[new_data]):
            for each in _common(olds[old_data][old_place], news[new_data][new_place], lost=is_own):
                if row := _row(*each, margin, fields):
                    yield *each, row


def _common(old: Sides, new: Sides, *, lost: bool) -> Iterator[tuple[str, ScoredSetting, ScoredSetting]]:
    """Yield the protocols of a setting with both sides; a side that lost all seeds counts under each."""
    for protocol in sorted(old.scored.keys() | new.scored.keys()):
        one, other = (each.scored.get(protocol) or (each.lost if lost else None) for each in (old, new))
        if one and other:
            yield protocol, one, other


def _paired(
    olds: Iterable[tuple[str, str]], news: Iterable[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Yield pairs of keys of both sides: equal ones, and unmatched ones with all of the other side."""
    first, second = sorted(olds), sorted(news)
    return ((a, b) for a, b in product(first, second) if a == b or a not in second or b not in first)


def _row(
    protocol: str, old: ScoredSetting, new: ScoredSetting, margin: float, fields: Sequence[str]
) -> dict[str, object] | None:
    """Compare two sides of a setting; None if they have no common score."""
    shared = old.epochs & new.epochs
    if old.scores.empty and new.scores.empty:  # lost on both sides
        return None
    is_lost = any(side.lost and not side.epochs for side in (old, new))
    if not shared and not is_lost and not (fields and old.epochs and new.epochs):  # a last score may be missing
        return None
    ends = [_last_common(old, new, shared)] * 2 if shared else [max(each.epochs, default=0) for each in (old, new)]
    values = [side.at(end)[0] for side, end in zip((old, new), ends, strict=True)]
    dataset = printable(str(old.config["dataset"]))
    is_changed = images_changed(old.trials["made_of"], new.trials["made_of"])
    images = f"training images of {dataset} differ" if is_changed else ""
    apart = [images] * bool(images) + ([] if shared or is_lost else [f"scored at epoch: {ends[0]} / {ends[1]}"])
    row: dict[str, object] = {
        "recipe": printable(str(old.config["recipe"])),
        "setting": _called(old, fields) + (", EMA of G" if protocol.endswith(",ema") else ""),
        "dataset": dataset,
        "images": images,
        "epochs": ends[0] if shared else max(ends) if is_lost else None,
        "protocol": protocol,
        "studies": f"{old.study} / {new.study}",
    }
    for name, side in zip(("old", "new"), values, strict=True):
        row |= {name: _mean(side), f"{name}_sd": _spread(side), f"{name}_n": len(side)}
    lost = [side.lost_at(end) for side, end in zip((old, new), ends, strict=True)]
    row |= {"old_lost": len(lost[0]), "new_lost": len(lost[1])}
    row["differs"] = "; ".join([*apart, *_differences(old, new, named=bool(fields))])
    row |= {"old_collapsed": old.collapsed_at(ends[0]), "new_collapsed": new.collapsed_at(ends[1])}
    interval, found = None, None
    judged = not images and not any(lost)  # the remaining seeds do not represent lost ones
    if judged and min(map(len, values)) > 1 and min(side.min() for side in values) > 0:
        found = welch(np.log(values[0]), np.log(values[1]), math.log1p(margin))
        interval = Interval(ratio_of(found.difference), ratio_of(found.low), ratio_of(found.high), FEW)
    put_interval(row, "ratio", interval)
    return row | {"welch": found}


def _last_common(old: ScoredSetting, new: ScoredSetting, shared: Iterable[int]) -> int:
    """Return the last common epoch with as many seeds as any; later epochs may have few."""
    seeds = {epoch: min(len(side.seeds_at(epoch) | side.failed) for side in (old, new)) for epoch in shared}
    return max(seeds, key=lambda epoch: (seeds[epoch], epoch))


def _mean(values: NDArray[np.float64]) -> float | None:
    """Return the geometric mean, which is 0 where a score is; None of no scores, and of scores below 0."""
    if not len(values) or values.min() < 0:
        return None
    first = values[0]  # makes the mean of equal scores exact
    return float(first * np.exp(np.log(values / first).mean())) if values.min() > 0 else 0.0


def _spread(values: NDArray[np.float64]) -> float | None:
    """Return the geometric standard deviation of scores above 0, a factor; None of fewer than two."""
    return float(np.exp(np.log(values).std(ddof=1))) if len(values) > 1 and values.min() > 0 else None


def _called(side: ScoredSetting, fields: Sequence[str]) -> str:
    """Return the label of a row: the setting's name, or its values of the named fields."""
    if not fields:
        return side.setting
    values = {name: dict.fromkeys(plain(side.config[each]) for each in BOTH.get(name, (name,))) for name in fields}
    return printable(", ".join(f"{name}={'/'.join(found)}" for name, found in values.items()))


def _expanded(fields: Sequence[str]) -> tuple[str, ...]:
    """Expand shorthands into fields of a config: ``lr`` is that of both networks.

    Raises:
        UserError: One is no field.
    """
    known = (*BOTH, *(field.name for field in dataclass_fields(TrialConfig) if field.name != "seed"))
    for name in fields:
        if name not in known:
            hint = field_hint(name, known)
            raise UserError(f'--match: "{as_typed(name)}" is neither trials, settings nor a field of trials ({hint})')
    return tuple(field for name in fields for field in BOTH.get(name, (name,)))


def _ambiguous(one: Mapping[str, object], other: Mapping[str, object], names: tuple[str, ...], which: str) -> UserError:
    """Return the error for settings that differ only in fields that were not named."""
    short = {field: name for name, both in BOTH.items() for field in both}
    differ = [
        short.get(field, field)
        for field in one
        if field not in ("seed", *UNMATCHED) and str(one[field]) != str(other[field])
    ]
    named = ",".join(dict.fromkeys(short.get(name, name) for name in names))
    more = ",".join([named, *list(dict.fromkeys(differ))[:_NAMED]])
    return UserError(
        f"the {which} folder has 2 settings that are equal in {named.replace(',', ', ')}; name what tells "
        f"them apart, --match {more}"
    )


def _check_told_apart(
    sides: Iterable[tuple[tuple[str, str], ScoredSetting]], names: tuple[str, ...], which: str
) -> None:
    """Check that the sides of a setting and protocol are one setting.

    Raises:
        UserError: Several settings are equal in the named fields.
    """
    known = dict[tuple[str, str], tuple[str, Mapping[str, Any]]]()
    for of, side in sides:
        for whole, config in side.settings.items():
            first = known.setdefault(of, (whole, config))
            if first[0] != whole:
                raise _ambiguous(first[1], config, names, which)


def _differences(old: ScoredSetting, new: ScoredSetting, *, named: bool) -> Iterator[str]:
    """Yield the differences between two sides of a setting: suites, devices, lengths and unnamed fields."""
    for name, value in old.config.items() if named else ():
        if name not in ("seed", *UNMATCHED) and value != new.config[name]:
            yield f"{name}: {printable(plain(value))} / {printable(plain(new.config[name]))}"
    both = [side.trials.assign(device=side.trials["device_name"].where(lambda d: d != "", side.trials["device"]))
            for side in (old, new)]  # fmt: skip
    for what, column in {"suite": "suite", "device": "device", "epochs trained": "epochs"}.items():
        one, other = (sorted({printable(str(each)) for each in trials[column]}) for trials in both)
        if one != other:
            yield f"{what}: {' and '.join(one)} / {' and '.join(other)}"
    versions = [str(side.config["suite_version"]) for side in (old, new)]
    if old.config["suite"] == new.config["suite"] and len(set(versions)) > 1:
        yield f"version: {' / '.join(versions)}"


def equivalence_table(rows: list[dict[str, object]], margin: float = MARGIN, fields: Sequence[str] = ()) -> Table:
    """Make the table of common settings, or of those that are equal in some fields."""
    title = MEASURES[primary_measure()].title
    # With fields and suites 80 columns have no room for what differs.
    tells = bool(fields) and not any(row["studies"] for row in rows)
    # then the column of collapses shows why a row is not called equivalent
    withheld = any(row["withheld"] for row in rows)
    columns = (
        Column("dataset", "dataset"),
        Column("setting", "setting", essential=True),
        Column("studies", "suites (old / new)", essential=True),
        Column("epochs", "epoch", "count", vital=True),
        Column("old", f"old mean {title}", "number", vital=True, pair="mean"),
        Column("old_sd", "old sd", "number", pair="sd"),
        Column("old_n", "old seeds", "count", pair="seeds"),
        Column("old_lost", "old lost", "count", essential=True, pair="lost"),
        Column("new", f"new mean {title}", "number", vital=True, pair="mean"),
        Column("new_sd", "new sd", "number", pair="sd"),
        Column("new_n", "new seeds", "count", pair="seeds"),
        Column("new_lost", "new lost", "count", essential=True, pair="lost"),
        Column("old_collapsed", "old collapsed", "count", vital=True, essential=withheld, pair="collapsed"),
        Column("new_collapsed", "new collapsed", "count", vital=True, essential=withheld, pair="collapsed"),
        Column("ratio", "new / old", "range", essential=True),
        Column("corrected", "p (Holm)", "p"),
        Column("verdict", "verdict", essential=True),
        Column("protocol", "protocol", vital=True),
        Column("differs", "what differs (old / new)", vital=bool(fields), essential=tells),
    )
    filled = [each for each in columns if each.pair not in ("lost", "collapsed") and each.key != "studies"]
    kept = [each for each in columns if each in filled or any(row[each.key] for row in rows)]
    named = ", ".join(fields)
    what = f"Settings that are equal in {named}" if fields else "The same settings of any suite"
    at = "at the last epoch that both were scored at" + (", or at the last of each" if fields else "")
    note = (
        f"{what}, {at}. Means are geometric, and so is sd, a factor; new / old has its own 95 % interval "
        "(Welch, unpaired: two machines draw different noise). "
        f"Different: p at most {ALPHA:g} by Holm's steps over all rows. Equivalent: within a factor of {1 + margin:g} "
        f"by two one-sided tests at {ALPHA:g} / rows, and no generator was seen to collapse. More and more seeds are "
        f"not corrected for. Not judged: fewer than {FEW} seeds of a side, lost ones, a score that is not "
        "above 0, or other training images."
    )
    equivalent = [row for row in rows if row["verdict"] == "equivalent"]
    counted = [row for row in equivalent if None not in (row["old_collapsed"], row["new_collapsed"])]
    if len(counted) < len(equivalent):
        note += f" Collapses were not counted of {len(equivalent) - len(counted)} of {len(equivalent)} equivalent rows."
    if counted:
        seeds = min(int(str(row[f"{side}_n"])) for row in counted for side in ("old", "new"))
        share = f"{1 - ALPHA ** (1 / seeds):.0%}"
        note += f" Of equivalent ones collapses in up to {share} of runs are possible though none was seen."
    head = f"settings with equal {named}" if fields else "the same settings, trained twice"
    return Table("same-settings", head, tuple(kept), pd.DataFrame(rows), note)
