"""Curves as data: the style of a setting in every plot, its training curves, and the page's data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gan_bench.config.measures import MEASURES
from gan_bench.records.schema import STATISTICS
from gan_bench.report.findings.standings import standings
from gan_bench.report.study.frame import MEANS, STATISTIC_TITLES
from gan_bench.report.study.study import Study
from gan_bench.report.study.table import arrow

SETTINGS = 40
"""Most settings that the page draws, the best ones."""
POINTS = 150
"""Most points of a curve on the page; bands show the range between."""
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A000")
"""Colours for colour-blind readers (Okabe and Ito 2008), legible on light and dark; dashes and markers distinguish them
in grey."""
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
_MARKERS = "osD^vPX*"
ACCENT = _COLOURS[0]


def best_first(study: Study) -> list[str]:
    """Return the labels of settings, those with the best primary score first."""
    ranked = [each.label for each in standings(study.scored[0]).ranked] if study.scored else []
    return list(dict.fromkeys([*ranked, *(setting.label for setting in study.settings)]))


@dataclass(frozen=True)
class Style:
    """The style of a setting in every plot: colour, and dashes and markers for print in grey."""

    colour: str
    dash: Any
    marker: str


def styles(study: Study) -> dict[str, Style]:
    """Give every setting its style, by label; neighbours in the ranking differ in everything."""
    return {label: style(i) for i, label in enumerate(best_first(study))}


def style(place: int) -> Style:
    """Return the style at an index; neighbours differ in everything."""
    return Style(_COLOURS[place % 8], _DASHES[(place + place // 8) % 4], _MARKERS[place % 8])


def training_curves(study: Study, labels: list[str]) -> dict[str, pd.DataFrame]:
    """Return the drawn data of each setting: epoch and the four values; steps if epochs are few."""
    members = study.trials[study.trials["label"].isin(labels)][["trial", "label"]]
    steps = study.steps.merge(members, on="trial")
    means = study.history[["trial", "epoch", *MEANS]].rename(columns=dict(zip(MEANS, STATISTICS, strict=True)))
    epochs = means.merge(members, on="trial")
    found = {}
    for label in labels:
        mine = steps[steps["label"] == label]
        mine = _thinned(mine) if len(mine) else epochs[epochs["label"] == label]
        if len(mine):
            found[label] = mine
    return found


def _thinned(steps: pd.DataFrame) -> pd.DataFrame:
    """Round steps to at most ``POINTS`` positions; all values are kept, so that bands show every peak."""
    if steps["epoch"].nunique() <= POINTS:
        return steps
    width = steps["epoch"].max() / POINTS
    return steps.assign(epoch=(steps["epoch"] / width).round() * width)


def explorer(study: Study) -> dict[str, object]:
    """Return every curve of a study for the page: settings with styles, measures and values.

    Returns:
        ``settings``: label, colour and dash of each; ``measures``: key, title and whether a logarithmic axis suits it;
        ``curves``: by measure, one ``[setting, epochs, seconds, means, lows, highs]`` for each setting that has it,
        means over seeds with the range of seeds, at most ``POINTS`` places.
    """
    known = styles(study)
    labels = best_first(study)[:SETTINGS]
    place = {label: i for i, label in enumerate(labels)}
    measures, curves = [], {}
    for key, title, log, frame in _frames(study, labels):
        drawn = []
        for label, mine in _drawn_points(frame):
            if mine["mean"].notna().any():
                columns = [[_rounded(v) for v in mine[name]] for name in ("epoch", "seconds", "mean", "low", "high")]
                drawn.append([place[label], *columns])
        if drawn:
            measures.append({"key": key, "title": title, "log": log})
            curves[key] = drawn
    return {
        "settings": [
            {"label": label, "colour": known[label].colour, "dash": _on_page(known[label].dash)} for label in labels
        ],
        "measures": measures,
        "curves": curves,
    }


def _drawn_points(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the points of each setting: epoch, seconds, and mean, low and high over seeds."""
    if frame.empty:
        return
    thinned = pd.concat([_thinned(mine) for _, mine in frame.groupby("label", sort=False)])
    grouped = thinned.groupby(["label", "epoch"])  # all settings at once: pandas takes milliseconds for each call
    values = grouped["value"]
    columns = {"seconds": grouped["seconds"].median(), "mean": values.mean(), "low": values.min(), "high": values.max()}
    points = pd.DataFrame(columns).reset_index("epoch")
    for label in frame["label"].unique():
        yield str(label), points.loc[[label]]


def _frames(study: Study, labels: list[str]) -> Iterator[tuple[str, str, bool, pd.DataFrame]]:
    """Yield key, title, whether ratios are compared, and (label, epoch, seconds, value) of everything that is drawn."""
    shown = study.scores[(study.scores["status"] == "done") & study.scores["label"].isin(labels)]
    protocols = [each.protocol for each in (*study.scored, *study.averages)]
    for protocol in protocols:
        for metric in study.metrics:
            mine = shown[(shown["protocol"] == protocol) & (shown["metric"] == metric)].dropna(subset=["value"])
            if mine["epoch"].nunique() > 1:
                title = arrow(metric) + (f" ({protocol})" if len(protocols) > 1 else "")
                frame = mine[["label", "epoch", "value"]].assign(seconds=mine["train_seconds"])
                yield f"{metric}|{protocol}", title, MEASURES[metric].log_scale, frame
    found = training_curves(study, labels)
    pace = study.history.groupby("trial").tail(1).merge(study.trials[["trial", "label"]], on="trial")
    per_epoch = (pace["train_seconds"] / pace["epoch"]).groupby(pace["label"]).median()
    if found:
        lines = pd.concat(found.values(), ignore_index=True)
        lines = lines.assign(seconds=lines["epoch"] * lines["label"].map(per_epoch))
        for name, title in STATISTIC_TITLES.items():
            yield name, title, False, lines.assign(value=lines[name]).dropna(subset=["value"])


def _rounded(value: float) -> float | None:
    return None if not np.isfinite(value) else float(f"{value:.5g}")


def _on_page(dash: Any) -> list[float]:  # noqa: ANN401 - matplotlib's forms
    return [] if dash == "solid" else [2 * float(length) for length in dash[1]]
