"""Every setting of a study in numbers, words and mean curves: what the tracking mirror shows of it in one run."""

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
from gan_bench.report.findings.leaders import leaders
from gan_bench.report.findings.verdicts import Judged
from gan_bench.report.study.frame import MEANS
from gan_bench.report.study.study import Scored, Study, values_of
from gan_bench.report.study.table import number

NO_SCORE = "no score yet"
Curves = dict[str, list[tuple[int, float, float | None, float | None]]]


def summaries(study: Study) -> Iterator[SettingSummary]:
    """Yield what a study says of each of its settings."""
    ranked = study.scored[0] if study.scored else None
    numbers: dict[str, dict[str, float]] = {label: {} for label in study.values.labels.values()}
    for scored in study.scored:
        _add_numbers(numbers, scored, "" if scored is ranked else f".{_plain(scored.protocol)}")
    verdicts, best = (_verdicts(ranked), _best_trials(ranked)) if ranked else ({}, {})
    curves = _curves(study)
    configs = dict(zip(study.trials["group"], study.trials["config"], strict=True))
    for group, label in study.values.labels.items():
        words = verdicts.get(label, {"verdict": NO_SCORE})
        decided = sum(name.startswith("verdict.") for name in words)
        yield SettingSummary(
            setting=setting_id(configs[group]),
            label=printable(label),
            study=study.slug,
            protocol=str(ranked.protocol) if ranked else "",
            numbers={**numbers[label], "verdicts.decided": float(decided)},
            words=words,
            curves=curves.get(label, {}),
            best_trial=best.get(label),
        )


# --------------------------------------------------------------------------------------------- numbers


def _add_numbers(numbers: Mapping[str, dict[str, float]], scored: Scored, mark: str) -> None:
    """Add what a ranking says of every setting; ``mark`` tells protocols beside the ranking's apart."""
    primary = primary_measure()
    place = {label: rank for rank, label in enumerate(scored.ranking(), 1)}
    by_label = dict(iter(scored.by_epoch(unscored=True)[["label", "epoch", "value"]].groupby("label")))
    for row, done in scored.study.settings():
        label, found = row["setting"], numbers[row["setting"]]
        start = f"{primary}{mark}."
        if score := scored.medians().get(label):
            ends = {"median": score.estimate, "ci_low": score.low, "ci_high": score.high, "n": score.n}
            found.update({f"{start}{key}": float(v) for key, v in ends.items() if v is not None and np.isfinite(v)})
        if label in place:
            found[f"{start}rank"] = float(place[label])
        if label in by_label:
            mine = _medians_by_epoch(by_label[label], row["bad"])
            at = int(mine.argmin())
            if math.isfinite(mine.iloc[at]):
                found |= {f"{start}best": float(mine.iloc[at]), f"{start}best_epoch": float(mine.index[at])}
        for name in scored.study.shown(measures_with("quality")):
            if mean := scored.mean(name, done):
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


def _best_trials(scored: Scored) -> dict[str, str]:
    """Return by label the finished trial of a setting with the best final primary score."""
    trials = scored.study.trials
    known = trials.assign(score=values_of(trials, scored.final(), primary_measure())).dropna(subset=["score"])
    best = known.sort_values("score", kind="stable").drop_duplicates("label")
    return dict(zip(best["label"], best["trial"], strict=True))


# ----------------------------------------------------------------------------------------------- words


def _verdicts(scored: Scored) -> dict[str, dict[str, str]]:
    """Return by label how a setting stands against the best, and every decided comparison that it takes part in."""
    against, found = _against_the_best(scored), dict[str, dict[str, str]]()
    for row, done in scored.study.settings():
        ways = [f"{count} of {row['planned']} {what}" for what, count in scored.how_lost(row, done).items()]
        otherwise = f"failed: {', '.join(ways)}" if ways else NO_SCORE
        found[row["setting"]] = {"verdict": against.get(row["setting"], otherwise)}
    for factor in factors_of(scored):
        name = f"verdict.{_plain(f'{factor.name}.held' if factor.held else factor.name)}"
        for each in (each for each in factor.primary if each.found in ("decided", "equivalent")):
            for label in {*each.settings} - each.aside:
                known, text = found[label].get(name), _comparison(each)
                found[label][name] = f"{known}; {text}" if known else text
    return found


def _against_the_best(scored: Scored) -> dict[str, str]:
    """Return by label how settings with a score stand against the best."""
    ahead = leaders(scored)
    if ahead is None:
        return {}
    others = len(ahead.behind) + len(ahead.tied) + len(ahead.unequal)
    of = others + len(ahead.unknown)
    better = (
        f"decidedly better than {len(ahead.behind)} of {of} others" if ahead.behind else "no other is decidedly worse"
    )
    best = f"best: {'decidedly better than the other' if ahead.behind and of == 1 else better}"
    undecided = "seeds were added undeclared" if scored.study.design.extended else f"may be as good as {ahead.best}"
    return {
        ahead.best: best if others else "best so far: not judged",
        **dict.fromkeys(ahead.behind, f"worse: decidedly, than {ahead.best}"),
        **dict.fromkeys(ahead.tied, f"undecided: {undecided}"),
        **dict.fromkeys(ahead.ahead, f"ahead: decidedly better than {ahead.best}, with a worse median"),
        **dict.fromkeys(ahead.unknown, "not judged yet"),
        **{each: f"not judged: {why}" for each, why in ahead.unequal.items()},
    }


def _comparison(judged: Judged) -> str:
    """Write a decided comparison: ``decided: 3e-4 is better than 2e-4 (mnist-dcgan, 5 seeds, FID 0.847 times)``."""
    first, second, title = judged.first_level, judged.second_level, MEASURES[judged.measure].title
    if judged.found == "equivalent":
        return printable(f"equivalent: {first} and {second} ({judged.recipe}, {judged.seeds} seeds)")
    size = judged.size.estimate if judged.size else math.nan
    if judged.ratio:
        words = f"{title} {number(1 / size if judged.winner == first else size)} times"
    else:
        words = f"{title} {number(abs(size))} apart"
    where = f"{judged.recipe}, {judged.seeds} seeds, {words}"
    return printable(f"decided: {judged.winner} is better than {judged.loser} ({where})")


def _plain(text: str) -> str:
    """Keep to the characters that MLflow takes in names."""
    return re.sub(r"[^\w.\- /]+", "-", text)


# ---------------------------------------------------------------------------------------------- curves


def _curves(study: Study) -> dict[str, Curves]:
    """Return by label the mean over seeds of every score and training value by epoch, with Student's interval.

    Scores that were added to some finished trials alone are left out, as in rankings: they would be over fewer seeds.
    """
    found: dict[str, Curves] = {}
    done = study.scores[study.scores["status"] == "done"].dropna(subset=["value"])
    done = done[~done["protocol"].isin(study.incomplete)]
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
