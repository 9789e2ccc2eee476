"""What the page shows of a single trial, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_bench.config.measures import MEASURES
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import split_name
from gan_bench.records.schema import STATISTICS, Statistics
from gan_bench.records.summary import CURVE_POINTS
from gan_bench.report.page.curves import TITLES
from gan_bench.report.study.frame import status_shown
from gan_bench.report.study.table import arrow

MANY = 500
"""Beyond so many trials their curves have half of ``CURVE_POINTS``."""


class _Pool:
    """Keeps values that many trials share once, and gives each its place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:  # noqa: ANN401 - any JSON-able value
        text = json.dumps(value, sort_keys=True)
        if text not in self._places:
            self._places[text] = len(self.values)
            self.values.append(value)
        return self._places[text]


Curve = Mapping[str, list[Any]]
"""A thinned curve: ``epoch`` and the four values by their titles."""


def trial_details(
    trials: list[StoredTrial], curves: Mapping[str, Curve], strips: Mapping[str, str], results: Path
) -> dict[str, object]:
    """Collect what the details of every trial show; what many trials share is kept once.

    Args:
        trials: The trials.
        curves: Their thinned curves, by trial; some may have none.
        strips: Names of the sample strips that are on the page, by trial.
        results: The results folder.

    Returns:
        ``trials`` by id, and the values that they refer to by their place in ``shared``.
    """
    pool, found = _Pool(), {}
    for trial in trials:
        config, left_out = trial.trial["config"], ("files", "best", "final", "sha256", "schema", "status")
        environment = {key: value for key, value in trial.environment.items() if key not in ("started", "sha256")}
        found[trial.trial["id"]] = {
            "name": trial.trial["name"],
            "status": status_shown(trial),
            "folder": trial.path.name,
            "scores": _final_scores(trial),
            "scored": pool.place(_protocols(trial)),
            "curve": curves.get(trial.trial["id"], {"epoch": []}),
            "strip": strips.get(trial.trial["id"]),
            "place": _place(trial, results),
            "epochs": pool.place([line["epoch"] for line in trial.evaluations]),
            "seed": config["seed"],
            "config": pool.place({key: value for key, value in config.items() if key != "seed"}),
            "provenance": pool.place(trial.trial.get("provenance", {})),
            "started": trial.environment.get("started"),
            "environment": pool.place(environment),
            "record": {key: value for key, value in (trial.record or {}).items() if key not in left_out},
        }
    return {"trials": found, "shared": pool.values}


def _protocols(trial: StoredTrial) -> list[list[str]]:
    """Return title and protocol of a trial's last scores."""
    return [
        [arrow(s["metric"]) if s["metric"] in MEASURES else s["metric"], str(split_name(s["name"])[1])]
        for s in (trial.evaluations[-1]["scores"] if trial.evaluations else ())
    ]


def _place(trial: StoredTrial, results: Path) -> str | None:
    """Return a record's path relative to the report's usual place in the results folder."""
    return f"../{trial.path.relative_to(results).as_posix()}" if trial.path.is_relative_to(results) else None


def _final_scores(trial: StoredTrial) -> list[list[Any]]:
    """Return value, spread of repeated scoring, and note of a trial's last scores."""
    return [
        [s["value"], s.get("draw_std"), s.get("note")]
        for s in (trial.evaluations[-1]["scores"] if trial.evaluations else ())
    ]


def thin_curve(trial: StoredTrial, trials: int) -> Curve:
    """Thin a trial's losses and outputs to a few points, each the mean of the lines it stands for.

    Args:
        trial: The trial, with its history.
        trials: How many trials the page shows.
    """
    points = CURVE_POINTS if trials <= MANY else CURVE_POINTS // 2
    epochs = [line for line in trial.history if line["kind"] == "epoch"]
    steps = [line for line in trial.history if line["kind"] == "step"]
    if len(steps) > len(epochs) and epochs:
        per_epoch = epochs[0]["step"] / epochs[0]["epoch"]
        rows: list[tuple[float, Statistics]] = [(line["step"] / per_epoch, line) for line in steps]
    else:
        rows = [(float(line["epoch"]), line["mean"]) for line in epochs]
    size = -(-len(rows) // points) or 1
    pieces = [rows[i : i + size] for i in range(0, len(rows), size)]
    found: dict[str, list[Any]] = {"epoch": [float(f"{piece[-1][0]:.5g}") for piece in pieces]}
    for name in STATISTICS:
        values = [[value for _, line in piece if (value := line[name]) is not None] for piece in pieces]
        found[TITLES[name]] = [float(f"{sum(v) / len(v):.3g}") if v else None for v in values]
    return found
