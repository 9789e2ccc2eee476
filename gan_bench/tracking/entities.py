"""A record as MLflow has it: parameters, metrics, tags and datasets."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gan_bench.config.design import Design
from gan_bench.config.naming import SEPARATOR, flat_values, of_both
from gan_bench.core.text import printable
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import split_name
from gan_bench.records.schema import STATISTICS, AddedScores, EpochLine, HistoryLine
from gan_bench.records.summary import FEW_EPOCHS, SettingSummary, piece_of, setting_id

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param, RunTag

TRIAL_TAG = "gan_bench.trial"
STARTED_TAG = "gan_bench.started"
RESULTS_TAG = "gan_bench.results"
SETTING_TAG = "gan_bench.setting"
"""Marks the parent run of a setting, and says which: no trial's run has it."""
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG, NOTE_TAG = "mlflow.runName", "mlflow.note.content"
FINAL = ("done", "diverged")
"""Ends of a trial after which nothing of it changes: others may be resumed."""
FIRST = ("recipe", "lr_g", "lr_d", "beta1_g", "beta1_d", "beta2_g", "beta2_d", "epochs", "batch_size", "latent_dim",
         "seed")  # fmt: skip
"""Parameters that people compare runs by; all others follow."""


def metric_key(score: str) -> str:
    """Turn a score's name into one MLflow accepts: ``fid[lenet-mnist-v1,train,10000]`` -> ``fid.lenet-mnist-v1``.

    That of a moving average ends in ``.ema``. What MLflow refuses, and records of earlier versions may have, is ``-``.
    """
    metric, protocol = split_name(score)
    if protocol is None:
        return metric
    return fit_for_key(f"{metric}.{protocol.extractor}{'.ema' if protocol.average else ''}")


def fit_for_key(name: str) -> str:
    """Replace what MLflow takes in no name of a metric."""
    return re.sub(r"[^\w.\- /:]", "-", name)


def started_ms(stored: StoredTrial) -> int:
    """Return when a trial first started, in milliseconds since 1970."""
    return int(datetime.fromisoformat(stored.environment["started"]).timestamp() * 1000)


def ended_ms(stored: StoredTrial) -> int:
    """Return when a trial ended, in milliseconds since 1970, and not before it started.

    Records of earlier versions do not say it: of these it is the start and the time that it took.
    """
    start, record = started_ms(stored), stored.record
    if not record:
        return start
    if "ended" in record:
        return max(start, int(datetime.fromisoformat(record["ended"]).timestamp() * 1000))
    return start + int(1000 * (record["train_seconds"] + record["evaluate_seconds"]))


def run_name(stored: StoredTrial) -> str:
    """Name a run for people, what tells it from those beside it first: ``seed 0 · dcgan · lr 3e-4 · β₁ 0.5``.

    Pages cut long names at their end, and the run of its setting stands above it.
    """
    return f"seed {stored.trial['config']['seed']}{SEPARATOR}{setting_name(stored)}"


def setting_name(stored: StoredTrial) -> str:
    """Name a trial's setting for people: ``dcgan · lr 3e-4 · β₁ 0.5``."""
    config = stored.trial["config"]
    recipe, _, differs = str(stored.trial["setting"]).partition(",")
    parts = [recipe.removeprefix(f"{config['dataset']}-"), f"lr {of_both(config['lr_g'], config['lr_d'])}"]
    if "adam" in (config.get("optimizer_g", "adam"), config.get("optimizer_d", "adam")):
        parts.append(f"β₁ {of_both(config['betas_g'][0], config['betas_d'][0])}")
    parts += [each.replace("=", " ", 1) for each in differs.split(",") if each and not each.startswith(_NAMED)]
    return printable(SEPARATOR.join(parts))


_NAMED = ("lr=", "lr_g=", "lr_d=", "betas=", "betas_g=", "betas_d=", "dataset=")
"""Changes of a recipe that a run's name has anyway, or that its experiment says."""


