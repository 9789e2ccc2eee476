"""Records -> tidy frames: one row per trial, one per score, one per epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gan_bench.store import StoredTrial
from gan_bench.trial import canonical_json

STATISTICS = ("loss_d", "loss_g", "d_real", "d_fake")


@dataclass(frozen=True)
class Frames:
    """What every table is made from.

    Attributes:
        trials: One row per trial: suite, profile, name, setting, group (config without seed), seed, status, reason,
            every config field, epochs_done, the four final means, train_seconds, images_per_second.
        history: One row per trial and finished epoch: trial, epoch, and the last batch's four values.
        scores: One row per trial, evaluation and metric: trial, epoch, metric, protocol, value, draw_std.
    """

    trials: pd.DataFrame
    scores: pd.DataFrame
    history: pd.DataFrame


def build_frames(stored: Iterable[StoredTrial]) -> Frames:
    """Flatten records.

    Args:
        stored: Trials as read back, of any suites.

    Returns:
        Frames that have all columns even when there are no rows.
    """
    trials, scores, epochs = [], [], []
    for item in stored:
        trials.append(_trial_row(item))
        scores += _score_rows(item)
        epochs += _epoch_rows(item)
    trial_frame = _numeric(
        pd.DataFrame(trials), (*STATISTICS, "train_seconds", "evaluate_seconds", "images_per_second")
    )
    if not trial_frame.empty:
        trial_frame["label"] = _labels(trial_frame)
    score_frame = pd.DataFrame(scores, columns=["trial", "epoch", "metric", "protocol", "value", "draw_std"])
    epoch_frame = pd.DataFrame(epochs, columns=["trial", "epoch", *STATISTICS])
    return Frames(trial_frame, _numeric(score_frame, ("value", "draw_std")), _numeric(epoch_frame, STATISTICS))


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
        **config,
        "trial": item.trial["id"],
        "name": item.trial["name"],
        "setting": item.trial["setting"],
        "config": config,
        "group": group_key(config),
        "status": record.get("status") or ("planned" if not item.environment else "unfinished"),
        "reason": record.get("reason") or "",
        "epochs_done": record.get("epochs", 0),
        **{name: final.get(name) for name in STATISTICS},
        "train_seconds": seconds,
        "evaluate_seconds": record.get("evaluate_seconds"),
        "images_per_second": images / seconds if seconds else None,
        "device": item.environment.get("device", ""),
    }


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
                }
            )
    return rows


def _epoch_rows(item: StoredTrial) -> list[dict[str, Any]]:
    return [
        {"trial": item.trial["id"], "epoch": line["epoch"], **line["last"]}
        for line in item.history
        if line["kind"] == "epoch"
    ]


def _labels(trials: pd.DataFrame) -> pd.Series[str]:
    """Name settings so that two with equal names but different cuts can be told apart."""
    groups = trials.groupby(["suite", "profile", "setting"])["group"].transform("nunique")

    def label(row: pd.Series[Any], clash: int) -> str:
        if clash == 1:
            return str(row["setting"])
        limit = "" if pd.isna(row["train_limit"]) else f", {int(row['train_limit'])} pictures"
        samples = row["evaluation"]["samples"]
        return f"{row['setting']} ({row['epochs']} epochs{limit}, {samples} samples, version {row['suite_version']})"

    texts = [label(row, int(groups.loc[i])) for i, row in trials.iterrows()]  # type: ignore[call-overload]
    return pd.Series(texts, index=trials.index)
