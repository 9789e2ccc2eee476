"""Studies -> every table that the records allow. Drawing them is ``render``'s job."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from gan_bench.config.measures import MEASURES
from gan_bench.report import factors
from gan_bench.report.frame import Frames
from gan_bench.report.published import COLUMNS as PUBLISHED_COLUMNS
from gan_bench.report.published import published_rows
from gan_bench.report.reproduction import COLUMNS as REPRODUCTION_COLUMNS
from gan_bench.report.reproduction import NOTE as REPRODUCTION_NOTE
from gan_bench.report.reproduction import protocol_table, reproduction_rows
from gan_bench.report.study import Baselines, Study, name_table, pick, studies
from gan_bench.report.table import Column, Table, arrow, interval_of, put

QUALITY = ("fid", "fid_inf", "kid", "is", "precision", "recall")
HEALTH = ("classes", "class_kl", "copies", "collapsed")
COMPARED = ("fid", "kid", "is")
SATURATED = 0.99
"""A discriminator is saturated when D(real) exceeds this and D(fake) falls below its complement."""
WITHIN = (2.0, 1.25)
"""Times to an FID are given for these multiples of the best setting's."""


def all_tables(frames: Frames, anchors: Baselines | None = None) -> list[Table]:
    """Make every table that the records allow, suite by suite and profile by profile.

    Quick and full trials, and scores of different protocols, never share a ranking.

    Args:
        frames: What ``build_frames`` made of the records.
        anchors: Scores of held-out real images, by suite.
    """
    if frames.trials.empty:
        return []
    return [*(t for study in studies(frames, anchors) for t in study_tables(study)), *article_tables(frames)]


def article_tables(frames: Frames) -> list[Table]:
    """Set what the articles say beside what was measured, suite by suite and profile by profile."""
    if frames.trials.empty:
        return []
    tables: list[Table] = []
    for (suite, profile), trials in frames.trials.groupby(["suite", "profile"], sort=True):
        tables += _article_tables(str(suite), str(profile), trials, frames.history)
    return tables


def study_tables(study: Study) -> Iterator[Table]:
    """Make the tables of one study."""
    yield trial_table(study)
    for protocol in study.protocols:
        yield setting_table(study, protocol)
        yield from factor_tables(study, protocol)
        yield from epoch_table(study, protocol)
        yield from best_table(study, protocol)
        yield health_table(study, protocol)
        yield cost_table(study, protocol)
    yield from published_table(study)


def _article_tables(suite: str, profile: str, trials: pd.DataFrame, history: pd.DataFrame) -> Iterator[Table]:
    names = (suite, profile)
    rows = list(reproduction_rows(trials, history))
    if rows:
        frame = pd.DataFrame(rows)
        yield name_table(names, "reproduction", "reproduction", REPRODUCTION_COLUMNS, frame, REPRODUCTION_NOTE)
    columns, frame = protocol_table(trials)
    note = "In brackets where a value comes from: the article's text (stated), its code, its lineage, or our choice."
    yield name_table(names, "protocol", "the articles' protocols", columns, frame, note)


# --------------------------------------------------------------------------------------------- per trial


def trial_table(study: Study) -> Table:
    """One row per planned trial, failures included."""
    rows = study.trials.copy()
    columns = [
        Column("name", "trial", vital=True),
        Column("status", "status", vital=True),
        Column("epochs_done", "epochs", "count"),
        Column("loss_d", "loss D", "number"),
        Column("loss_g", "loss G", "number"),
        Column("d_real", "D(real)", "number"),
        Column("d_fake", "D(fake)", "number"),
    ]
    for protocol in study.protocols:
        final = study.final(protocol)
        for metric in study.shown(("fid", "is")):
            key = f"{metric}[{protocol}]"
            rows[key] = pick(rows, final, metric)
            title = arrow(metric) if len(study.protocols) == 1 else f"{arrow(metric)} {protocol}"
            columns.append(Column(key, title, "number"))
    columns += [
        Column("train_seconds", "train s", "seconds"),
        Column("images_per_second", "images/s", "count"),
        Column("reason", "reason"),
    ]
    note = (
        "Losses and D outputs are means over the last epoch; D(real) and D(fake) are taken before D's update. "
        f"Scores: {'; '.join(study.protocols) or 'none yet'}."
    )
    return study.table("trials", "trials", columns, rows.sort_values(["label", "seed"]), note)


# ------------------------------------------------------------------------------------------- per setting


