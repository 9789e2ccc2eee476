"""Worker processes: one takes job after job, and none is left behind."""

from __future__ import annotations

import subprocess

import pytest
from support.runs import context
from support.trials import digits_trial

from gan_bench.execution.trial.claim import Policy
from gan_bench.execution.trial.events import NullListener
from gan_bench.execution.workers import pool as worker_pool
from gan_bench.execution.workers.executors import run_processes
from gan_bench.execution.workers.pool import WorkerPoolConfig
from gan_bench.records.record import Status

pytestmark = pytest.mark.starts_children

ONE = WorkerPoolConfig(devices=("cpu",), threads=1)


@pytest.fixture
def started(monkeypatch):
    """Counts the worker processes that are started."""
    processes = []

    class Counted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            processes.append(self)

    monkeypatch.setattr(worker_pool.subprocess, "Popen", Counted)
    return processes


def test_a_worker_takes_job_after_job_and_ends_with_the_last(tmp_path, started):
    trials = [digits_trial(seed, architecture=a) for seed in (0, 1) for a in ("mlp", "dcgan28")]
    trials = [trial for trial in trials if trial.config.architecture == "mlp"] + trials[1::2]
    records = run_processes(tmp_path, trials, context(), NullListener(), Policy(), ONE).records
    assert {record.status for record in records.values()} == {Status.DONE}
    assert len(started) == 1
    assert started[0].poll() == 0


class Fails(NullListener):
    def scored(self, trial, epoch, scores):
        raise ZeroDivisionError("a listener's own fault")


def test_an_exception_of_a_listener_is_raised_and_leaves_no_worker(tmp_path, started):
    with pytest.raises(ZeroDivisionError):
        run_processes(tmp_path, [digits_trial()], context(), Fails(), Policy(), ONE)
    assert started[0].poll() is not None
    assert not worker_pool._living