def values_of(config: Mapping[str, object]) -> dict[str, object]:
    """Lay out a config as single values, numbers as numbers, those that runs are compared by first."""
    flat = flat_values(config, "_")
    return {name: flat[name] for name in (*(n for n in FIRST if n in flat), *(n for n in flat if n not in FIRST))}


def param(name: str, value: object) -> Param:
    """Return a value as MLflow keeps parameters."""
    from mlflow.entities import Param

    return Param(name, printable(str(value))[:500])


def tags_of(
    stored: StoredTrial, identity: str, colour: str, command: str | None, design: Design | None
) -> dict[str, str]:
    """Return the tags of a new run.

    Args:
        stored: The trial.
        identity: That of its results folder.
        colour: Of its setting.
        command: What its suite was last run with.
        design: Which seeds the verdicts of its suite and profile are made at, where that was declared.
    """
    facts = stored.environment
    own = {
        NAME_TAG: run_name(stored),
        TRIAL_TAG: stored.trial["id"],
        STARTED_TAG: facts["started"],
        NOTE_TAG: f"Record: {stored.path.name}",
        "mlflow.source.name": _short_command(command),
        "command": command or "",
        "mlflow.source.git.commit": facts.get("git_commit") or "",
        "look": design.look_of(stored.trial["config"]["seed"]) or "not declared" if design else "",
        **{name: facts.get(name, "unknown") for name in ("device", "device_name", "engine")},
    }
    return _with_setting(own, stored, identity, colour)


def setting_tags_of(stored: StoredTrial, identity: str, colour: str) -> dict[str, str]:
    """Return the tags of the parent run of a trial's setting.

    Args:
        stored: One of its trials.
        identity: That of its results folder.
        colour: Of the setting.
    """
    own = {
        NAME_TAG: setting_name(stored),
        SETTING_TAG: setting_id(stored.trial["config"]),
        "mlflow.source.name": "gan-bench report",
    }
    return _with_setting(own, stored, identity, colour)


def _with_setting(own: Mapping[str, object], stored: StoredTrial, identity: str, colour: str) -> dict[str, str]:
    """Add what the run of a setting and those of its trials have alike; empty tags are left out."""
    tags = {
        **own,
        RESULTS_TAG: identity,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "mlflow.runColor": colour,
        "setting": stored.trial["setting"],
        **{name: stored.trial["config"][name] for name in ("recipe", "dataset", "architecture", "profile")},
    }
    return {name: printable(str(value)) for name, value in tags.items() if value != ""}


def setting_metrics(found: SettingSummary, now_ms: int) -> list[Metric]:
    """Return what a report says of a setting as metrics: four significant digits, which columns can show.

    Args:
        found: The setting.
        now_ms: Time of the values, in milliseconds: of two of one step MLflow shows the newer.
    """
    from mlflow.entities import Metric

    made = [Metric(name, _short(value), now_ms, 0) for name, value in found["numbers"].items()]
    for name, points in found["curves"].items():
        key = f"eval/{metric_key(name)}" if "[" in name else name
        end = f"interval/{key.partition('/')[2]}"  # a prefix of their own: the page makes a section of each
        for epoch, *values in points:
            for each, value in zip((key, f"{end}.low", f"{end}.high"), values, strict=True):
                if value is not None:
                    made.append(Metric(each, _short(value), now_ms, epoch))
    return made


def _short(value: float) -> float:
    if value == round(value):  # a count
        return value
    return float(f"{value:.4g}")


def _short_command(command: str | None) -> str:
    """Return the first words of a command, the suite's file without its folder: MLflow shows what follows a slash."""
    first, *rest = (command or "gan-bench run").split(" ")[:3]
    return " ".join([first, *(word.rpartition("/")[2] for word in rest)])


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return ""


def run_tags(tags: Mapping[str, str]) -> list[RunTag]:
    """Return tags as MLflow takes them."""
    from mlflow.entities import RunTag

    return [RunTag(name, value[:5000]) for name, value in tags.items()]