def setting_table(study: Study, protocol: str) -> Table:
    """Settings ranked by FID, with the two anchors that are no model."""
    final, draws = study.final(protocol), study.final(protocol, "draw_std")
    rows = []
    for row, done in study.settings():
        values = {name: pick(done, final, name) for name in study.shown(QUALITY)}
        for name, series in values.items():
            put(row, name, interval_of(series))
        fids = values.get("fid", pd.Series(dtype=float)).dropna()
        row["sd_seeds"] = fids.std() if len(fids) > 1 else None
        row["sd_draws"] = pick(done, draws, "fid").mean()
        put(row, "train_seconds", interval_of(done["train_seconds"]))
        rows.append(row)
    frame = pd.DataFrame(rows)
    if "fid" in frame:
        frame = frame.sort_values("fid", na_position="last", kind="stable")
        frame.insert(0, "rank", pd.Series(range(1, len(frame) + 1), index=frame.index).where(frame["fid"].notna()))
    frame = pd.concat([frame, pd.DataFrame(study.baseline_rows(protocol, QUALITY))], ignore_index=True)
    columns = [
        Column("rank", "#", "count"),
        Column("setting", "setting", vital=True),
        Column("epochs", "epochs", "count"),
        Column("done", "seeds", "count"),
        *[Column(name, arrow(name), "interval") for name in study.shown(QUALITY)],
        Column("sd_seeds", "FID sd seeds", "number"),
        Column("sd_draws", "FID sd draws", "number"),
        Column("train_seconds", "train s", "interval"),
    ]
    note = (
        f"Scores {protocol}: extractor, reference split, generated images. Mean ± half the 95 % interval over "
        "seeds. sd seeds: between trainings; sd draws: between evaluations of one generator. One seed has no interval."
    )
    return study.table(f"settings-{protocol}", "settings", columns, frame, note)


def best_table(study: Study, protocol: str) -> Iterator[Table]:
    """Best evaluated epoch against the last one: what stopping early would have given."""
    fids = study.fids(protocol)
    if fids["epoch"].nunique() < 2:
        return
    best = fids.loc[fids.groupby("trial")["value"].idxmin()].set_index("trial")
    final = study.final(protocol)["fid"]
    rows = []
    for row, done in study.settings():
        at_end = done["trial"].map(final).astype(float)
        at_best = done["trial"].map(best["value"]).astype(float)
        put(row, "final", interval_of(at_end))
        put(row, "best", interval_of(at_best))
        put(row, "gap", interval_of(at_end - at_best))
        row["at"] = done["trial"].map(best["epoch"]).median() if len(done) else None
        rows.append(row)
    columns = [
        Column("setting", "setting", vital=True),
        Column("done", "seeds", "count"),
        Column("final", "FID at the end ↓", "interval"),
        Column("best", "best FID ↓", "interval"),
        Column("gap", "gap", "interval"),
        Column("epochs", "epochs", "count"),
        Column("at", "best at epoch (median)", "count"),
    ]
    note = f"Scores {protocol}. Best is the lowest of the evaluated epochs, so it is biased downwards by choice."
    yield study.table(f"best-{protocol}", "best epoch against the last", columns, pd.DataFrame(rows), note)


def health_table(study: Study, protocol: str) -> Table:
    """Modes, memorisation and the state of the game, per setting."""
    final = study.final(protocol)
    rows = []
    for row, done in study.settings():
        for name in study.shown(HEALTH):
            put(row, name, interval_of(pick(done, final, name)))
        for name in ("d_real", "d_fake", "loss_d", "loss_g"):
            put(row, name, interval_of(done[name]))
        won = (done["d_real"] > SATURATED) & (done["d_fake"] < 1 - SATURATED)
        row["saturated"] = int(won.sum())
        rows.append(row)
    frame = pd.concat([pd.DataFrame(rows), pd.DataFrame(study.baseline_rows(protocol, HEALTH))], ignore_index=True)
    columns = [
        Column("setting", "setting", vital=True),
        Column("planned", "planned", "count"),
        Column("done", "done", "count"),
        Column("bad", "diverged or failed", "count"),
        *[Column(name, arrow(name), "interval") for name in study.shown(HEALTH)],
        Column("saturated", "D saturated", "count"),
        Column("d_real", "D(real)", "interval"),
        Column("d_fake", "D(fake)", "interval"),
        Column("loss_d", "loss D", "interval"),
        Column("loss_g", "loss G", "interval"),
    ]
    told = [f"{MEASURES[name].title}: {MEASURES[name].description}" for name in study.shown(HEALTH)]
    told.append(f"D saturated: trials whose last epoch has D(real) over {SATURATED} and D(fake) under 0.01")
    return study.table(f"health-{protocol}", "health", columns, frame, f"{'; '.join(told)}.")


