"""A record as MLflow has it: parameters and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gan_bench.records.reader import StoredTrial

if TYPE_CHECKING:
    from mlflow.entities import Metric

STEP_VALUES = ("loss_d", "loss_g", "d_real", "d_fake")


def metric_key(score: str) -> str:
    """Turn a score's name into one MLflow accepts: ``fid[lenet-mnist-v1,train,10000]`` -> ``fid.lenet-mnist-v1``."""
    metric, _, protocol = score.partition("[")
    return f"{metric}.{protocol.split(',')[0]}" if protocol else metric


def started_ms(stored: StoredTrial) -> int:
    """Return when a trial first started, in milliseconds since 1970."""
    return int(datetime.fromisoformat(stored.environment["started"]).timestamp() * 1000)


def params_of(config: Mapping[str, Any]) -> dict[str, object]:
    """Pick the few values that people compare runs by; the whole config is an artifact."""

    def pair(name: str) -> object:
        g, d = config[f"{name}_g"], config[f"{name}_d"]
        return g if g == d else f"G {g}, D {d}"

    names = ("recipe", "dataset", "architecture", "batch_size", "latent_dim", "epochs", "seed")
    return {**{name: config[name] for name in names}, "lr": pair("lr"), "betas": pair("betas")}


def metrics_of(stored: StoredTrial) -> list[Metric]:
    """Turn the lines of a record into metrics, with the time each was made."""
    from mlflow.entities import Metric

    started = started_ms(stored)

    def metric(key: str, value: float, seconds: float, step: int) -> Metric:
        return Metric(key, value, started + int(1000 * seconds), step)

    metrics: list[Metric] = []
    seconds = 0.0
    for line in stored.history:
        if line["kind"] == "epoch":
            seconds = line["train_seconds"]
            values, key, step = line["mean"], "train", line["epoch"]
        else:  # the time of the epoch before: a step has none of its own
            values, key, step = {name: line[name] for name in STEP_VALUES}, "step", line["step"]
        metrics += [metric(f"{key}/{name}", v, seconds, step) for name, v in values.items() if v is not None]
    for line in stored.evaluations:
        for score in line["scores"]:
            if score["value"] is not None:
                key = f"eval/{metric_key(score['name'])}"
                metrics.append(metric(key, score["value"], line["train_seconds"], line["epoch"]))
    if stored.record and stored.record["status"] in ("done", "diverged"):  # others may be resumed, which changes them
        seconds = stored.record["train_seconds"]
        values = {**stored.record["final"], "train_seconds": seconds}
        metrics += [
            metric(f"final/{metric_key(name)}", float(f"{value:.4g}"), seconds, 0)
            for name, value in values.items()
            if value is not None
        ]
    return metrics
