"""Trials that run in this process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from gan_bench.config.image_folder import DataRoot
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Action, Policy, decide
from gan_bench.execution.trial.events import ignore
from gan_bench.execution.trial.run import run_trial
from gan_bench.execution.workers.inline import run_alone, run_inline
from gan_bench.execution.workers.job import Site
from gan_bench.execution.workers.pool import run_processes
from gan_bench.execution.workers.work import Work
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory

CPU = torch.device("cpu")
READY = """
import os, sys, time
sys.stdin.readline()
os.write(int(os.environ["GAN_BENCH_CHANNEL"]), b'{"event": "job_done"}\\n')
sys.stdin.readline()
"""
"""What a worker made up for a test begins with: it is ready, and takes one job."""


def context(stop=lambda: False, engine="auto"):
    """A context that needs no data folder: the digits come with scikit-learn."""
    return RunContext(DataRoot(Path(), given=True), CPU, stop, engine)


def sites(*devices, threads=1):
    """Where worker processes run."""
    return tuple(Site.of(context(), device, threads) for device in devices)


def train(results, trials, where, listener=None, policy=None, **options):
    """Carry trials to their ends in this process."""
    return run_inline(_work(results, trials, where, listener, policy, **options), where)


def train_in_processes(results, trials, where, listener, policy, there, **options):
    """Carry trials to their ends in worker processes, by the engine of a context."""
    there = [replace(site, engine=where.engine_choice) for site in there]
    return run_processes(_work(results, trials, where, listener, policy, **options), there)


def _work(results, trials, where, listener, policy, **options):
    given = {"listener": listener, "policy": policy, "stop": where.stop}
    known = {name: value for name, value in given.items() if value is not None}
    return Work(trials=list(trials), results=results, **known, **options)


def run(folder, trial, name="results", listener=None, time_limit=None, **options):
    """Run one trial to its end."""
    directory = RecordDirectory.of(folder / name, trial)
    directory.path.parent.mkdir(parents=True, exist_ok=True)
    where = context(**options)
    return directory, run_alone(run_trial(trial, directory, where, listener or ignore, time_limit))


def decision_on(results, trial, policy=None):
    """What a run would do with a trial."""
    earlier = Earlier(RecordDirectory.of(results, trial))
    return decide(earlier, trial.config, policy or Policy(), context().identity)


def is_finished(results, trial, policy=None):
    """Whether a trial needs no further run."""
    return decision_on(results, trial, policy).action is Action.NOTHING


def stop_after(looks):
    """A request to stop that is made at so many looks."""
    asked = iter(range(10**9))
    return lambda: next(asked) >= looks