def datasets_of(stored: StoredTrial) -> list[DatasetInput]:
    """Return the images a trial trains on and those it is compared with, for MLflow's dataset column."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    config, digest = stored.trial["config"], str(stored.environment.get("data_sha256") or "unknown")[:36]
    limit = config.get("train_limit")
    named = ((f"{config['dataset']} train{f' {limit}' if limit else ''}", "training"),
             (f"{config['dataset']} train (reference)", "reference"))  # fmt: skip
    return [
        DatasetInput(
            Dataset(printable(name), digest, "local", printable(str(config["dataset"]))),
            [InputTag("mlflow.data.context", context)],
        )
        for name, context in named
    ]


def whole_pieces(stored: StoredTrial) -> list[HistoryLine]:
    """Return the lines of a history that can be sent: those of a piece of the curve that is not whole yet wait.

    A training of many epochs is thinned to pieces of so many epochs, each of which gives one point.
    """
    epochs = stored.trial["config"]["epochs"]
    if stored.record is not None and stored.record["status"] in FINAL:
        return stored.history
    ends = [each["epoch"] for each in stored.history if each["kind"] == "epoch"]
    whole = max((epoch for epoch in ends if piece_of(epoch, epochs) == epoch), default=0)
    return [line for line in stored.history if line["kind"] == "step" or line["epoch"] <= whole]


def metrics_of(
    stored: StoredTrial, seconds: float = 0.0, images: int = 0, added: Iterable[AddedScores] = ()
) -> list[Metric]:
    """Turn lines of a record into metrics, with the time each was made.

    Args:
        stored: The record, with the lines that are to be turned; of epochs, whole pieces.
        seconds: Seconds of training after the epoch before the first of them.
        images: Real images shown by then.
        added: Scores that were added after the trial had ended; sent twice, they are there once.
    """
    from mlflow.entities import Metric

    start = started_ms(stored)
    return [
        Metric(key, value, start + int(1000 * seconds), step)
        for key, value, seconds, step in (
            *_training(stored.history, seconds, images, stored.trial["config"]["epochs"]),
            *_scores([*stored.evaluations, *added]),
            *_end(stored.record),
        )
        if value is not None
    ]


Row = tuple[str, float | None, float, int]


def _training(lines: list[HistoryLine], seconds: float, images: int, epochs: int) -> Iterator[Row]:
    piece: list[EpochLine] = []
    last = max((line["epoch"] for line in lines if line["kind"] == "epoch"), default=0)
    before = seconds, images
    for line in lines:
        if line["kind"] == "epoch":
            piece.append(line)
            if line["epoch"] not in (last, piece_of(line["epoch"], epochs)):
                continue
            for name in STATISTICS:
                values = [value for each in piece if (value := each["mean"][name]) is not None]
                mean = sum(values) / len(values) if values else None
                yield f"train/{name}", mean, line["train_seconds"], line["epoch"]
            seconds, images, piece = line["train_seconds"], line["images"], []
        elif epochs <= FEW_EPOCHS:  # the time of the epoch before: a step has none of its own
            for name in STATISTICS:
                yield f"step/{name}", line[name], seconds, line["step"]
    if seconds > before[0]:  # one value for all that is new: while a trial runs, that is a few seconds
        yield "system/images_per_second", (images - before[1]) / (seconds - before[0]), seconds, last


def _scores(evaluations: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for line in evaluations:
        for score in line["scores"]:
            yield f"eval/{metric_key(score['name'])}", score["value"], line.get("train_seconds", 0.0), line["epoch"]


def _end(record: Mapping[str, Any] | None) -> Iterator[Row]:
    if record is None or record["status"] not in FINAL:  # others may be resumed, which changes them
        return
    seconds, epochs = record["train_seconds"], record["epochs"]
    yield "cost/train_seconds", seconds, seconds, epochs
    yield "cost/evaluate_seconds", record["evaluate_seconds"], seconds, epochs
    memory, energy = record.get("peak_memory_bytes"), record.get("energy_joules")
    yield "system/peak_memory_megabytes", None if memory is None else memory / 1e6, seconds, epochs
    yield "system/gpu_energy_kilojoules", None if energy is None else energy / 1e3, seconds, epochs
