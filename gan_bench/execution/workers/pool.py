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
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import IO

from gan_bench.config.trial import Trial
from gan_bench.core.channel import spawn
from gan_bench.core.errors import UserError
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
        self.site, self._work, self._listening = site, work, listening
        self._process: subprocess.Popen[str] | None = None
        self._events: IO[str] | None = None
        self._late = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - of one process after the other, closed with the last

    def start(self, stop: Callable[[], bool]) -> str | None:
        """Start the process where none lives, and wait until its device is ready, by a job without trials.

        Returns:
            Why it is not ready; None where it takes trials.
        """
        if self._process is not None and self._process.poll() is None:
            return None
        self.close()
        self._spawn()
        return self._carry(EventInbox((), self._work.listener), (), stop)

    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> dict[str, Claim]:
        """Have a job carried out by the process that was started.

        Args:
            trials: What to run; several train together.
            stop: When it says so, the worker is asked to save checkpoints and end.

        Returns:
            What came of every claim, by trial id; for trials of a worker that died, what says so.
        """
        inbox = EventInbox(trials, self._work.listener)
        loss = self._carry(inbox, trials, stop)
        for trial in trials:
            if trial.id not in inbox.claims:
                claim = write_lost(self._work, trial, None if self._late else loss)
                with self._listening:
                    inbox.note(trial, claim)
        failures = {claim.failure for claim in inbox.claims.values() if isinstance(claim, TrialRecord)}
        is_broken = Failure.CRASH in failures and self.site.device != "cpu"  # most CUDA errors persist in a process
        if Failure.OUT_OF_MEMORY in failures or is_broken:  # its memory may be fragmented
            self.close()
        return inbox.claims

    def _carry(self, inbox: EventInbox, trials: Sequence[Trial], stop: Callable[[], bool]) -> str | None:
        """Have a job carried out; return why the process ended before, or None."""
        process, work = self._process, self._work
        assert process is not None  # noqa: S101 - it was started
        job = Job(trials=tuple(trials), results=work.results.resolve(), site=self.site, policy=work.policy)
        whole = self._late = False
        try:
            whole = self._send_and_read(job, process, inbox, stop)
        finally:
            if not whole:
                self.close()
        return None if whole else self._why(process)

    def _send_and_read(
        self,
        job: Job,
        process: subprocess.Popen[str],
        inbox: EventInbox,
        stop: Callable[[], bool],
    ) -> bool:
        """Send a job and take in what comes back of it; note where it is killed for being past its limit.

        Returns:
            Whether it came to its end; False when the process ended before.
        """
        assert self._events is not None  # noqa: S101 - a process that was started has them
        over = threading.Event()

        def watch() -> None:
            """Close the worker's input when it is to stop; kill it when it is long past its trials' time limit."""
            until = time.monotonic() + seconds_allowed(job.policy, len(job.trials))
            while not over.wait(POLL_SECONDS):
                if stop() and not job.trials:
                    process.kill()  # it is still getting ready, and has nothing to save
                elif stop():
                    with contextlib.suppress(OSError, ValueError):
                        process.stdin.close()  # type: ignore[union-attr]
                if time.monotonic() > until:
                    self._late = True
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

    def _spawn(self) -> None:
        environment = {**os.environ}
        if self.site.threads:
            environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.site.threads))
        self._errors.seek(0)
        self._errors.truncate()
        self._process, self._events = spawn("gan_bench.execution.workers.worker", (), self._errors, environment)
        _living.add(self._process)

    def _why(self, process: subprocess.Popen[str]) -> str:
        """Return why a process ended before its job."""
        code = process.wait()
        if self._late:
            return "the worker process did not answer in time and was killed"
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

    A worker whose process does not get ready, as on a GPU that another process has taken, takes no trials.
    On GPUs the longest goes first, so that none is waited for in the end.

    Args:
        work: What to run.
        sites: Where, a worker each.

    Raises:
        UserError: No worker is left; what was not begun stays to do.
    """
    into = Results(work)
    pool = _Pool(into, sites)
    try:
        for groups in into.rounds(work.stop):
            if sites[0].device != "cpu":
                groups.sort(key=lambda group: sum(map(work.seconds, group)), reverse=True)
            pool.carry(groups)
    finally:
        pool.close()
    return into


class _Pool:
    """Workers that share trials, a thread for each.

    Args:
        into: What is run, and what becomes of it.
        sites: Where the workers run.
    """

    def __init__(self, into: Results, sites: Sequence[Site]) -> None:
        self._into, self._work = into, into.work
        self._lock, self._failed = threading.Lock(), threading.Event()
        self._workers = [Worker(site, into.work, self._lock) for site in sites]
        self._waiting = deque[list[Trial]]()

    def carry(self, groups: Sequence[list[Trial]]) -> None:
        """Carry groups to their ends, unless a stop is asked for."""
        self._waiting.extend(groups)
        shared = self._into.left_of(self._waiting.popleft() for _ in groups)
        _in_threads([partial(self._share, worker, shared) for worker in self._workers], self._failed)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.dismiss()

    def _stop(self) -> bool:
        return self._work.stop() or self._failed.is_set()

    def _is_over(self) -> bool:
        """True if no further group is handed out."""
        return not self._waiting or self._stop() or self._into.enough()

    def _share(self, worker: Worker, groups: Iterator[list[Trial]]) -> None:
        """Hand a worker groups of trials until none is left or a stop is asked for."""
        while not self._is_over():
            why = worker.start(self._is_over)
            if self._is_over():  # a worker that was not ready has ended then, as no work was left
                return
            if why:
                self._leave_out(worker, why)
                return
            with self._lock:
                group = next(groups, None)
            if group is None:
                return
            claims = worker.run(group, self._stop)
            with self._lock:
                for trial in group:
                    self._into.note(trial, claims[trial.id])

    def _leave_out(self, worker: Worker, why: str) -> None:
        """Run without a worker that is not ready.

        Raises:
            UserError: It was the last one.
        """
        worker.dismiss()
        text = f"no trial runs in a worker on {worker.site.device}: {why}"
        with self._lock:
            self._workers.remove(worker)
            if not self._workers:
                raise UserError(f"{text}; no other worker is left, and the same command continues")
            warnings.warn(f"{text}; the run continues without it", RuntimeWarning, stacklevel=2)


def _in_threads(tasks: Sequence[Callable[[], None]], failed: threading.Event) -> None:
    """Run functions, each in a thread; when one raises, ``failed`` tells the others to end."""
    with ThreadPoolExecutor(len(tasks)) as threads:
        try:
            for each in as_completed([threads.submit(task) for task in tasks]):
                each.result()
        except BaseException:  # a listener's own fault, or KeyboardInterrupt, where no handler takes signals
            failed.set()
            raise
