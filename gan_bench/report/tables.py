"""Tidy frames -> tables, as data. Drawing them is ``render``'s job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from gan_bench.report.frame import Frames, group_key
from gan_bench.report.stats import Interval, mean_interval, paired_difference

LOWER_IS_BETTER = {"fid": True, "is": False}
TITLES = {"fid": "FID", "is": "IS"}
FACTORS = {"learning rate": ("lr_g", "lr_d"), "betas": ("betas_g", "betas_d")}

Kind = Literal["text", "count", "number", "seconds", "interval"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: Column of the frame; an ``interval`` also reads ``key_low``, ``key_high`` and ``key_n``.
        title: What people read.
        kind: How a value is written.
    """

    key: str
    title: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Table:
    """A table as data.

    Attributes:
        name: Name of its files.
        title: One line above it.
        columns: What is shown, in order.
        rows: The frame; it may hold more columns than are shown.
        note: One line below it, or nothing.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: pd.DataFrame
    note: str = ""


def all_tables(frames: Frames) -> list[Table]:
    """Make every table that the records allow, suite by suite and profile by profile.

    Quick and full trials, and scores of different protocols, never share a ranking.
    """
    if frames.trials.empty:
        return []
    tables: list[Table] = []
    for (suite, profile), trials in frames.trials.groupby(["suite", "profile"], sort=True):
        study = _Study(str(suite), str(profile), trials, frames.scores[frames.scores["trial"].isin(trials["trial"])])
        tables.append(study.trial_table())
        for protocol in study.protocols:
            tables.append(study.setting_table(protocol))
            tables += study.factor_tables(protocol)
            tables += study.epoch_table(protocol)
    return tables


def arrow(metric: str) -> str:
    """Title of a metric with an arrow towards better."""
    return f"{TITLES.get(metric, metric)} {'↓' if LOWER_IS_BETTER.get(metric, True) else '↑'}"


def _put(row: dict[str, Any], key: str, interval: Interval | None) -> None:
    row[key] = interval.mean if interval else None
    row[f"{key}_low"] = interval.low if interval else None
    row[f"{key}_high"] = interval.high if interval else None
    row[f"{key}_n"] = interval.n if interval else 0


def _interval(values: pd.Series[Any]) -> Interval | None:
    known = values.dropna().astype(float)
    return mean_interval(known) if len(known) else None


class _Study:
    """The trials of one suite under one profile."""

    def __init__(self, suite: str, profile: str, trials: pd.DataFrame, scores: pd.DataFrame) -> None:
        self.suite, self.profile, self.trials = suite, profile, trials
        self.scores = scores.merge(trials[["trial", "epochs_done", "status"]], on="trial")
        self.protocols = sorted(self.scores["protocol"].unique())
        self.metrics = [m for m in TITLES if m in set(self.scores["metric"])]

    def _table(self, what: str, title: str, columns: list[Column], rows: pd.DataFrame, note: str = "") -> Table:
        mark = "QUICK profile, cut down" if self.profile == "quick" else "full profile"
        slug = "".join(c if c.isalnum() or c in "-." else "-" for c in what)
        return Table(
            f"{self.suite}-{self.profile}-{slug}", f"{self.suite}: {title} ({mark})", tuple(columns), rows, note
        )

    def _final(self, protocol: str) -> pd.DataFrame:
        """Return the last scores of finished trials, one column per metric, indexed by trial."""
        at_end = self.scores["epoch"] == self.scores["epochs_done"]
        kept = self.scores[at_end & (self.scores["protocol"] == protocol) & (self.scores["status"] == "done")]
        return kept.pivot_table(index="trial", columns="metric", values="value", aggfunc="last").reindex(
            columns=self.metrics
        )

    # ------------------------------------------------------------------------------------- per trial

    def trial_table(self) -> Table:
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
            for metric in self.metrics:
                key = f"{metric}[{protocol}]"
                rows[key] = rows["trial"].map(final[metric])
                columns.append(Column(key, f"{arrow(metric)} {protocol}", "number"))
        columns += [
            Column("train_seconds", "train s", "seconds"),
            Column("images_per_second", "images/s", "count"),
            Column("reason", "reason"),
        ]
        note = "Losses and D outputs are means over the last epoch; D(real) and D(fake) are taken before D's update."
        return self._table("trials", "trials", columns, rows.sort_values(["label", "seed"]), note)

    # ----------------------------------------------------------------------------------- per setting

    def setting_table(self, protocol: str) -> Table:
        final = self._final(protocol)
        rows = []
        for _, members in self.trials.groupby("group", sort=False):
            done = members[members["status"] == "done"]
            row: dict[str, Any] = {
                "setting": members["label"].iloc[0],
                "epochs": int(members["epochs"].iloc[0]),
                "planned": len(members),
                "done": len(done),
            }
            for metric in self.metrics:
                _put(row, metric, _interval(done["trial"].map(final[metric])))
            for name in ("d_real", "d_fake", "train_seconds"):
                _put(row, name, _interval(done[name]))
            rows.append(row)
        metric = self.metrics[0]
        frame = pd.DataFrame(rows).sort_values(metric, ascending=LOWER_IS_BETTER[metric], na_position="last")
        frame.insert(0, "rank", pd.Series(range(1, len(frame) + 1), index=frame.index))
        frame.loc[frame[metric].isna(), "rank"] = None
        frame = pd.concat([frame, self._noise_row(protocol)], ignore_index=True)
        columns = [
            Column("rank", "#", "count"),
            Column("setting", "setting"),
            Column("epochs", "epochs", "count"),
            Column("done", "seeds done", "count"),
            *[Column(m, arrow(m), "interval") for m in self.metrics],
            Column("d_real", "D(real)", "interval"),
            Column("d_fake", "D(fake)", "interval"),
            Column("train_seconds", "train s", "interval"),
        ]
        note = (
            f"Scores {protocol}: extractor, reference split, generated pictures. Mean and 95 % t interval over seeds."
        )
        return self._table(f"settings-{protocol}", "settings", columns, frame, note)

    def _noise_row(self, protocol: str) -> pd.DataFrame:
        start = self.scores[(self.scores["epoch"] == 0) & (self.scores["protocol"] == protocol)]
        row: dict[str, Any] = {"setting": "(noise: untrained generators)", "epochs": 0}
        for metric in self.metrics:
            values = start[start["metric"] == metric]["value"]
            row[metric] = values.mean() if len(values.dropna()) else None
            row[f"{metric}_n"] = len(values)
        return pd.DataFrame([row])

    # ------------------------------------------------------------------------------------ per factor

    def factor_tables(self, protocol: str) -> Iterator[Table]:
        """Compare the levels of a factor over equal seeds and otherwise equal settings, for each recipe."""
        final = self._final(protocol)
        for factor, fields in FACTORS.items():
            rows = [
                row
                for recipe, members in self.trials.groupby("recipe", sort=True)
                for row in _factor_rows(str(recipe), members, fields, final, self.metrics)
            ]
            if rows:
                columns = [
                    Column("recipe", "recipe"),
                    Column("metric", "score"),
                    Column("first_level", "A"),
                    Column("second_level", "B"),
                    Column("first", "mean at A", "number"),
                    Column("second", "mean at B", "number"),
                    Column("difference", "B - A", "interval"),
                    Column("pairs", "pairs", "count"),
                    Column("seeds", "seeds", "count"),
                    Column("verdict", "better"),
                ]
                note = (
                    f"Scores {protocol}. Pairs have equal seeds and otherwise equal settings; differences are averaged "
                    "within a seed, the 95 % t interval is over seeds. A verdict needs an interval without zero."
                )
                yield self._table(f"factor-{factor}-{protocol}", f"{factor}", columns, pd.DataFrame(rows), note)

    # ------------------------------------------------------------------------------------- per epoch

    def epoch_table(self, protocol: str) -> Iterator[Table]:
        """Compare epoch counts within the same trials: every setting's first metric as training goes on."""
        metric = self.metrics[0]
        kept = self.scores[(self.scores["protocol"] == protocol) & (self.scores["metric"] == metric)]
        kept = kept.merge(self.trials[["trial", "group", "label"]], on="trial")
        epochs = sorted(int(e) for e in kept["epoch"].unique() if e > 0)
        if len(epochs) < 2:
            return
        rows = []
        for _, members in kept.groupby("group", sort=False):
            row: dict[str, Any] = {"setting": members["label"].iloc[0]}
            for epoch in epochs:
                _put(row, f"epoch_{epoch}", _interval(members[members["epoch"] == epoch]["value"]))
            rows.append(row)
        columns = [Column("setting", "setting"), *[Column(f"epoch_{e}", f"epoch {e}", "interval") for e in epochs]]
        note = (
            f"{arrow(metric)} {protocol} after so many epochs of the same trials. Mean and 95 % t interval over seeds."
        )
        yield self._table(f"epochs-{protocol}", f"{TITLES[metric]} by epoch", columns, pd.DataFrame(rows), note)


