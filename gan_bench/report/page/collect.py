"""A results folder -> data of a report: how trials ended, and the displayed histories and details."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gan_bench.config.measures import MEASURES
from gan_bench.core.errors import AlteredError, RecordError
from gan_bench.records.folders import count_records, read_or_error, scan
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import split_name
from gan_bench.records.schema import STATISTICS, Statistics
from gan_bench.records.summary import CURVE_POINTS, mean_statistics
from gan_bench.report.findings.reproduction import own_trials
from gan_bench.report.page.curves import SETTINGS, best_first
from gan_bench.report.study.frame import STATISTIC_TITLES, Frames, Histories, build_frames, few_epochs, status_shown
from gan_bench.report.study.study import Study
from gan_bench.report.study.table import arrow

MANY = 500
"""Number of trials above which curves have half of ``CURVE_POINTS``."""
Curve = Mapping[str, list[Any]]
"""A thinned curve: ``epoch`` and the four values by their titles."""


def trial_details(
    trials: list[StoredTrial], curves: Mapping[str, Curve], strips: Mapping[str, str], results: Path
) -> dict[str, object]:
    """Collect the details of every trial; shared values are kept once.

    Args:
        trials: The trials.
        curves: Their thinned curves, by trial; some may have none.
        strips: Names of the sample strips that are on the page, by trial.
        results: The results folder; paths of records are given relative to its report.

    Returns:
        ``trials`` by id, and the values that they refer to by their place in ``shared``.
    """
    values, places, found = list[Any](), dict[str, int](), {}

    def shared(value: Any) -> int:  # noqa: ANN401 - any JSON-able value
        place = places.setdefault(json.dumps(value, sort_keys=True), len(values))
        if place == len(values):
            values.append(value)
        return place

    for trial in trials:
        config, left_out = trial.trial["config"], ("files", "best", "final", "sha256", "schema", "status")
        environment = {key: value for key, value in trial.environment.items() if key not in ("started", "sha256")}
        scores = trial.evaluations[-1]["scores"] if trial.evaluations else []
        titles = [arrow(s["metric"]) if s["metric"] in MEASURES else s["metric"] for s in scores]
        protocols = [str(split_name(s["name"])[1]) for s in scores]
        found[trial.trial["id"]] = {
            "name": trial.trial["name"],
            "status": status_shown(trial),
            "folder": trial.path.name,
            "scores": [[s["value"], s.get("draw_std"), s.get("note")] for s in scores],
            "scored": shared(list(zip(titles, protocols, strict=True))),
            "curve": curves.get(trial.trial["id"], {"epoch": []}),
            "strip": strips.get(trial.trial["id"]),
            "place": f"../{trial.path.relative_to(results).as_posix()}" if trial.path.is_relative_to(results) else None,
            "epochs": shared([line["epoch"] for line in trial.evaluations]),
            "seed": config["seed"],
            "config": shared({key: value for key, value in config.items() if key != "seed"}),
            "provenance": shared(trial.trial.get("provenance", {})),
            "started": trial.environment.get("started"),
            "environment": shared(environment),
            "record": {key: value for key, value in (trial.record or {}).items() if key not in left_out},
        }
    return {"trials": found, "shared": values}


def thin_curve(trial: StoredTrial, trials: int) -> Curve:
    """Thin a trial's losses and outputs to a few points, each the mean of its lines.

    Args:
        trial: The trial, with its history.
        trials: How many trials the page shows.
    """
    points = CURVE_POINTS if trials <= MANY else CURVE_POINTS // 2
    steps: list[tuple[float, Statistics]] = [*trial.steps_in_epochs()]
    epochs: list[tuple[float, Statistics]] = [(float(line["epoch"]), line["mean"]) for line in trial.epochs]
    rows = steps if len(steps) > len(epochs) else epochs
    size = -(-len(rows) // points) or 1
    pieces = [rows[i : i + size] for i in range(0, len(rows), size)]
    found: dict[str, list[Any]] = {"epoch": [float(f"{piece[-1][0]:.5g}") for piece in pieces]}
    means = [mean_statistics([line for _, line in piece]) for piece in pieces]
    for name in STATISTICS:
        found[STATISTIC_TITLES[name]] = [None if (v := each[name]) is None else float(f"{v:.3g}") for each in means]
    return found


MOST_HISTORIES = 2_000
"""Most trials of which all histories are read: they are most of the data of records, and a page draws the best settings
only."""


@dataclass(frozen=True)
class Collected:
    """What was read.

    Attributes:
        trials: The trials, without the lines of their histories.
        frames: What tables are made from.
        curves: Thinned curves for the details of trials, by trial.
        unreadable: One sentence for every record that could not be read.
        whole: Whether all histories are in ``frames``.
    """

    trials: list[StoredTrial]
    frames: Frames
    curves: Mapping[str, Curve]
    unreadable: list[str]
    whole: bool


def collect(results: Path) -> Collected:
    """Read a results folder; beyond ``MOST_HISTORIES`` trials, histories are left to ``with_histories``."""
    count = count_records(results)
    whole = count <= MOST_HISTORIES
    gathered, trials, unreadable = _Gathered(count), list[StoredTrial](), list[str]()
    for item in scan(results, steps=few_epochs, history=whole):
        if isinstance(item, RecordError):
            unreadable.append(item.line)
        else:
            trials.append(gathered.take(item))
            if isinstance(item.fault, AlteredError):
                unreadable.append(item.fault.line)
            elif item.added_fault:
                unreadable.append(item.added_fault.line)
    history, steps = gathered.histories.frames()
    frames = replace(build_frames(trials), history=history, steps=steps)
    return Collected(trials, frames, gathered.curves, unreadable, whole)


def with_histories(collected: Collected, made: list[Study]) -> Collected:
    """Add the histories of trials that are drawn or compared with an article.

    Args:
        collected: What ``collect`` read; histories that are there are not read again.
        made: Its studies, which are given the histories too.
    """
    if collected.whole:
        return collected
    wanted = set(own_trials(collected.frames.trials))
    for study in made:
        wanted.update(_trials_to_draw(study))
    gathered, unreadable = _Gathered(len(collected.trials)), list[str]()
    for trial in collected.trials:
        if trial.trial["id"] not in wanted or not (trial.record or trial.environment):
            continue
        item = read_or_error(trial.path, steps=few_epochs)
        if isinstance(item, RecordError):
            unreadable.append(item.line)
        else:
            gathered.take(item)
    history, steps = gathered.histories.frames()
    for study in made:
        study.set_histories(history, steps)
    return replace(
        collected,
        frames=replace(collected.frames, history=history, steps=steps),
        curves=gathered.curves,
        unreadable=[*collected.unreadable, *unreadable],
    )


class _Gathered:
    """Extracts the needed data of histories and frees them."""

    def __init__(self, trials: int) -> None:
        self.histories, self.curves, self._trials = Histories(), dict[str, Curve](), trials

    def take(self, item: StoredTrial) -> StoredTrial:
        """Return the trial without its history."""
        if item.history and not item.fault:
            self.histories.add(item)
            self.curves[item.trial["id"]] = thin_curve(item, self._trials)
        return replace(item, history=[])


def _trials_to_draw(study: Study) -> Iterator[str]:
    """Yield the trials that a page draws, up to a number per setting."""
    labels = best_first(study)[:SETTINGS]
    shown = study.trials[study.trials["label"].isin(labels)].sort_values("seed", kind="stable")
    most = max(1, MOST_HISTORIES // max(1, len(labels)))
    yield from shown.groupby("label", sort=False).head(most)["trial"]
