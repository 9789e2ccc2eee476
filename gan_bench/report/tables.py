"""Tidy frames -> every table that the records allow. Drawing them is ``render``'s job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from gan_bench.report import factors
from gan_bench.report.frame import Frames
from gan_bench.report.published import COLUMNS as PUBLISHED_COLUMNS
from gan_bench.report.published import published_rows
from gan_bench.report.reproduction import COLUMNS as REPRODUCTION_COLUMNS
from gan_bench.report.reproduction import NOTE as REPRODUCTION_NOTE
from gan_bench.report.reproduction import protocol_table, reproduction_rows
from gan_bench.report.table import Column, Table, arrow, interval_of, put
from gan_bench.scores import MEASURES

QUALITY = ("fid", "fid_inf", "kid", "is", "precision", "recall")
HEALTH = ("classes", "class_kl", "copies", "collapsed")
COMPARED = ("fid", "kid", "is")

Anchors = Mapping[str, list[dict[str, Any]]]


def all_tables(frames: Frames, anchors: Anchors | None = None) -> list[Table]:
    """Make every table that the records allow, suite by suite and profile by profile.

    Quick and full trials, and scores of different protocols, never share a ranking.

    Args:
        frames: What ``build_frames`` made of the records.
        anchors: Scores of held-out real pictures, by suite.
    """
    if frames.trials.empty:
        return []
    tables: list[Table] = []
    keys = ["suite", "profile", "dataset", "image_size"]
    for (suite, profile, dataset, _), trials in frames.trials.groupby(keys, sort=True):
        scores = frames.scores[frames.scores["trial"].isin(trials["trial"])]
        study = _Study(str(suite), str(profile), str(dataset), trials, scores, (anchors or {}).get(str(suite), []))
        tables.append(study.trial_table())
        for protocol in study.protocols:
            tables.append(study.setting_table(protocol))
            tables.append(study.health_table(protocol))
            tables += study.factor_tables(protocol)
            tables += study.epoch_table(protocol)
        tables += study.published_table()
    for (suite, profile), trials in frames.trials.groupby(["suite", "profile"], sort=True):
        tables += _article_tables(str(suite), str(profile), trials, frames.history)
    return tables


def _table(
    names: tuple[str, ...], what: str, title: str, columns: list[Column], rows: pd.DataFrame, note: str
) -> Table:
    """Name a table after its suite, profile and dataset, and mark what is cut down."""
    suite, profile, *dataset = names
    mark = "QUICK profile, cut down" if profile == "quick" else "full profile"
    own = [name for name in dataset if name != suite]
    slug = "".join(c if c.isalnum() or c in "-." else "-" for c in "-".join([suite, profile, *own, what]))
    where = ", ".join([suite, *own])
    return Table(slug, f"{where}: {title} ({mark})", tuple(columns), rows, note)


def _article_tables(suite: str, profile: str, trials: pd.DataFrame, history: pd.DataFrame) -> Iterator[Table]:
    """Set what the articles say beside what was measured."""
    names = (suite, profile)
    rows = list(reproduction_rows(trials, history))
    if rows:
        frame = pd.DataFrame(rows)
        yield _table(names, "reproduction", "reproduction", REPRODUCTION_COLUMNS, frame, REPRODUCTION_NOTE)
    columns, frame = protocol_table(trials)
    note = "In brackets where a value comes from: the article's text (stated), its code, its lineage, or our choice."
    yield _table(names, "protocol", "the articles' protocols", columns, frame, note)


def _pick(trials: pd.DataFrame, scores: pd.DataFrame, metric: str) -> pd.Series[float]:
    """Return one metric of some trials, NaN where there is none."""
    return trials["trial"].map(scores[metric]).astype(float)


class _Study:
    """The trials of one suite on one dataset under one profile: what may be compared."""

    def __init__(
        self,
        suite: str,
        profile: str,
        dataset: str,
        trials: pd.DataFrame,
        scores: pd.DataFrame,
        anchors: list[dict[str, Any]],
    ) -> None:
        self.names, self.profile, self.dataset = (suite, profile, dataset), profile, dataset
        self.image_size = int(trials["image_size"].iloc[0])
        self.trials, self.anchors = trials, anchors
        self.scores = scores.merge(trials[["trial", "epochs_done", "status"]], on="trial")
        self.protocols = sorted(self.scores["protocol"].unique())
        self.metrics = [name for name in MEASURES if name in set(self.scores["metric"])]

    def _table(self, what: str, title: str, columns: list[Column], rows: pd.DataFrame, note: str = "") -> Table:
        return _table(self.names, what, title, columns, rows, note)

    def _final(self, protocol: str, value: str = "value") -> pd.DataFrame:
        """Return the last scores of finished trials, one column per metric, indexed by trial."""
        at_end = self.scores["epoch"] == self.scores["epochs_done"]
        kept = self.scores[at_end & (self.scores["protocol"] == protocol) & (self.scores["status"] == "done")]
        wide = kept.pivot_table(index="trial", columns="metric", values=value, aggfunc="last", dropna=False)
        return wide.reindex(columns=list(MEASURES))

    def _shown(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if name in self.metrics]

    def _settings(self) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
        """Yield the start of a row and the finished trials of every setting."""
        for _, members in self.trials.groupby("group", sort=False):
            done = members[members["status"] == "done"]
            yield (
                {
                    "setting": members["label"].iloc[0],
                    "epochs": int(members["epochs"].iloc[0]),
                    "planned": len(members),
                    "done": len(done),
                },
                done,
            )

    # ------------------------------------------------------------------------------------- per trial

    def trial_table(self) -> Table:
        """One row per planned trial, failures included."""
        rows = self.trials.copy()
        columns = [
            Column("name", "trial"),
            Column("status", "status"),
            Column("epochs_done", "epochs", "count"),
            Column("loss_d", "loss D", "number"),
            Column("loss_g", "loss G", "number"),
            Column("d_real", "D(real)", "number"),
            Column("d_fake", "D(fake)", "number"),
        ]
        for protocol in self.protocols:
            final = self._final(protocol)
            for metric in self._shown(("fid", "is")):
                key = f"{metric}[{protocol}]"
                rows[key] = _pick(rows, final, metric)
                title = arrow(metric) if len(self.protocols) == 1 else f"{arrow(metric)} {protocol}"
                columns.append(Column(key, title, "number"))
        columns += [
            Column("train_seconds", "train s", "seconds"),
            Column("images_per_second", "images/s", "count"),
            Column("reason", "reason"),
        ]
        note = (
            "Losses and D outputs are means over the last epoch; D(real) and D(fake) are taken before D's update. "
            f"Scores: {'; '.join(self.protocols) or 'none yet'}."
        )
        return self._table("trials", "trials", columns, rows.sort_values(["label", "seed"]), note)

    # ----------------------------------------------------------------------------------- per setting

    def setting_table(self, protocol: str) -> Table:
        """Settings ranked by FID, with the two anchors that are no model."""
        final, draws = self._final(protocol), self._final(protocol, "draw_std")
        rows = []
        for row, done in self._settings():
            values = {name: _pick(done, final, name) for name in self._shown(QUALITY)}
            for name, series in values.items():
                put(row, name, interval_of(series))
            row["sd_seeds"] = values["fid"].std() if len(values["fid"].dropna()) > 1 else None
            row["sd_draws"] = _pick(done, draws, "fid").mean()
            put(row, "train_seconds", interval_of(done["train_seconds"]))
            rows.append(row)
        frame = pd.DataFrame(rows).sort_values("fid", na_position="last", kind="stable")
        frame.insert(0, "rank", pd.Series(range(1, len(frame) + 1), index=frame.index).where(frame["fid"].notna()))
        frame = pd.concat([frame, pd.DataFrame(self._anchor_rows(protocol, QUALITY))], ignore_index=True)
        columns = [
            Column("rank", "#", "count"),
            Column("setting", "setting"),
            Column("epochs", "epochs", "count"),
            Column("done", "seeds", "count"),
            *[Column(name, arrow(name), "interval") for name in self._shown(QUALITY)],
            Column("sd_seeds", "FID sd seeds", "number"),
            Column("sd_draws", "FID sd draws", "number"),
            Column("train_seconds", "train s", "interval"),
        ]
        note = (
            f"Scores {protocol}: extractor, reference split, generated pictures. Mean ± half the 95 % t interval over "
            "seeds. sd seeds: between trainings; sd draws: between evaluations of one generator."
        )
        return self._table(f"settings-{protocol}", "settings", columns, frame, note)

    def health_table(self, protocol: str) -> Table:
        """Modes, memorisation and the state of the game, per setting."""
        final = self._final(protocol)
        rows = []
        for row, done in self._settings():
            for name in self._shown(HEALTH):
                put(row, name, interval_of(_pick(done, final, name)))
            for name in ("d_real", "d_fake", "loss_d", "loss_g"):
                put(row, name, interval_of(done[name]))
            rows.append(row)
        frame = pd.concat([pd.DataFrame(rows), pd.DataFrame(self._anchor_rows(protocol, HEALTH))], ignore_index=True)
        columns = [
            Column("setting", "setting"),
            Column("planned", "planned", "count"),
            Column("done", "done", "count"),
            *[Column(name, arrow(name), "interval") for name in self._shown(HEALTH)],
            Column("d_real", "D(real)", "interval"),
            Column("d_fake", "D(fake)", "interval"),
            Column("loss_d", "loss D", "interval"),
            Column("loss_g", "loss G", "interval"),
        ]
        told = "; ".join(f"{MEASURES[name].title}: {MEASURES[name].description}" for name in self._shown(HEALTH))
        return self._table(f"health-{protocol}", "health", columns, frame, f"{told}." if told else "")

    def _anchor_rows(self, protocol: str, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """Yield the *real* row, the floor, and the *noise* row, the untrained generators."""
        extractor, split, generated = protocol.split(",")
        for anchor in self.anchors:
            place = (anchor["dataset"], anchor["image_size"], str(anchor["samples"]))
            if place != (self.dataset, self.image_size, generated):
                continue
            values = {
                score["metric"]: score["value"]
                for score in anchor["scores"]
                if score["extractor"] == extractor and score["split"] == split
            }
            if values:
                text = f"(real: {anchor['pictures']} {anchor['what']}, {anchor['dataset']})"
                yield {"setting": text, **{name: values.get(name) for name in self._shown(names)}}
        start = self.scores[(self.scores["epoch"] == 0) & (self.scores["protocol"] == protocol)]
        means = start.groupby("metric")["value"].mean()
        yield {
            "setting": "(noise: untrained generators)",
            "epochs": 0,
            **{name: means.get(name) for name in self._shown(names)},
        }

    # ------------------------------------------------------------------------- per factor, per epoch

    def factor_tables(self, protocol: str) -> Iterator[Table]:
        """Compare the levels of a factor over equal seeds and otherwise equal settings, for each recipe."""
        final = self._final(protocol)
        for factor, fields in factors.FACTORS.items():
            rows = list(factors.factor_rows(self.trials, fields, final, self._shown(COMPARED)))
            if rows:
                note = (
                    f"Scores {protocol}. Pairs have equal seeds and otherwise equal settings; differences are averaged "
                    "within a seed, the 95 % t interval is over seeds. Lost: pairs of which one trial has no score, "
                    "because it failed, diverged or has not run. A verdict needs an interval without zero."
                )
                name = f"factor-{factor}-{protocol}"
                yield self._table(name, factor, factors.COLUMNS, pd.DataFrame(rows), note)

    def epoch_table(self, protocol: str) -> Iterator[Table]:
        """Compare epoch counts within the same trials: every setting's FID as training goes on."""
        kept = self.scores[(self.scores["protocol"] == protocol) & (self.scores["metric"] == "fid")]
        kept = kept.merge(self.trials[["trial", "group", "label"]], on="trial")
        epochs = sorted(int(e) for e in kept["epoch"].unique() if e > 0)
        if len(epochs) < 2:
            return
        rows = []
        for _, everyone in kept.groupby("group", sort=False):
            # Only trials that reached the end: a mean over others at each epoch would compare different seeds.
            members = everyone[everyone["status"] == "done"]
            row: dict[str, Any] = {"setting": everyone["label"].iloc[0]}
            for epoch in epochs:
                put(row, f"epoch_{epoch}", interval_of(members[members["epoch"] == epoch]["value"]))
            rows.append(row)
        columns = [Column("setting", "setting"), *[Column(f"epoch_{e}", f"epoch {e}", "interval") for e in epochs]]
        note = f"{arrow('fid')} {protocol} after so many epochs of the same finished trials; 95 % t intervals."
        yield self._table(f"epochs-{protocol}", "FID by epoch", columns, pd.DataFrame(rows), note)

    # ------------------------------------------------------------------------------------- published

    def published_table(self) -> Iterator[Table]:
        """Set published values beside ours, where there are any for these datasets."""
        rows = published_rows(self.dataset, self.image_size, self.protocols, self.profile)
        if rows:
            yield self._table("published", "published values", PUBLISHED_COLUMNS, pd.DataFrame(rows))
