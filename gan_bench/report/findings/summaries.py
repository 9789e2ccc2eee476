"""Summaries of a study's settings: numbers, words and mean curves, which the tracking mirror shows as runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import special

from gan_bench.config.measures import MEASURES, measures_with, primary_measure
from gan_bench.core.text import printable
from gan_bench.records.record import split_name
from gan_bench.records.schema import STATISTICS
from gan_bench.records.summary import SettingSummary, piece_of, setting_id
from gan_bench.report.findings.factors import factors_of
from gan_bench.report.findings.standings import Standing, Standings, standings
from gan_bench.report.findings.verdicts import Judged
from gan_bench.report.study.frame import MEANS
from gan_bench.report.study.study import ScoredStudy, Study
from gan_bench.report.study.table import number

NO_SCORE = "no score yet"
Curves = dict[str, list[tuple[int, float, float | None, float | None]]]


def summaries(study: Study) -> Iterator[SettingSummary]:
    """Yield the summary of each setting of a study."""
    ranked = study.scored[0] if study.scored else None
    numbers: dict[str, dict[str, float]] = {setting.label: {} for setting in study.settings}
    for scored in study.scored:
        _add_numbers(numbers, scored, "" if scored is ranked else f".{_name_for_mlflow(scored.protocol)}")
    verdicts = _verdicts(ranked) if ranked else {}
    best = {each.label: str(each.finals.idxmin()) for each in standings(ranked).ranked} if ranked else {}
    curves = _curves(study)
    for setting in study.settings:
        label = setting.label
        words = verdicts.get(label, {"verdict": NO_SCORE})
        decided = sum(name.startswith("verdict.") for name in words)
        yield SettingSummary(
            setting=setting_id(setting.trials["config"].iloc[-1]),
            label=printable(label),
            study=study.slug,
            protocol=str(ranked.protocol) if ranked else "",
            numbers={**numbers[label], "verdicts.decided": float(decided)},
            words=words,
            curves=curves.get(label, {}),
            best_trial=best.get(label),
        )


# --------------------------------------------------------------------------------------------- numbers


def _add_numbers(numbers: Mapping[str, dict[str, float]], scored: ScoredStudy, mark: str) -> None:
    """Add the ranking's numbers of every setting; ``mark`` distinguishes other protocols."""
    start = f"{primary_measure()}{mark}."
    by_label = dict(iter(scored.by_epoch(unscored=True)[["label", "epoch", "value"]].groupby("label")))
    for each in standings(scored).rows:
        found, score = numbers[each.label], each.median
        if score.n:
            ends = {"median": score.estimate, "ci_low": score.low, "ci_high": score.high, "n": score.n}
            found.update({f"{start}{key}": float(v) for key, v in ends.items() if v is not None and np.isfinite(v)})
        if each.rank is not None:
            found[f"{start}rank"] = float(each.rank)
        if each.label in by_label:
            mine = _medians_by_epoch(by_label[each.label], each.setting.bad)
            at = int(mine.argmin())
            if math.isfinite(mine.iloc[at]):
                found |= {f"{start}best": float(mine.iloc[at]), f"{start}best_epoch": float(mine.index[at])}
        for name in scored.study.shown(measures_with("quality")):
            if mean := each.mean(name):
                found[f"{name}{mark}.mean"] = mean.estimate


def _medians_by_epoch(rows: pd.DataFrame, failed: int) -> pd.Series[float]:
    """Return a setting's median at every epoch, failed and diverged seeds as worst, as in its ranking.

    So are seeds whose images could not be scored, at the epochs where they could not. Epochs that fewer seeds were
    looked at, as after scores were added, are left out: they would not compare.
    """
    counts = rows.groupby("epoch")["value"].transform("size")
    kept = rows[counts == counts.max()].fillna({"value": math.inf}).groupby("epoch")["value"]
    medians: pd.Series[float] = kept.agg(lambda values: float(np.median([*values, *[math.inf] * failed])))
    return medians


# ----------------------------------------------------------------------------------------------- words


def _verdicts(scored: ScoredStudy) -> dict[str, dict[str, str]]:
    """Return by label how a setting compares with the best, and its decided comparisons."""
    table = standings(scored)
    found = {each.label: {"verdict": _against_the_best(each, table)} for each in table.rows}
    for factor in factors_of(scored):
        name = f"verdict.{_name_for_mlflow(f'{factor.name}.held' if factor.held else factor.name)}"
        for each in (each for each in factor.primary if each.found in ("decided", "equivalent")):
            for label in each.settings:
                known, text = found[label].get(name), _comparison(each)
                found[label][name] = f"{known}; {text}" if known else text
    return found


