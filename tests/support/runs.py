"""Trials that run in this process."""

from __future__ import annotations

from pathlib import Path

import torch

from gan_bench.config.image_folder import DataRoot
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.events import Listener
from gan_bench.execution.trial.run import run_trial
from gan_bench.execution.workers.scheduler import run_alone
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory

CPU = torch.device("cpu")


def context(stop=lambda: False, engine="auto"):
    """A context that needs no data folder: the digits come with scikit-learn."""
    return RunContext(DataRoot(Path(), given=True), CPU, stop, engine)


def run(folder, trial, name="results", listener=None, time_limit=None, **options):
    """Run one trial to its end."""
    directory = RecordDirectory.of(folder / name, trial)
    directory.path.parent.mkdir(parents=True, exist_ok=True)
    where = context(**options)
    return directory, run_alone(run_trial(trial, Earlier(directory), where, listener or Listener(), time_limit))


def stop_after(looks):
    """A request to stop that is made at so many looks."""
    asked = iter(range(10**9))
    return lambda: next(asked) >= looks
