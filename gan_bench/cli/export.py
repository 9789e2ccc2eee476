"""``export``: records in the formats of other trackers. Thin adapters over the frames of ``gan_bench.load``."""

from __future__ import annotations

import io
import os
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from gan_bench.api import ResultTables, load
from gan_bench.config.naming import flat_values
from gan_bench.config.trial import TrialConfig, directory_name
from gan_bench.core.atomic import filled_at_once
from gan_bench.core.errors import UserError, writing
from gan_bench.core.text import plural, printable, slug
from gan_bench.records.folders import existing, suite_folders
from gan_bench.records.layout import RecordDirectory, is_safe_name
from gan_bench.records.outputs import check_output, write_output
from gan_bench.records.reader import read_header
from gan_bench.records.schema import STATISTICS
from gan_bench.report.study.frame import FAULTY


class Value(NamedTuple):
    """A number of a trial: its epoch, its name, and the seconds of training until then."""

    epoch: int
    name: str
    value: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ExportedTrial:
    """A trial in the form that every adapter takes.

    Attributes:
        name: Its name, unique with the id.
        trial: Its id.
        suite: Name of the suite.
        setting: Name of the setting, which seeds share.
        config: Its values, flat.
        status: How it ended.
        started: When it began, in seconds since 1970.
        values: Its numbers, by epoch and name.
        images: Sample grids by epoch.
    """

    name: str
    trial: str
    suite: str
    setting: str
    config: Mapping[str, object]
    status: str
    started: float
    values: tuple[Value, ...]
    images: Mapping[int, Path]


def tidy(tables: ResultTables) -> pd.DataFrame:
    """Return every trial, score and curve of records as one long frame.

    Returns:
        One row per value: suite, setting, seed, trial, status, reason, kind (``score``, ``epoch`` or ``step``), epoch,
        step, metric, value, std, protocol, and every field of the trial's config as ``config.NAME``. One more per
        trial, of the kind ``trial`` and without a value, whose epoch is the last that it finished: many have no more.
    """
    known = tables.trials.set_index("trial")
    last, trials = tables.epochs.groupby("trial")["epoch"].max(), tables.trials
    ends = trials[["trial"]].assign(kind="trial", epoch=trials["trial"].map(last).fillna(trials["epochs_done"]))
    scores = tables.scores.assign(kind="score")
    curves = []
    for kind, frame, names in (
        ("epoch", tables.epochs, [f"mean_{name}" for name in STATISTICS]),
        ("step", tables.steps, list(STATISTICS)),
    ):
        at = [name for name in ("trial", "epoch", "step") if name in frame]
        curves.append(frame.melt(id_vars=at, value_vars=names, var_name="metric").assign(kind=kind))
    columns = ["trial", "kind", "epoch", "step", "metric", "value", "std", "protocol"]
    parts = [part.reindex(columns=columns) for part in (ends, scores, *curves) if len(part)]
    long = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    long = long.astype({"epoch": "int64", "step": "Int64", "value": float, "std": float})
    about = known[["suite", "setting", "seed", "status", "reason"]]
    own = [each.name for each in fields(TrialConfig) if each.name in known and each.name not in (*about, "evaluation")]
    config = known[own].map(lambda value: str(list(value)) if isinstance(value, (list, tuple)) else value)
    return long.join(about.join(config.add_prefix("config.")), on="trial")


