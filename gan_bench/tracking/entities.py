"""A record in MLflow's terms: names, tags, parameters, metrics, datasets, and the position of its run."""

from __future__ import annotations

import colorsys
import functools
import getpass
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from gan_bench.config.naming import SEPARATOR, flat_values, of_both
from gan_bench.core.text import printable
from gan_bench.records.command import Command
from gan_bench.records.layout import ADDED, RecordDirectory
from gan_bench.records.plan import Suites
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import split_name
from gan_bench.records.schema import (
    NO_RECORD,
    STATISTICS,
    AddedScores,
    EpochLine,
    HistoryLine,
    PlannedTrial,
    RecordFile,
)
from gan_bench.records.summary import FEW_EPOCHS, mean_statistics, piece_of, setting_id

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric

TRIAL_TAG = "gan_bench.trial"
STARTED_TAG = "gan_bench.started"
RESULTS_TAG = "gan_bench.results"
ANSWER_TAG = "gan_bench.answer"
SETTING_TAG = "gan_bench.setting"
"""Tag of the parent run of a setting, with its id; runs of trials do not have it."""
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG, NOTE_TAG = "mlflow.runName", "mlflow.note.content"
POSITION_TAG = "gan_bench.synced"
"""Tag with the position of a trial's run."""
ALTERED_TAG = "gan_bench.altered"
"""Tag that names the file of a record that is not what was saved; its run cannot be trusted. Empty if all are."""
SHOWN_TAG, CURVES_TAG = "gan_bench.shown", "gan_bench.curves"
"""Tags with digests of the content of a setting's run."""
LONGEST_TAG = 5000
"""Most characters of a tag's value in MLflow."""
END_TAGS = ("status", "reason")
"""Tags of runs of ended trials, and of trials that are not trained any more."""
_STATUS: Mapping[str, str] = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}
FINAL = ("done", "diverged")
"""Statuses after which a trial never changes; others may be resumed."""
FIRST = ("recipe", "lr_g", "lr_d", "beta1_g", "beta1_d", "beta2_g", "beta2_d", "epochs", "batch_size", "latent_dim",
         "seed")  # fmt: skip
"""Parameters that people compare runs by; all others follow."""


def metric_key(score: str) -> str:
    """Convert a score's name for MLflow: ``fid[lenet-mnist-v1,train,10000]`` -> ``fid.lenet-mnist-v1``.

    That of a moving average ends in ``.ema``. What MLflow refuses, and records of earlier versions may have, is ``-``.
    """
    metric, protocol = split_name(score)
    if protocol is None:
        return metric
    return fit_for_key(f"{metric}.{protocol.extractor}{'.ema' if protocol.average else ''}")


def fit_for_key(name: str) -> str:
    """Replace characters that MLflow refuses in names of metrics."""
    return re.sub(r"[^\w.\- /:]", "-", name)


def digest(content: object) -> str:
    """Return a digest of 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode(errors="surrogatepass")).hexdigest()[:16]


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


def end_of(stored: StoredTrial) -> str:
    """Return an id of a trial's end; empty for a trial without one."""
    if stored.record is None:
        return ""
    added = stored.added_file
    return digest([stored.environment["started"], stored.record, *([added["sha256"]] if added else [])])


def digests_of_added(stored: StoredTrial) -> frozenset[str]:
    """Return digests of the scores added to a trial after its end, one per epoch."""
    return frozenset(map(digest, stored.added_file["additions"] if stored.added_file else ()))


def status_of(stored: StoredTrial) -> str:
    """Return MLflow's status of a trial; one without an end was killed."""
    return _STATUS.get(stored.record["status"], "KILLED") if stored.record else "KILLED"


def run_name(stored: StoredTrial) -> str:
    """Return the name of a run, distinctive parts first: ``seed 0 · dcgan · lr 3e-4 · β₁ 0.5``.

    Pages cut long names at their end, and the run of its setting stands above it.
    """
    return f"seed {stored.trial['config']['seed']}{SEPARATOR}{setting_title(stored)}"


def setting_title(stored: StoredTrial) -> str:
    """Return the title of a trial's setting: ``dcgan · lr 3e-4 · β₁ 0.5``."""
    config = stored.trial["config"]
    recipe, _, differs = str(stored.trial["setting"]).partition(",")
    parts = [recipe.removeprefix(f"{config['dataset']}-"), f"lr {of_both(config['lr_g'], config['lr_d'])}"]
    if "adam" in (config.get("optimizer_g", "adam"), config.get("optimizer_d", "adam")):
        parts.append(f"β₁ {of_both(config['betas_g'][0], config['betas_d'][0])}")
    parts += [each.replace("=", " ", 1) for each in differs.split(",") if each and not each.startswith(_NAMED)]
    return printable(SEPARATOR.join(parts))


