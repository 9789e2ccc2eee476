"""Parts of the execution that need no training: meters, workers, environments."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from support.commands import HANG
from support.runs import context, sites, train_in_processes
from support.trials import digits_trial

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.plugins import PluginCode
from gan_bench.execution.trial import environment
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.trial.events import StepResult, ignore
from gan_bench.execution.trial.meter import HALF_LIFE_SECONDS, Meter
from gan_bench.execution.workers import pool as worker_pool
from gan_bench.execution.workers.job import Job, Site, claim_from_json, claim_to_json
from gan_bench.records.lock import Owner
from gan_bench.records.record import Failure, Status, TrialRecord

ONE = sites("cpu")


def test_a_group_shares_training_but_not_evaluation():
    """Four trials train together: each has a quarter of the training time, and all of its own evaluation."""
    meter = Meter(torch.device("cpu"), limit=10.0)
    meter.add_steps(StepResult(seconds=2.0, group=4), 10, at_tick=False)
    eight_ago = time.perf_counter() - 9
    assert not meter.exceeds_limit(eight_ago, shared=True)  # 2 + 9 / 4
    assert meter.exceeds_limit(eight_ago)  # 2 + 9
    assert not Meter(torch.device("cpu"), None).exceeds_limit(0.0)


def test_the_pace_follows_a_machine_that_becomes_busy():
    meter = Meter(torch.device("cpu"), None)
    assert meter.steps_per_second is None
    for _ in range(100):
        meter.add_steps(StepResult(1.0), 100, at_tick=False)
    assert meter.steps_per_second == pytest.approx(100)
    for _ in range(int(3 * HALF_LIFE_SECONDS)):
        meter.add_steps(StepResult(1.0), 10, at_tick=False)
    assert 10 < meter.steps_per_second < 25
    assert meter.train_seconds == 130


@pytest.mark.parametrize(
    "claim",
    [
        None,
        Owner("host", 5),
        TrialRecord(status=Status.FAILED, reason="x", failure=Failure.TIMEOUT, final={"a": None}, best={}),
    ],
)
def test_what_came_of_a_claim_travels(claim):
    assert claim_from_json(claim_to_json(claim)) == claim


def test_a_job_travels(tmp_path):
    job = Job(
        trials=(digits_trial(0), digits_trial(1)), results=tmp_path,
        site=Site(data=DataRoot(tmp_path, given=True), device="cpu", engine="auto", threads=1, plugins=(PLUGIN,)),
        policy=Policy(time_limit=3.0, ignored=frozenset({"2026"})),
    )  # fmt: skip
    assert Job.from_json(job.to_json()) == job


PLUGIN = PluginCode(Path("/nets.py"), b"\xff\n")


def test_a_line_that_is_no_event_is_not_swallowed(tmp_path, monkeypatch):
    """Events vanished silently when a line could not be read."""
    real = subprocess.Popen

    def talks_nonsense(command, **options):
        talk = """
import os, sys
sys.stdin.readline()
os.write(int(os.environ["GAN_BENCH_CHANNEL"]), b'{"event": "progress"\\n')
sys.stdin.read()
"""
        return real([sys.executable, "-c", talk], **options)

    monkeypatch.setattr(worker_pool.subprocess, "Popen", talks_nonsense)
    with pytest.raises(ValueError, match="Expecting"):
        train_in_processes(tmp_path, [digits_trial()], context(), ignore, Policy(), ONE)
    assert not worker_pool._living


@pytest.mark.asks_git
def test_a_working_tree_that_cannot_be_asked_is_unknown_not_dirty(monkeypatch):
    real = subprocess.run

    def run(command, **options):
        if "status" in command:
            raise subprocess.TimeoutExpired(command, 10)
        return real(command, **options)

    monkeypatch.setattr(environment.subprocess, "run", run)
    described = environment.describe_environment(torch.device("cpu"), "fast")
    assert described["git_dirty"] is None


def test_nothing_changes_the_umask_of_other_threads(tmp_path, monkeypatch):
    from gan_bench.core.atomic import write_atomically

    monkeypatch.setattr("os.umask", lambda _: pytest.fail("the umask is the process's"))
    threads = [threading.Thread(target=write_atomically, args=(tmp_path / str(i), "x")) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(tmp_path.iterdir())) == 4


BUSY = """
import ctypes, hashlib, sys
from gan_bench.terminal.console import StopRequest, console
with StopRequest(console(), grace=1.0).listening():
    print("ready", flush=True)
    if sys.platform == "linux":  # waits for ever for what it has, whatever signals come, and takes no time for that
        library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
        library.pthread_mutex_lock(mutex), library.pthread_mutex_lock(mutex)
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2**31 - 1)
"""


def test_a_stop_is_announced_and_kept_though_the_main_thread_is_in_a_library():
    """Python takes no signal there: a thread says it, and ends the process when the time is over."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=HANG)
    assert process.returncode == 130
    assert "stopping after a checkpoint, after 1 s in any case" in said


HUNG_UP = """
import signal, sys
from gan_bench.terminal.console import StopRequest, console
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
with (asked := StopRequest(console())).listening():
    for _ in range(2):
        signal.raise_signal(signal.SIGHUP)
    print(asked())
print(signal.getsignal(signal.SIGHUP))
"""


@pytest.mark.parametrize(("before", "stops"), [("SIG_DFL", True), ("SIG_IGN", False)])
def test_a_closed_terminal_asks_for_a_stop_and_not_for_two(before, stops):
    """Its shell and the system send a hang-up each; under nohup, which lets it be ignored, neither means anything."""
    done = subprocess.run([sys.executable, "-c", HUNG_UP, before], capture_output=True, text=True, check=True)
    *said, after = done.stdout.splitlines()
    assert after == str(signal.Handlers[before])
    assert str(stops) in said  # before or after what a thread says of it
    assert sum("stopping after a checkpoint" in line for line in said) == stops


INTERRUPTED_LINE = """
import io, os, signal, sys
from gan_bench.terminal.console import PlainConsole, StopRequest

class Raw(io.RawIOBase):  # below a buffer of Python's, which refuses to be entered again
    def writable(self):
        return True

    def write(self, data):
        sys.stdout.write(text := bytes(data).decode())
        if "a line" in text:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(10**5):  # the handler runs here
                pass
        return len(data)

out = PlainConsole(file=io.TextIOWrapper(io.BufferedWriter(Raw()), write_through=True))
with (asked := StopRequest(out, grace=5.0)).listening():
    out.say("a line")
    out.file.flush()
    print(asked())
"""


def test_ctrl_c_in_the_middle_of_a_line_stops_as_it_does_elsewhere():
    """What was said in answer ended the run with an error, waited for the line, which waited for it, or was lost."""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", INTERRUPTED_LINE], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "True\n" in done.stdout
        assert "stopping after a checkpoint, after 5 s in any case" in done.stdout