def trials_of(tables: ResultTables) -> Iterator[ExportedTrial]:
    """Yield the trials that have begun, each with its numbers in the order of training; a failed one may have none."""
    scores = tables.scores.dropna(subset=["value"])
    average = scores["weights"].eq("ema").map({True: ".ema", False: ""})
    names = "eval/" + scores["metric"] + "." + scores["extractor"] + average
    scores = scores.assign(name=names)[["trial", "epoch", "name", "value"]]
    means = [f"mean_{name}" for name in STATISTICS]
    epochs = tables.epochs.melt(id_vars=["trial", "epoch"], value_vars=means, var_name="name")
    epochs["name"] = "train/" + epochs["name"].str.removeprefix("mean_")
    seconds = tables.epochs.set_index(["trial", "epoch"])["train_seconds"]
    numbers = pd.concat([epochs, scores], ignore_index=True).dropna(subset=["value"])
    keys = pd.MultiIndex.from_frame(numbers[["trial", "epoch"]])
    numbers["seconds"] = seconds.reindex(keys).fillna(0.0).to_numpy()
    numbers = numbers.sort_values(["epoch", "name"], kind="stable")
    grids: dict[str, dict[int, Path]] = {}
    for trial, epoch, path in zip(*(tables.images[name].tolist() for name in ("trial", "epoch", "path")), strict=True):
        grids.setdefault(trial, {})[int(epoch)] = Path(path)
    mine: dict[str, list[Value]] = {}
    columns = [numbers[name].tolist() for name in ("trial", *Value._fields)]
    for trial, epoch, name, value, at in zip(*columns, strict=True):
        mine.setdefault(trial, []).append(Value(int(epoch), str(name), float(value), float(at)))
    for row in tables.trials.to_dict("records"):
        directory = RecordDirectory(Path(row["path"]))
        if row["status"] not in FAULTY and directory.environment.is_file():
            stored = read_header(directory.path)
            yield ExportedTrial(
                name=str(row["name"]),
                trial=str(row["trial"]),
                suite=str(row["suite"]),
                setting=str(row["setting"]),
                config=flat_values(stored.trial["config"]),
                status=str(row["status"]),
                started=datetime.fromisoformat(stored.environment["started"]).timestamp(),
                values=tuple(mine.get(row["trial"], ())),
                images=grids.get(row["trial"], {}),
            )


def write_parquet(tables: ResultTables, out: Path) -> int:
    """Write one Parquet file of all trials, scores and curves, ``tidy``'s rows.

    Returns:
        The number of values.

    Raises:
        UserError: A file is there that is no such export, or it would lie in a record.
    """
    frame, content = tidy(tables), io.BytesIO()
    check_output(out.parent, [out.name], "export", _is_export)
    frame.to_parquet(content, index=False)
    write_output(out, content.getvalue())
    return int((frame["kind"] != "trial").sum())


def _is_export(path: Path) -> bool:
    """True if a file has the columns of ``tidy``."""
    try:
        pd.read_parquet(path, columns=["suite", "trial", "kind", "metric", "value", "protocol"])
    except (OSError, ValueError):  # Arrow's errors are kinds of these
        return False
    return True


