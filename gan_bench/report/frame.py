"""Records -> tidy frames: one row per trial, one per score, one per epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gan_bench.core.canonical import canonical_json
from gan_bench.core.text import printable
from gan_bench.records.reader import StoredTrial

STATISTICS = ("loss_d", "loss_g", "d_real", "d_fake")
MEANS = tuple(f"mean_{name}" for name in STATISTICS)
_EPOCH_COLUMNS = ("trial", "epoch", *STATISTICS, *MEANS, "train_seconds")
_SCORE_COLUMNS = ["trial", "epoch", "metric", "protocol", "value", "draw_std", "train_seconds"]
BAD = ("diverged", "failed")
"""Statuses of trials that ended without a generator to score."""
FEW_EPOCHS = 10
COSTS = ("train_seconds", "evaluate_seconds", "images_per_second", "peak_megabytes", "kilojoules")


@dataclass(frozen=True)
class Frames:
    """What every table is made from.

    Attributes:
        trials: One row per trial: suite, profile, name, setting, group (config without seed), seed, status, reason,
            every config field, epochs_done, the four final means, train_seconds, evaluate_seconds,
            images_per_second, peak_megabytes, kilojoules, device, threads, path, and whether d_real and d_fake are
            probabilities.
        history: One row per trial and finished epoch: trial, epoch, the last batch's four values, the same as means
            over the epoch with the prefix ``mean_``, and train_seconds.
        steps: One row per ``step`` line that was read: trial, epoch as a fraction, and the four values.
        scores: One row per trial, evaluation and metric: trial, epoch, metric, protocol, value, draw_std,
            train_seconds.
    """

    trials: pd.DataFrame
    scores: pd.DataFrame
    history: pd.DataFrame
    steps: pd.DataFrame


def few_epochs(config: Mapping[str, Any]) -> bool:
    """Say whether a trial has so few epochs that its curves are drawn from steps."""
    return int(config["epochs"]) <= FEW_EPOCHS


def build_frames(stored: Iterable[StoredTrial]) -> Frames:
    """Flatten records.

    Args:
        stored: Trials as read back, of any suites.

    Returns:
        Frames that have all columns even when there are no rows.
    """
    trials, scores = [], []
    steps: dict[str, list[Any]] = {name: [] for name in ("trial", "epoch", *STATISTICS)}
    epochs: dict[str, list[Any]] = {name: [] for name in _EPOCH_COLUMNS}  # columns: rows of 600,000 take gigabytes
    for item in stored:
        trials.append(_trial_row(item))
        scores += _score_rows(item)
        _add_epochs(item, epochs)
        _add_steps(item, steps)
    trial_frame = _numeric(pd.DataFrame(trials), (*STATISTICS, *COSTS))
    score_frame = pd.DataFrame(scores, columns=_SCORE_COLUMNS)
    return Frames(
        trials=trial_frame,
        scores=_numeric(score_frame, ("value", "draw_std", "train_seconds")),
        history=_numeric(pd.DataFrame(epochs), _EPOCH_COLUMNS[2:]),
        steps=_numeric(pd.DataFrame(steps), ("epoch", *STATISTICS)),
    )


def _numeric(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Make columns float, with NaN for what is missing, also when everything is."""
    return frame.astype({column: float for column in columns if column in frame})


def _key(config: Mapping[str, Any], without: tuple[str, ...]) -> str:
    return canonical_json({name: value for name, value in config.items() if name not in without})


def group_key(config: Mapping[str, Any], factor: tuple[str, ...] = ()) -> str:
    """Name what trials of one setting share: the whole config without the seed and without a factor's fields."""
    return _key(config, ("seed", *factor))


def _trial_row(item: StoredTrial) -> dict[str, Any]:
    config, record = item.trial["config"], item.record or {}
    final = record.get("final", {})
    seconds = record.get("train_seconds")
    images = record.get("images", 0)
    return {
        **{key: printable(value) if isinstance(value, str) else value for key, value in config.items()},
        "trial": item.trial["id"],
        "name": printable(item.trial["name"]),
        "setting": printable(item.trial["setting"]),
        "config": config,
        "drawn": tuple(item.trial.get("drawn", ())),
        "group": group_key(config),
        "status": status_of(item),
        "reason": printable(record.get("reason") or item.damage or ""),
        "epochs_done": record.get("epochs", 0),
        **{name: final.get(name) for name in STATISTICS},
        "train_seconds": seconds,
        "evaluate_seconds": record.get("evaluate_seconds"),
        "images_per_second": images / seconds if seconds else None,
        "peak_megabytes": _scaled(record.get("peak_memory_bytes"), 1e6),
        "kilojoules": _scaled(record.get("energy_joules"), 1e3),
        "device": item.environment.get("device", ""),
        "threads": item.environment.get("threads"),
        "probabilities": item.environment.get("d_output", "logit") == "logit",
        "path": item.path,
    }


def status_of(item: StoredTrial) -> str:
    """Return how a trial ended, or how it stands: damaged, unfinished or planned."""
    if item.record:
        return str(item.record["status"])
    return "damaged" if item.damage else "unfinished" if item.environment else "planned"


def _score_rows(item: StoredTrial) -> list[dict[str, Any]]:
    rows = []
    for line in item.evaluations:
        for score in line["scores"]:
            protocol = score["name"].partition("[")[2].rstrip("]")
            rows.append(
                {
                    "trial": item.trial["id"],
                    "epoch": line["epoch"],
                    "metric": score["metric"],
                    "protocol": protocol,
                    "value": score["value"],
                    "draw_std": score.get("draw_std"),
                    "train_seconds": line.get("train_seconds"),
                }
            )
    return rows


def _add_epochs(item: StoredTrial, columns: dict[str, list[Any]]) -> None:
    trial = item.trial["id"]
    for line in item.history:
        if line["kind"] == "epoch":
            last, mean = line["last"], line.get("mean", {})
            columns["trial"].append(trial)
            columns["epoch"].append(line["epoch"])
            columns["train_seconds"].append(line.get("train_seconds"))
            for name, mean_name in zip(STATISTICS, MEANS, strict=True):
                columns[name].append(last.get(name))
                columns[mean_name].append(mean.get(name))


def _add_steps(item: StoredTrial, columns: dict[str, list[Any]]) -> None:
    per_epoch = next((line["step"] / line["epoch"] for line in item.history if line["kind"] == "epoch"), None)
    if not per_epoch:
        return
    for line in item.history:
        if line["kind"] == "step":
            columns["trial"].append(item.trial["id"])
            columns["epoch"].append(line["step"] / per_epoch)
            for name in STATISTICS:
                columns[name].append(line.get(name))


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