def _level(config: dict[str, Any], fields: tuple[str, str]) -> str | None:
    """Name the level of a factor, or None when the two nets differ in it."""
    g, d = (config[name] for name in fields)
    if g != d:
        return None
    return f"({g[0]:g}, {g[1]:g})" if isinstance(g, list) else f"{g:g}"


def _factor_rows(
    recipe: str, members: pd.DataFrame, fields: tuple[str, str], final: pd.DataFrame, metrics: list[str]
) -> Iterator[dict[str, Any]]:
    frame = pd.DataFrame(
        {
            "seed": members["seed"],
            "rest": [group_key(config, fields) for config in members["config"]],
            "level": [_level(config, fields) for config in members["config"]],
            **{metric: members["trial"].map(final[metric]) for metric in metrics},
        }
    ).dropna(subset=["level"])
    for first, second in combinations(sorted(frame["level"].unique()), 2):
        sides = [frame[frame["level"] == level] for level in (first, second)]
        pairs = sides[0].merge(sides[1], on=["seed", "rest"], suffixes=("_a", "_b"))
        for metric in metrics:
            known = pairs.dropna(subset=[f"{metric}_a", f"{metric}_b"])
            if known.empty:
                continue
            by_seed = known.groupby("seed")[[f"{metric}_a", f"{metric}_b"]].mean()
            interval = paired_difference(by_seed[f"{metric}_a"], by_seed[f"{metric}_b"])
            row: dict[str, Any] = {
                "recipe": recipe,
                "metric": arrow(metric),
                "first_level": first,
                "second_level": second,
                "first": by_seed[f"{metric}_a"].mean(),
                "second": by_seed[f"{metric}_b"].mean(),
                "pairs": len(known),
                "seeds": len(by_seed),
                "verdict": _verdict(interval, first, second, lower=LOWER_IS_BETTER[metric]),
            }
            _put(row, "difference", interval)
            yield row


def _verdict(interval: Interval, first: str, second: str, *, lower: bool) -> str:
    if interval.low is None or interval.high is None:
        return "one seed: undecided"
    if interval.low <= 0 <= interval.high:
        return "undecided"
    return second if (interval.mean < 0) == lower else first