_NAMED = ("lr=", "lr_g=", "lr_d=", "betas=", "betas_g=", "betas_d=", "dataset=")
"""Changes of a recipe that are in a run's name anyway, or common to its experiment."""


def colour(setting: str, place: int | None = None) -> str:
    """Return the colour of a setting's runs, by index in the plan or else by name; neighbours differ much in hue."""
    number = int(hashlib.sha256(setting.encode(errors="surrogatepass")).hexdigest()[:8], 16) if place is None else place
    hue, light = (number * 0.618034) % 1.0, (0.36, 0.5, 0.62)[number % 3]
    red, green, blue = (round(255 * x) for x in colorsys.hls_to_rgb(hue, light, 0.7))
    return f"#{red:02x}{green:02x}{blue:02x}"


def colours_of(planned: Iterable[PlannedTrial]) -> dict[str, str]:
    """Return a distinct colour for every planned setting, in the order of the plan."""
    settings = dict.fromkeys(row["setting"] for row in planned)
    return {setting: colour(setting, place) for place, setting in enumerate(settings)}


def config_values(config: Mapping[str, object]) -> dict[str, object]:
    """Flatten a config into parameters, the most compared first."""
    flat = flat_values(config, "_")
    return {name: flat[name] for name in (*(n for n in FIRST if n in flat), *(n for n in flat if n not in FIRST))}


def tags_of(stored: StoredTrial, identity: str, colours: Mapping[str, str], planned: Suites) -> dict[str, str]:
    """Return the tags of a new run.

    Args:
        stored: The trial.
        identity: That of its results folder.
        colours: Those of its suite's settings.
        planned: What its suite was last run with, and which seeds verdicts are declared to be made at.
    """
    facts, config = stored.environment, stored.trial["config"]
    suite, version = str(config["suite"]), int(config["suite_version"])
    design = planned.design(suite, version, str(config["profile"]), str(config["dataset"]))
    command = None if planned.is_of_another(suite, version) else next(iter(planned.commands.values()), None)
    own = {
        NAME_TAG: run_name(stored),
        TRIAL_TAG: stored.trial["id"],
        STARTED_TAG: facts["started"],
        NOTE_TAG: f"Record: {stored.path.name}",
        "mlflow.source.name": _short_command(command),
        "command": command or "",
        "mlflow.source.git.commit": facts.get("git_commit") or "",
        "look": design.look_of(config["seed"]) or "not declared" if design else "",
        **{name: facts.get(name, "unknown") for name in ("device", "device_name", "engine")},
    }
    return _with_setting(own, stored, identity, colours)


def end_tags_of(stored: StoredTrial) -> dict[str, str]:
    """Return the values of ``END_TAGS``."""
    record = stored.record or NO_RECORD
    return {"status": record.get("status", "killed"), "reason": printable(str(record.get("reason") or ""))}


