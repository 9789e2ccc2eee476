"""Studies -> every table that the records allow. The page and the terminal render them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from gan_bench.config import naming
from gan_bench.config.measures import COLLAPSED, MEASURES, measures_with, primary_measure
from gan_bench.records.schema import STATISTICS
from gan_bench.report.findings.factors import factor_tables
from gan_bench.report.findings.reproduction import PROBABILITIES, published_table
from gan_bench.report.findings.standings import standings
from gan_bench.report.findings.tuning import tuning_table
from gan_bench.report.study.frame import COSTS
from gan_bench.report.study.stats import ENCLOSED
from gan_bench.report.study.study import ScoredStudy, Study, values_of
from gan_bench.report.study.table import (
    RANKED,
    Column,
    Table,
    arrow,
    interval_of,
    median_of,
    put_interval,
    score_column,
)

SATURATED = 0.99
"""A discriminator is saturated when D(real) exceeds this and D(fake) falls below its complement."""
_OF_COLLAPSED = "trials with half of the classes or fewer, or one class in over half of the images"
_BRACKETS = "In brackets: the lowest to the highest seed; from six seeds on, the median's 95 % interval."
MANY_VALUES = 6
"""Above so many differing values, a ranking shows short names, with the values after the scores."""
NEAR = 1.25
"""Factor up to which a score is near the best of its recipe."""


def study_tables(study: Study) -> Iterator[Table]:
    """Make the tables of one study."""
    yield trial_table(study)
    for scored in study.scored:
        yield setting_table(scored)
        yield from factor_tables(scored)
        yield from tuning_table(scored)
        yield from epoch_table(scored)
        yield from best_table(scored)
        yield health_table(scored)
        yield cost_table(scored)
    yield from published_table(study)


# --------------------------------------------------------------------------------------------- per trial


def trial_table(study: Study) -> Table:
    """One row per planned trial, failures included."""
    rows = pd.concat([study.trials, study.withdrawn]) if len(study.withdrawn) else study.trials.copy()
    columns = [
        Column("name", "trial", vital=True),
        Column("status", "status", vital=True),
        Column("epochs_done", "epochs", "count"),
        Column("loss_d", "loss D", "number"),
        Column("loss_g", "loss G", "number"),
        Column("d_real", "D(real)", "number"),
        Column("d_fake", "D(fake)", "number"),
    ]
    shown = sorted(study.protocols, key=lambda each: (not each.is_whole, each.protocol.average))
    for scored in shown:
        final = scored.final()
        for metric in study.shown(measures_with("trial")):
            key = f"{metric}[{scored}]"
            rows[key] = values_of(rows, final, metric)
            title = arrow(metric) if len(shown) == 1 else f"{arrow(metric)} {scored}"
            columns.append(Column(key, title, "number", vital=True))
    columns += [
        Column("train_seconds", "train s", "seconds"),
        Column("images_per_second", "images/s", "rate"),
        Column("reason", "reason"),
    ]
    note = (
        "Losses and D outputs are means over the last epoch; D(real) and D(fake) are taken before D's update. "
        f"{_outputs(study)}"
        f"Scores: {'; '.join(each.protocol for each in shown) or 'none yet'}."
    )
    return study.table("trials", "trials", columns, rows.sort_values(["label", "seed"]), note)


# ------------------------------------------------------------------------------------------- per setting


def setting_table(scored: ScoredStudy) -> Table:
    """Settings ranked by the primary measure, with the two baseline rows."""
    draws, quality, primary = scored.final("draw_std"), measures_with("quality"), primary_measure()
    title = MEASURES[primary].title
    found, rows = standings(scored), []
    for each in found.rows:
        row, done = each.setting.row(), each.setting.done
        for name in scored.study.shown(quality):
            put_interval(row, name, each.mean(name))
        put_interval(row, RANKED, each.median)
        row["rank"] = each.rank
        row["sd_seeds"] = each.finals.std() if len(each.finals) > 1 else None
        row["sd_draws"] = values_of(done, draws, primary).mean()
        row["train_seconds"] = median_of(done["train_seconds"])
        row["remarks"] = "; ".join(each.remarks())
        row["rank_status"] = each.rank_status
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame = frame.sort_values("rank", na_position="last", kind="stable")
    frame = pd.concat([frame, pd.DataFrame(scored.baseline_rows(quality))], ignore_index=True)
    known_values = scored.study.values.columns
    fields = list(_value_columns(known_values, frame))
    apart = [
        Column(f"value_{name}", naming.title(name), "value", detail=True)
        for name in known_values
        if f"value_{name}" not in {column.key for column in fields}
    ]
    many = len(fields) > MANY_VALUES  # then a name comes first, and its values last
    fields = [replace(column, essential=not many) for column in fields]
    is_same = bool(fields) and _one(rows, "recipe")
    recipe = Column("recipe", "recipe", essential=not is_same, detail=is_same)
    columns = [
        Column("rank", "#", "count", essential=True),
        *([Column("setting", "setting", essential=True)] if many else [recipe, *fields]),
        *(
            []
            if "epochs" in scored.study.values.columns
            else [Column("epochs", "epochs", "count", detail=_one(rows, "epochs"))]
        ),
        Column("seeds", "seeds"),
        *[Column(RANKED, arrow(name), "range", _BRACKETS, essential=True) for name in scored.study.shown((primary,))],
        Column("remarks", "remarks", essential=True),
        *[
            replace(
                score_column(name),
                detail=True,
                title=f"mean {arrow(name)}" if name == primary else arrow(name),
                note=f"± is the half-width of the 95 % interval of a mean, over finished seeds{scored.study.of_two}.",
            )
            for name in scored.study.shown(quality)
        ],
        Column("sd_seeds", f"{title} sd seeds", "number", "sd seeds: between trainings.", detail=True),
        Column("sd_draws", f"{title} sd draws", "number", "sd draws: between scorings of one generator.", detail=True),
        Column("train_seconds", "train s", "seconds", "train s: median over finished seeds.", detail=True),
        *([Column("recipe", "recipe", detail=True), *(replace(each, detail=True) for each in fields)] if many else []),
        *apart,
    ]
    is_of_papers = scored.protocol.extractor.startswith(("inception", "dinov2-"))  # FID, and FD-DINOv2
    note = (
        f"All settings: {scored.study.values.shared}. Scores {scored}: extractor, reference split, generated images"
        f"{'' if is_of_papers else '; papers report those of Inception-v3, which are other numbers'}. "
        f"Ranked by the median {title} over all seeds, where a failed or diverged seed counts as the worst"
        f"{'; settings that are no longer planned come last' if scored.study.withdrawn_before_first_look else ''}."
    )
    table = scored.study.table("settings", "settings", columns, frame, note, scored.protocol)
    most = max(each.median.n for each in found.rows)
    return replace(table, brief=_brief(scored, most, is_of_papers=is_of_papers))


def _brief(scored: ScoredStudy, most: int, *, is_of_papers: bool) -> str:
    """Return what every reader must know of the scores: what they measure, and what they may be compared with."""
    ends = "lowest to highest seed" if most < ENCLOSED else f"95 % interval; below {ENCLOSED} seeds, lowest to highest"
    middle = f": median ({ends})" if most > 1 else ""
    papers = "" if is_of_papers else "; not comparable with papers"
    protocol, title = scored.protocol, MEASURES[primary_measure()].title
    of = f"{protocol.generated:,} images against the {protocol.reference} split"
    return f"{title} by {protocol.extractor}, {of}{middle}{papers}."


def _value_columns(known: Sequence[str], frame: pd.DataFrame) -> Iterator[Column]:
    """Yield the columns of values that differ between settings; those of both networks share one."""
    pairs = {g: (short, d) for short, g, d in naming.PAIRS if g in known and d in known}
    for name in known:
        if name in pairs:
            short, other = pairs[name]
            both = zip(frame[f"value_{name}"], frame[f"value_{other}"], strict=True)
            frame[f"value_{short}"] = [None if pd.isna(g) else naming.of_both(g, d) for g, d in both]
            yield Column(f"value_{short}", naming.title(short), note="A/B: of G and of D.")
        elif name not in {d for _, d in pairs.values()}:
            yield Column(f"value_{name}", naming.title(name), "value")


def _one(rows: Sequence[Mapping[str, object]], key: str) -> bool:
    """True if a column is equal for all settings."""
    return len({row[key] for row in rows}) == 1


def best_table(scored: ScoredStudy) -> Iterator[Table]:
    """Best evaluated epoch against the last one: what stopping early would have given."""
    scores, primary = scored.by_epoch(), primary_measure()
    if scores["epoch"].nunique() < 2:
        return
    title, bounds = MEASURES[primary].title, MEASURES[primary].bounds
    best = scores.loc[scores.groupby("trial")["value"].idxmin()].set_index("trial")
    final = scored.final()[primary]
    rows = []
    for setting in scored.study.settings:
        row, done = setting.row(), setting.done
        at_end = done["trial"].map(final).astype(float)
        at_best = done["trial"].map(best["value"]).astype(float)
        put_interval(row, "final", interval_of(at_end, bounds))
        put_interval(row, "best", interval_of(at_best, bounds))
        put_interval(row, "gap", interval_of(at_end - at_best, (0, None)))
        row["at"] = done["trial"].map(best["epoch"]).dropna().astype(float).quantile(interpolation="lower")
        rows.append(row)
    columns = [
        Column("setting", "setting", essential=True),
        Column("seeds", "seeds"),
        Column("final", f"{title} at the end ↓", "interval"),
        Column("best", f"best {title} ↓", "interval"),
        Column("gap", "gap", "interval", vital=True),
        Column("epochs", "epochs", "count"),
        Column("at", "best at epoch (median)", "count", vital=True),
    ]
    note = f"Scores {scored}. Best is the lowest of the evaluated epochs, so it is biased downwards by choice."
    yield scored.study.table("best", "best epoch against the last", columns, pd.DataFrame(rows), note, scored.protocol)


def health_table(scored: ScoredStudy) -> Table:
    """Modes, memorisation and the state of the game, per setting."""
    health, rows = measures_with("health"), []
    for each in standings(scored).rows:
        row, done = each.setting.row(), each.setting.done
        for name in scored.study.shown(health):
            put_interval(row, name, each.mean(name))
        if COLLAPSED in scored.study.metrics:
            row["collapses"] = f"{len(each.collapsed)} of {each.counted}" if each.counted else ""
        outputs = (0, 1) if done["probabilities"].all() else (None, None)
        for name in STATISTICS:
            put_interval(row, name, interval_of(done[name], outputs if name in PROBABILITIES else (None, None)))
        won = done["probabilities"] & (done["d_real"] > SATURATED) & (done["d_fake"] < 1 - SATURATED)
        row["saturated"] = int(won.sum())
        rows.append(row)
    frame = pd.concat([pd.DataFrame(rows), pd.DataFrame(scored.baseline_rows(health))], ignore_index=True)
    columns = [
        Column("setting", "setting", essential=True),
        Column("planned", "planned", "count"),
        Column("done", "done", "count"),
        Column("bad", "diverged or failed", "count", vital=True),
        *[score_column(name) for name in scored.study.shown(health) if name != COLLAPSED],
        Column("collapses", "collapsed", vital=True),
        Column("saturated", "D saturated", "count"),
        Column("d_real", "D(real)", "interval"),
        Column("d_fake", "D(fake)", "interval"),
        Column("loss_d", "loss D", "interval"),
        Column("loss_g", "loss G", "interval"),
    ]
    means = {name: MEASURES[name].description for name in scored.study.shown(health)}
    means |= {COLLAPSED: _OF_COLLAPSED} if COLLAPSED in means else {}  # its column counts trials
    notes = [f"{MEASURES[name].title}: {text}" for name, text in means.items()]
    notes.append(f"D saturated: trials whose last epoch has D(real) over {SATURATED} and D(fake) under 0.01")
    note = f"{'; '.join(notes)}. {_outputs(scored.study)}".strip()
    return scored.study.table("health", "health", columns, frame, note, scored.protocol)


def _outputs(study: Study) -> str:
    """Note losses whose D outputs are not probabilities."""
    if study.trials["probabilities"].all():
        return ""
    named = ", ".join(sorted({str(loss) for loss in study.trials[~study.trials["probabilities"]]["loss"]}))
    return f"D(real) and D(fake) of {named} are scores without bounds, no probabilities. "


def cost_table(scored: ScoredStudy) -> Table:
    """The cost of settings, training and scoring apart, and how soon they come near the best of their recipe."""
    scores, targets = scored.by_epoch(), _targets(scored)
    rows = []
    for setting in scored.study.settings:
        row, done = setting.row(), setting.done
        row |= {name: median_of(done[name]) for name in COSTS}
        if (target := targets.get(setting.recipe)) is not None:
            first = scores[scores["value"] <= target].sort_values("epoch").drop_duplicates("trial").set_index("trial")
            seconds = done["trial"].map(first["train_seconds"])
            row["target"], row["to_target"] = target, median_of(seconds)
            row["reached"] = f"{seconds.notna().sum()} of {len(done)}" if len(done) else ""
        rows.append(row)
    title = MEASURES[primary_measure()].title
    peak = "Peak memory: of the GPU where one trained, else of the process, which in-line trials share."
    near = (
        f"Near: {NEAR:g} times the best {title} of the recipe's settings, reached at the first evaluation at or below; "
        "seconds are of training until then, over the trials that reached it."
    )
    columns = [
        Column("setting", "setting", essential=True),
        Column("train_seconds", "train s", "seconds", vital=True),
        Column("evaluate_seconds", "scoring s", "seconds"),
        Column("images_per_second", "images/s", "rate"),
        Column("peak_megabytes", "peak MB", "count", peak),
        Column("kilojoules", "GPU kJ", "number", "Energy where the GPU reports its power."),
        Column("target", f"near the best {title}", "number", near),
        Column("to_target", "s until near", "seconds", near),
        Column("reached", "came near", note=near),
    ]
    note = f"Medians over finished seeds, so that one training that waited for others does not count. Scores {scored}."
    return scored.study.table("cost", "cost", columns, pd.DataFrame(rows), note, scored.protocol)


def _targets(scored: ScoredStudy) -> dict[str, float]:
    """Return the primary scores that count as near the best, by recipe, unless untrained generators have them."""
    best = {each.setting.recipe: each for each in reversed(standings(scored).ranked)}
    near = {recipe: NEAR * each.median.estimate for recipe, each in best.items()}
    return {recipe: score for recipe, score in near.items() if score < (best[recipe].untrained or math.inf)}


# -------------------------------------------------------------------------------------------- per epoch


def epoch_table(scored: ScoredStudy) -> Iterator[Table]:
    """Every setting's primary score epoch by epoch."""
    kept = scored.by_epoch()  # finished trials only: others at each epoch would be different seeds
    epochs = sorted(int(e) for e in kept["epoch"].unique())
    if len(epochs) < 2:
        return
    wide = kept.pivot_table(index="trial", columns="epoch", values="value")
    rows = []
    for setting in scored.study.settings:
        row = setting.row()
        for epoch in epochs:
            values = setting.done["trial"].map(wide[epoch])
            put_interval(row, f"epoch_{epoch}", interval_of(values, MEASURES[primary_measure()].bounds))
        rows.append(row)
    columns = [
        Column("setting", "setting", essential=True),
        *[Column(f"epoch_{e}", f"epoch {e}", "interval", vital=e == epochs[-1]) for e in epochs],
    ]
    primary = primary_measure()
    note = f"{arrow(primary)} {scored} after so many epochs of the same finished trials; "
    note += f"95 % intervals over seeds{scored.study.of_two}."
    yield scored.study.table(
        "epochs", f"{MEASURES[primary].title} by epoch", columns, pd.DataFrame(rows), note, scored.protocol
    )
