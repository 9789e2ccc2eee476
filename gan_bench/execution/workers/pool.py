"""Worker processes that stay: what they are sent, and what they answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import IO

from gan_bench.config.trial import Trial
from gan_bench.core.channel import spawn
from gan_bench.execution.trial.claim import Claim
from gan_bench.execution.workers.job import EventInbox, Job, Site
from gan_bench.execution.workers.work import Results, Work, seconds_allowed, write_lost
from gan_bench.records.record import Failure, TrialRecord

POLL_SECONDS = 0.1
END_SECONDS = 10.0
"""Seconds that a worker without a job may take to end."""

_living: set[subprocess.Popen[str]] = set()


def kill_workers() -> None:
    """Kill the worker processes at once; their trials lose the work since their last checkpoint.

    The mirror ends by itself, and a Ray cluster that was started here ends with this process.
    """
    for process in list(_living):
        with contextlib.suppress(OSError):
            process.kill()


class Worker:
    """One worker, whose process takes job after job and is started again when it was lost.

    Args:
        site: Where it runs.
        work: What its jobs are of.
        listening: Held while the listener is called.
    """

    def __init__(self, site: Site, work: Work, listening: threading.Lock) -> None:
        self._site, self._work, self._listening = site, work, listening
        self._process: subprocess.Popen[str] | None = None
        self._events: IO[str] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - of one process after the other, closed with the last

    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> dict[str, Claim]:
        """Have a job carried out.

        Args:
            trials: What to run; several train together.
            stop: When it says so, the worker is asked to save checkpoints and end.

        Returns:
            What came of every claim, by trial id; for trials of a worker that died, what says so.
        """
        process, work = self._started_process(), self._work
        job = Job(trials=tuple(trials), results=work.results.resolve(), site=self._site, policy=work.policy)
        inbox, late = EventInbox(trials, work.listener), threading.Event()
        whole = False
        try:
            whole = self._send_and_read(job, process, inbox, stop, late)
        finally:
            if not whole:
                self.close()
        for trial in trials:
            if trial.id not in inbox.claims:
                claim = write_lost(work, trial, None if late.is_set() else self._why(process))
                with self._listening:
                    inbox.note(trial, claim)
        ends = [claim for claim in inbox.claims.values() if isinstance(claim, TrialRecord)]
        if any(end.failure is Failure.OUT_OF_MEMORY for end in ends):  # its memory may be in pieces
            self.close()
        return inbox.claims

    def _send_and_read(
        self,
        job: Job,
        process: subprocess.Popen[str],
        inbox: EventInbox,
        stop: Callable[[], bool],
        late: threading.Event,
    ) -> bool:
        """Send a job and take in what comes back of it; ``late`` is set where it is killed for being past its limit.

        Returns:
            Whether it came to its end; False when the process ended before.
        """
        assert self._events is not None  # noqa: S101 - a process that was started has them
        over = threading.Event()

        def watch() -> None:
            """Close the worker's input when it is to stop; kill it when it is long past its trials' time limit."""
            until = time.monotonic() + seconds_allowed(job.policy, len(job.trials))
            while not over.wait(POLL_SECONDS):
                if stop():
                    with contextlib.suppress(OSError, ValueError):
                        process.stdin.close()  # type: ignore[union-attr]
                if time.monotonic() > until:
                    late.set()
                    process.kill()

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            with contextlib.suppress(OSError, ValueError):  # the process is gone; its end is read below
                process.stdin.write(job.to_json() + "\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
            for line in self._events:
                if not line.endswith("\n"):  # the process died while it wrote
                    break
                said = json.loads(line)
                if said["event"] == "job_done":
                    return True
                with self._listening:
                    inbox.take(said)
            return False
        finally:
            over.set()
            watching.join()

    def close(self) -> None:
        """End the process; trials under way save a checkpoint."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError, ValueError):
            process.stdin.close()  # type: ignore[union-attr]
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(OSError, ValueError):
            self._events.close()  # type: ignore[union-attr]
        _living.discard(process)

    def dismiss(self) -> None:
        """End the process, whose last words are not wanted any more."""
        self.close()
        self._errors.close()

    def _started_process(self) -> subprocess.Popen[str]:
        """Return the process, started if there is none that lives."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        environment = {**os.environ}
        if self._site.threads:
            environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self._site.threads))
        self._errors.seek(0)
        self._errors.truncate()
        self._process, self._events = spawn("gan_bench.execution.workers.worker", (), self._errors, environment)
        _living.add(self._process)
        return self._process

    def _why(self, process: subprocess.Popen[str]) -> str:
        """Return why a process ended before its job."""
        code = process.wait()
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            hint = "; memory may have run out" if -code == signal.SIGKILL else ""
            return f"the worker process was killed by {name}{hint}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"the worker process ended with code {code}: {lines[-1][:300] if lines else 'no message'}"


# ---------------------------------------------------------------------------------------- the executor


def run_processes(work: Work, sites: Sequence[Site]) -> Results:
    """Run trials in worker processes, one job at a time in each; a lost process loses the job it had.

    On GPUs the longest goes first, so that none is waited for in the end.

    Args:
        work: What to run.
        sites: Where, a worker each.
    """
    into, lock, failed = Results(work), threading.Lock(), threading.Event()
    workers = [Worker(site, work, lock) for site in sites]

    def stop() -> bool:
        return work.stop() or failed.is_set()

    def share(worker: Worker, groups: Iterator[list[Trial]]) -> None:
        """Hand a worker groups of trials until none is left or a stop is asked for."""
        while not stop() and not into.enough():
            with lock:
                group = next(groups, None)
            if group is None:
                return
            claims = worker.run(group, stop)
            with lock:
                for trial in group:
                    into.note(trial, claims[trial.id])

    try:
        for groups in into.rounds(work.stop):
            if sites[0].device != "cpu":
                groups.sort(key=lambda group: sum(map(work.seconds, group)), reverse=True)
            shared = into.left_of(groups)
            _in_threads([partial(share, worker, shared) for worker in workers], failed)
    finally:
        for worker in workers:
            worker.dismiss()
    return into


def _in_threads(tasks: Sequence[Callable[[], None]], failed: threading.Event) -> None:
    """Run functions, each in a thread; when one raises, ``failed`` tells the others to end."""
    with ThreadPoolExecutor(len(tasks)) as threads:
        try:
            for each in as_completed([threads.submit(task) for task in tasks]):
                each.result()
        except BaseException:  # a listener's own fault, or KeyboardInterrupt, where no handler takes signals
            failed.set()
            raise