def write_tensorboard(trial: ExportedTrial, out: Path) -> None:
    """Write a trial's event file into ``OUT/SUITE/TRIAL``: scalars by epoch, sample grids, and its hyperparameters.

    Raises:
        UserError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    except ImportError:
        raise _missing("tensorboard") from None
    import numpy as np

    from gan_bench.records.sample_grid import read_sample_grid

    suite = trial.suite if is_safe_name(trial.suite) else slug(trial.suite).strip(".") or "suite"
    folder = out / suite / directory_name(trial.name.replace("/", "_"), trial.trial)  # records may name any place
    times = {each.epoch: trial.started + each.seconds for each in trial.values}
    end = max(times.values(), default=trial.started)
    with SummaryWriter(str(folder)) as writer:
        for each in trial.values:
            writer.add_scalar(each.name, each.value, each.epoch, walltime=trial.started + each.seconds)
        for epoch, path in trial.images.items():
            grid = np.asarray(read_sample_grid(path))
            formats = "HW" if grid.ndim == 2 else "HWC"
            writer.add_image("samples", grid, epoch, walltime=times.get(epoch, end), dataformats=formats)
        evaluated = [each for each in trial.values if each.name.startswith("eval/")]
        scores = {each.name: each.value for each in evaluated if each.epoch == evaluated[-1].epoch}
        config = {name: value if isinstance(value, (bool, int, float)) else str(value)
                  for name, value in {**trial.config, "status": trial.status}.items()}  # fmt: skip
        named = {f"hparam/{name}": value for name, value in scores.items()}
        for summary in hparams(config, named):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary, walltime=end)
        for name, value in scores.items():
            writer.add_scalar(f"hparam/{name}", value, walltime=end)


def write_wandb(trial: ExportedTrial, out: Path) -> None:
    """Write a trial as an offline run of Weights & Biases, which ``wandb sync OUT/wandb/offline-run-*`` uploads.

    The suite is the project, the setting the group, so that its seeds are averaged there.

    Raises:
        UserError: wandb is not installed.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        import wandb
    except ImportError:
        raise _missing("wandb") from None
    out.mkdir(parents=True, exist_ok=True)
    quiet = wandb.Settings(silent=True, x_disable_stats=True, x_disable_meta=True, console="off")
    run = wandb.init(
        mode="offline",
        dir=str(out),
        project=trial.suite,
        group=trial.setting[:128],
        name=trial.name[:128],
        id=trial.trial,
        config=dict(trial.config),
        tags=[trial.status],
        settings=quiet,
    )
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch")
    for epoch, values in groupby(trial.values, lambda each: each.epoch):
        logged: dict[str, object] = {each.name: each.value for each in values}
        if epoch in trial.images:
            logged["samples"] = wandb.Image(str(trial.images[epoch]))
        run.log({"epoch": epoch, **logged})
    run.summary["status"] = trial.status
    run.finish()


@contextmanager
def _threads_fail_quietly() -> Iterator[None]:
    """Suppress the tracebacks of libraries' threads on a full disk, which the caller reports."""
    shown = threading.excepthook
    threading.excepthook = lambda failed: None if failed.exc_type is OSError else shown(failed)
    try:
        yield
    finally:
        threading.excepthook = shown


def _missing(package: str) -> UserError:
    return UserError(f'this export needs {package}, which is not installed: pip install "gan_bench[{package}]"')


def export(
    kind: str, results: Path, out: Path, progress: Callable[[str], None] = lambda _: None
) -> tuple[str, list[str]]:
    """Write records in another tracker's form.

    Args:
        kind: parquet, tensorboard or wandb.
        results: The results folder.
        out: The Parquet file, or the folder of the others.
        progress: Called with the name of every trial.

    Returns:
        A sentence about what was written, and how to look at it; and one for every record that was left out.

    Raises:
        UserError: There is nothing to export, a package is missing, or the place cannot be written.
    """
    if not suite_folders(existing(results)) or (tables := load(results)).trials.empty:
        raise UserError(f"{results} holds no trial records; name the results folder of an earlier run")
    if kind != "parquet":
        check_output(out, (), "export")
        if out.exists() and any(out.iterdir()):
            raise UserError(f"{out} is not empty, and what is there would be mixed with it; choose another with --out")
    with writing(out, "another place"):
        if kind == "parquet":
            known = plural(len(tables.trials), "trial")
            return f"{out}: {known}, {write_parquet(tables, out):,} values", tables.unreadable
        write, count = {"tensorboard": write_tensorboard, "wandb": write_wandb}[kind], 0
        with filled_at_once(out.resolve()) as folder, _threads_fail_quietly():
            for trial in trials_of(tables):
                with suppress(OSError):  # an unreadable file does not end the export
                    progress(printable(trial.name))
                write(trial, folder)
                count += 1
    place = shlex.quote(str(out))
    look = f"tensorboard --logdir {place}" if kind == "tensorboard" else f"wandb sync {place}/wandb/offline-run-*"
    waiting = int((~tables.trials["status"].isin(FAULTY)).sum()) - count
    said = f"{plural(count, 'trial')}{f', without {waiting} not begun' if waiting else ''}"
    return f"{out}: {said}; look at them with `{look}`", tables.unreadable