def _against_the_best(each: Standing, table: Standings) -> str:
    """Write how a setting compares with the best, or why it has no score."""
    best = table.best.label if table.best else ""
    if each.rank_status == "best":
        return _of_the_best(table)
    if each.rank is None:
        start = "failed" if each.lost and each.rank_status == "unranked" else NO_SCORE
        return f"{start}: {each.lost} of {len(each.setting.trials)} seeds lost" if each.lost else start
    is_extended = each.scored.study.design.extended
    undecided = "seeds were added undeclared" if is_extended else f"may be as good as {best}"
    return {
        "behind": f"worse: decidedly, than {best}",
        "tied": f"undecided: {undecided}",
        "ahead": f"ahead: decidedly better than {best}, with a worse median",
        "unequal": f"not judged: {each.why}",
        "unknown": "not judged yet" if each.next else "not judged: seeds are too few",
        "withdrawn": "not judged: no longer planned",
    }[each.rank_status]


def _of_the_best(table: Standings) -> str:
    """Write how the best setting compares with the others."""
    if table.best and table.best.is_useless:
        why = "all of its generators collapsed" if table.best.is_collapsed else "no better than untrained generators"
        return f"best score, and of no use: {why}"
    behind, of = len(table.of("behind")), len(table.rivals) + len(table.of("waiting"))
    waiting = table.of("waiting")
    if not of:
        return "best: nothing to compare it with"
    if len(table.of("unknown", "unequal", "waiting")) == of:
        return f"best{' so far' * bool(waiting or any(each.next for each in table.of('unknown')))}: not judged"
    if not behind:
        return "best: no other is decidedly worse"
    return f"best: decidedly better than {'the other' if of == 1 else f'{behind} of {of} others'}"


def _comparison(judged: Judged) -> str:
    """Write a decided comparison: ``decided: 3e-4 is better than 2e-4 (mnist-dcgan, 5 seeds, FID 0.847 times)``."""
    first, second, title = judged.first_level, judged.second_level, MEASURES[judged.measure].title
    if judged.found == "equivalent":
        return printable(f"equivalent: {first} and {second} ({judged.recipe}, {judged.seeds} seeds)")
    size = judged.size.estimate if judged.size else math.nan
    if judged.is_ratio:
        words = f"{title} {number(1 / size if judged.winner == first else size)} times"
    else:
        words = f"{title} {number(abs(size))} apart"
    where = f"{judged.recipe}, {judged.seeds} seeds, {words}"
    return printable(f"decided: {judged.winner} is better than {judged.loser} ({where})")


def _name_for_mlflow(text: str) -> str:
    """Replace characters that MLflow does not accept in names."""
    return re.sub(r"[^\w.\- /]+", "-", text)


# ---------------------------------------------------------------------------------------------- curves


def _curves(study: Study) -> dict[str, Curves]:
    """Return by label the mean over seeds of every score and training value by epoch, with Student's interval.

    Scores that were added to some finished trials alone are left out, as in rankings: they would be over fewer seeds.
    So are those of a trial that has none at its end: the curve would end earlier than the others.
    """
    found: dict[str, Curves] = {}
    done, keys = study.scores[study.scores["status"] == "done"], ["trial", "metric", "protocol"]
    without_end = done.loc[(done["epoch"] == done["epochs_done"]) & done["value"].isna(), keys]
    gone = pd.MultiIndex.from_frame(done[keys]).isin(pd.MultiIndex.from_frame(without_end))
    done = done[~gone].dropna(subset=["value"])
    done = done[done["metric"].isin(study.metrics)]
    done = done[done["protocol"].isin({each.protocol for each in study.protocols if each.is_whole})]
    done = done.assign(name=done["metric"] + "[" + done["protocol"].astype(str) + "]")
    _add_curves(found, done[["label", "name", "epoch", "value"]])
    members = study.trials.loc[study.trials["status"] == "done", ["trial", "label", "epochs"]]
    history = study.history.merge(members, on="trial")
    pieces = [piece_of(*each) for each in zip(history["epoch"], history["epochs"], strict=True)]
    history = history.assign(epoch=pieces)
    per_seed = history.groupby(["label", "trial", "epoch"], as_index=False)[list(MEANS)].mean()
    for column, name in zip(MEANS, STATISTICS, strict=True):
        rows = per_seed[["label", "epoch"]].assign(name=f"train/{name}", value=per_seed[column])
        _add_curves(found, rows.dropna(subset=["value"]))
    return found


def _add_curves(found: dict[str, Curves], rows: pd.DataFrame) -> None:
    grouped = rows.groupby(["label", "name", "epoch"], sort=True)["value"].agg(["mean", "std", "count"]).reset_index()
    grouped = grouped[grouped["count"] == grouped.groupby(["label", "name"])["count"].transform("max")]
    for label, name, epoch, mean, sd, count in grouped.itertuples(index=False, name=None):
        low = high = None
        if count > 1:
            half = float(special.stdtrit(count - 1, 0.975)) * float(sd) / float(np.sqrt(count))
            metric, _ = split_name(str(name))
            least, most = MEASURES[metric].bounds if metric in MEASURES else (None, None)
            low = mean - half if least is None else max(mean - half, least)
            high = mean + half if most is None else min(mean + half, most)
        point = (int(epoch), float(mean), low, high)
        found.setdefault(str(label), {}).setdefault(str(name), []).append(point)