def cost_table(study: Study, protocol: str) -> Table:
    """What settings cost, training and scoring apart, and how soon they reach an FID."""
    fids = study.fids(protocol)
    ranking = study.ranking(protocol)
    final = study.final(protocol)
    targets: list[float] = []
    if ranking:
        winner = next(done for row, done in study.settings() if row["setting"] == ranking[0])
        targets = [_round_up(times * float(pick(winner, final, "fid").mean())) for times in WITHIN]
    firsts = {
        target: fids[fids["value"] <= target].sort_values("epoch").drop_duplicates("trial").set_index("trial")
        for target in targets
    }
    rows = []
    for row, done in study.settings():
        for name in ("train_seconds", "evaluate_seconds", "images_per_second", "peak_megabytes", "kilojoules"):
            put(row, name, interval_of(done[name]))
        for target in targets:
            seconds = done["trial"].map(firsts[target]["train_seconds"])
            put(row, f"to_{target}", interval_of(seconds))
            row[f"reached_{target}"] = f"{seconds.notna().sum()}/{len(done)}" if len(done) else ""
        rows.append(row)
    columns = [
        Column("setting", "setting", vital=True),
        Column("train_seconds", "train s", "interval"),
        Column("evaluate_seconds", "scoring s", "interval"),
        Column("images_per_second", "images/s", "interval"),
        Column("peak_megabytes", "peak MB", "interval"),
        Column("kilojoules", "GPU kJ", "interval"),
    ]
    for target in targets:
        columns.append(Column(f"to_{target}", f"s to FID ≤ {target:g}", "interval"))
        columns.append(Column(f"reached_{target}", "reached"))
    note = (
        f"Scores {protocol}. Seconds of training until the first evaluation with such an FID, over the trials that "
        "reached it. Peak memory: of the GPU where one trained, else of the process, which in-line trials share. "
        "Energy where the GPU reports its power."
    )
    return study.table(f"cost-{protocol}", "cost", columns, pd.DataFrame(rows), note)


def _round_up(value: float) -> float:
    """Round up to two significant digits."""
    if not value > 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit) * unit:.6g}")


# --------------------------------------------------------------------------------- per factor, per epoch


def factor_tables(study: Study, protocol: str) -> Iterator[Table]:
    """Compare the levels of a factor over equal seeds and otherwise equal settings, for each recipe."""
    final, compared = study.final(protocol), study.shown(COMPARED)
    noise = _noise(study, protocol)
    for factor, fields in factors.FACTORS.items():
        rows = factors.factor_rows(study.trials, fields, final, compared, noise)
        if rows:
            yield _factor_table(study, protocol, factor, rows)
    done = study.scores[(study.scores["status"] == "done") & (study.scores["protocol"] == protocol)]
    rows = factors.epoch_rows(done, study.shown(("fid",)), noise)
    if rows:
        yield _factor_table(study, protocol, "epochs", rows)


def _noise(study: Study, protocol: str) -> Callable[[str], float]:
    return lambda metric: study.noise(protocol, metric)


def _factor_table(study: Study, protocol: str, factor: str, rows: list[dict[str, Any]]) -> Table:
    note = f"Scores {protocol}. {factors.NOTE}"
    frame = pd.DataFrame(rows).assign(protocol=protocol)
    return study.table(f"factor-{factor}-{protocol}", factor, factors.COLUMNS, frame, note)


def epoch_table(study: Study, protocol: str) -> Iterator[Table]:
    """Every setting's FID as training goes on."""
    kept = study.fids(protocol)  # finished trials only: others at each epoch would be different seeds
    epochs = sorted(int(e) for e in kept["epoch"].unique())
    if len(epochs) < 2:
        return
    wide = kept.pivot_table(index="trial", columns="epoch", values="value")
    rows = []
    for row, done in study.settings():
        for epoch in epochs:
            put(row, f"epoch_{epoch}", interval_of(done["trial"].map(wide[epoch])))
        rows.append(row)
    columns = [
        Column("setting", "setting", vital=True),
        *[Column(f"epoch_{e}", f"epoch {e}", "interval") for e in epochs],
    ]
    note = f"{arrow('fid')} {protocol} after so many epochs of the same finished trials; 95 % intervals over seeds."
    yield study.table(f"epochs-{protocol}", "FID by epoch", columns, pd.DataFrame(rows), note)


# --------------------------------------------------------------------------------------------- published


def published_table(study: Study) -> Iterator[Table]:
    """Set published values beside ours, where there are any for these datasets."""
    rows = published_rows(study.dataset, study.image_size, study.protocols, study.profile)
    if rows:
        yield study.table("published", "published values", PUBLISHED_COLUMNS, pd.DataFrame(rows))