def setting_tags_of(stored: StoredTrial, identity: str, colours: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the parent run of a trial's setting; arguments as ``tags_of``."""
    own = {
        NAME_TAG: setting_title(stored),
        SETTING_TAG: setting_id(stored.trial["config"]),
        "mlflow.source.name": "gan-bench report",
    }
    return _with_setting(own, stored, identity, colours)


def _with_setting(
    own: Mapping[str, object], stored: StoredTrial, identity: str, colours: Mapping[str, str]
) -> dict[str, str]:
    """Add the tags shared by the runs of a setting and of its trials; empty tags are left out."""
    setting = stored.trial["setting"]
    tags = {
        **own,
        RESULTS_TAG: identity,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "mlflow.runColor": colours.get(setting) or colour(setting),
        "setting": setting,
        **{name: stored.trial["config"][name] for name in ("recipe", "dataset", "architecture", "profile")},
    }
    return {name: printable(str(value)) for name, value in tags.items() if value != ""}


@functools.cache
def _short_command(command: str | None) -> str:
    """Return a command without options and folders, as MLflow shows only what follows a slash."""
    return " ".join(word.rpartition("/")[2] for word in Command.parse(command or "gan-bench run").words)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return ""


def datasets_of(stored: StoredTrial) -> list[DatasetInput]:
    """Return a trial's training and reference images for MLflow's dataset column."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    config, data = stored.trial["config"], str(stored.environment.get("data_sha256") or "unknown")[:36]
    limit = config.get("train_limit")
    named = ((f"{config['dataset']} train{f' {limit}' if limit else ''}", "training"),
             (f"{config['dataset']} train (reference)", "reference"))  # fmt: skip
    return [
        DatasetInput(
            Dataset(printable(name), data, "local", printable(str(config["dataset"]))),
            [InputTag("mlflow.data.context", context)],
        )
        for name, context in named
    ]


@dataclass(frozen=True)
class Position:
    """How much of a record a run has.

    Attributes:
        epoch: Last epoch whose means are there.
        step: Last logged step whose values are there.
        evaluated: Epochs whose scores are there.
        samples: Epochs whose sample grids are there.
        seconds: Seconds of training after that epoch.
        images: Real images shown by then.
        end: Digest of the end of the trial that is there, or nothing.
        added: Digests of the scores that were added after its end and are there.
    """

    epoch: int = 0
    step: int = 0
    evaluated: frozenset[int] = frozenset()
    samples: frozenset[int] = frozenset()
    seconds: float = 0.0
    images: int = 0
    end: str = ""
    added: frozenset[str] = frozenset()

    def to_tag(self) -> str:
        """Return the position as a tag's value."""
        content = {name: sorted(each) if isinstance(each, frozenset) else each for name, each in vars(self).items()}
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_tag(cls, text: str | None) -> Position:
        """Parse a tag's value; an edited one means the start, so that everything is sent again."""
        try:
            return _POSITION.validate_json(text or "{}")
        except ValueError:
            return cls()

    def lacks(self, line: Mapping[str, Any]) -> bool:
        """True if a line of a history or of evaluations is new to the run."""
        if "kind" not in line:
            return line["epoch"] not in self.evaluated
        return bool(line["epoch"] > self.epoch if line["kind"] == "epoch" else line["step"] > self.step)

    def after(self, new: StoredTrial, samples: set[int], end: str) -> Position:
        """Return the position after lines, sample grids and an end were sent."""
        position = replace(
            self,
            step=max((line["step"] for line in new.steps), default=self.step),
            evaluated=self.evaluated | {line["epoch"] for line in new.evaluations},
            samples=self.samples | samples,
            end=end,
        )
        if not new.epochs:
            return position
        last = new.epochs[-1]
        return replace(position, epoch=last["epoch"], seconds=last["train_seconds"], images=last["images"])


_POSITION = TypeAdapter(Position)


def whole_pieces(stored: StoredTrial) -> list[HistoryLine]:
    """Return the lines of a history that can be sent, without an incomplete interval of a thinned curve.

    A training of many epochs is thinned to pieces of so many epochs, each of which gives one point.
    """
    epochs = stored.trial["config"]["epochs"]
    if stored.record is not None and stored.record["status"] in FINAL:
        return stored.history
    ends = (line["epoch"] for line in stored.epochs)
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
            *_cost_rows(stored.record),
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
            for name, mean in mean_statistics([each["mean"] for each in piece]).items():
                yield f"train/{name}", mean, line["train_seconds"], line["epoch"]
            seconds, images, piece = line["train_seconds"], line["images"], []
        elif epochs <= FEW_EPOCHS:  # steps have no time: that of the epoch before
            for name in STATISTICS:
                yield f"step/{name}", line[name], seconds, line["step"]
    if seconds > before[0]:  # one value for all new lines, which are a few seconds of a running trial
        yield "system/images_per_second", (images - before[1]) / (seconds - before[0]), seconds, last


def _scores(evaluations: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for line in evaluations:
        for score in line["scores"]:
            # MLflow shows the last value, which must not be that of an epoch before where images cannot be scored
            value = math.nan if score["value"] is None else score["value"]
            yield f"eval/{metric_key(score['name'])}", value, line.get("train_seconds", 0.0), line["epoch"]


def _cost_rows(record: RecordFile | None) -> Iterator[Row]:
    if record is None or record["status"] not in FINAL:  # others may be resumed, which changes them
        return
    seconds, epochs = record["train_seconds"], record["epochs"]
    yield "cost/train_seconds", seconds, seconds, epochs
    yield "cost/evaluate_seconds", record["evaluate_seconds"], seconds, epochs
    memory, energy = record.get("peak_memory_bytes"), record.get("energy_joules")
    yield "system/peak_memory_megabytes", None if memory is None else memory / 1e6, seconds, epochs
    yield "system/gpu_energy_kilojoules", None if energy is None else energy / 1e3, seconds, epochs


def scores_of(stored: StoredTrial) -> set[str]:
    """Return the scores of a record, as ``METRIC.EXTRACTOR``."""
    return {fit_for_key(f"{score['metric']}.{score['extractor']}") for _, score in stored.scores()}


def files_of(stored: StoredTrial) -> dict[str, Path]:
    """Return the record files to upload once a trial is not trained any more, by their names in the run."""
    directory = RecordDirectory(stored.path)
    names = "trial.json", "environment.json", "record.json", "history.jsonl", "evaluations.jsonl", ADDED
    weights = {path.name: path for path in (directory.weights, directory.average_weights)}
    return {**weights, **{f"record/{name}": stored.path / name for name in names}}
