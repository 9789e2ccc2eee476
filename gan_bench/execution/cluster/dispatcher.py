"""Runs bundles: keeps the cluster busy, receives events of tasks, and retries lost trials."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gan_bench.config.trial import Trial
from gan_bench.core.errors import UserError
from gan_bench.execution.cluster.task import Handle
from gan_bench.execution.cluster.transport import Bundle, Ended, Group, RayTransport
from gan_bench.execution.trial.claim import Claim
from gan_bench.execution.workers.job import EventInbox
from gan_bench.execution.workers.work import Results, seconds_allowed, write_lost
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import Owner, break_lock, trial_lock
from gan_bench.records.record import Status, TrialRecord

RETRIES = 2
"""How often a trial is retried whose worker or node was lost."""
AHEAD = 4
"""Tasks submitted beyond those that can run, so that no slot waits for the driver."""
POLL_SECONDS = 0.2
LEAST_SECONDS = 60.0
"""Expected seconds of a task's trials: a task on a GPU starts a process and loads torch, images and extractors, which
takes several seconds."""


def make_bundles(groups: Iterable[Sequence[Trial]], seconds: Callable[[Trial], float], slots: int) -> list[Bundle]:
    """Put groups into bundles of at least ``LEAST_SECONDS``, or of an equal share for every slot if that is less.

    Args:
        groups: Trials that train together.
        seconds: Expected seconds of a trial, or of its share of its group's.
        slots: How many tasks run at a time.
    """
    pieces = [tuple(group) for group in groups]
    costs = [sum(map(seconds, piece)) for piece in pieces]
    enough = min(LEAST_SECONDS, sum(costs) / max(slots, 1))
    bundles: list[Bundle] = []
    open_groups: list[Group] = []
    filled = 0.0
    for piece, cost in zip(pieces, costs, strict=True):
        open_groups.append(piece)
        filled += cost
        if filled >= enough:
            bundles.append(Bundle(tuple(open_groups)))
            open_groups, filled = [], 0.0
    if open_groups:
        bundles.append(Bundle(tuple(open_groups)))
    return bundles


@dataclass
class _Task:
    bundle: Bundle
    first_said: float | None = None  # when its first trial began, by the clock
    late: bool = False


class Dispatcher:
    """Runs bundles through a transport.

    Args:
        transport: Where to.
        into: What is run, and what becomes of it.
        most: Tasks at a time at most, or None.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        transport: RayTransport,
        into: Results,
        most: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport, self._most, self._clock = transport, most, clock
        self._into, self._work = into, into.work
        self._inbox = EventInbox(into.work.trials, into.work.listener)
        self._waiting: deque[Bundle] = deque()
        self._running: dict[Handle, _Task] = {}
        self._tries: Counter[str] = Counter()
        self._unfit = ""

    def carry(self, bundles: Iterable[Bundle]) -> None:
        """Run bundles to their ends.

        Raises:
            UserError: A node does not fit, or none is left.
        """
        self._waiting.extend(bundles)
        asked = recalled = False
        while self._waiting or self._running:
            if self._is_stopping() and not asked:  # tasks save checkpoints, on fit nodes as well
                asked = True
                self._transport.stop()
            if self._into.enough() and not recalled:
                recalled = True
                self._transport.recall()
            if asked or recalled:
                self._waiting.clear()
            self._submit()
            over = self._transport.wait(POLL_SECONDS)
            for handle, said in self._transport.events():  # includes the last events of ended tasks
                self._take_event(handle, said)
            for ended in over:
                self._finish_task(ended)
            self._kill_the_late()
        if self._unfit:
            raise UserError(f"{self._unfit}; then the same command continues")

    def _is_stopping(self) -> bool:
        return bool(self._unfit) or self._work.stop()

    def _submit(self) -> None:
        slots = self._transport.slots()
        room = min(slots + AHEAD, self._most or slots + AHEAD)
        while self._waiting and len(self._running) < room:
            bundle = self._waiting.popleft()
            self._running[self._transport.submit(bundle)] = _Task(bundle)

    def _take_event(self, handle: Handle, said: object) -> None:
        task = self._running.get(handle)
        if task is None or not isinstance(said, dict):  # late events of a task that was given up
            return
        if said["event"] == "started" and task.first_said is None:
            task.first_said = self._clock()
        self._inbox.take(said)

    def _finish_task(self, ended: Ended) -> None:
        task = self._running.pop(ended.handle)
        if ended.is_unfit and not self._work.stop():
            self._unfit = self._unfit or str(ended.loss)
            return
        claims = self._inbox.claims
        for trial in task.bundle.trials:
            if trial.id in ended.claims and trial.id not in claims:
                self._inbox.note(trial, ended.claims[trial.id])
            if self._is_cut_off(claims.get(trial.id)) or self._take_back(trial, task.bundle):
                del claims[trial.id]
        if left := task.bundle.without(lambda trial: trial.id in claims):
            loss = None if task.late else ended.loss or "its task ended before it"
            self._lose(Bundle(left, task.bundle.retry), loss)
        for trial in task.bundle.trials:
            if trial.id in claims:
                self._into.note(trial, claims.pop(trial.id))

    def _is_cut_off(self, claim: Claim) -> bool:
        """True if a task ended its trial because it lost the driver, not because of a stop request."""
        return isinstance(claim, TrialRecord) and claim.status is Status.INTERRUPTED and not self._is_stopping()

    def _take_back(self, trial: Trial, bundle: Bundle) -> bool:
        """Break the lock that a lost machine left on a retried trial, as the file system did not release it."""
        owner = self._inbox.claims.get(trial.id)
        if not (bundle.retry and isinstance(owner, Owner) and self._transport.is_gone(owner.host)):
            return False
        break_lock(RecordDirectory.of(self._work.results, trial))
        return True

    def _lose(self, bundle: Bundle, loss: str | None) -> None:
        """Retry the trials of a lost task; a trial that was lost too often, or ran too long, has failed.

        Args:
            bundle: What it has not done.
            loss: What became of it; None where it was killed for being past the time limit.
        """
        if self._is_stopping():
            return
        started = self._inbox.started
        blamed = [trial for trial in bundle.trials if trial.id in started] or list(bundle.trials)
        self._tries.update(trial.id for trial in blamed)
        given_up = {trial.id for trial in blamed if loss is None or self._tries[trial.id] > RETRIES}
        for trial in bundle.trials:
            started.discard(trial.id)
            if trial.id in given_up:
                self._give_up(trial, loss and f"{loss} ({RETRIES + 1} times)")
        alone = {trial.id for trial in blamed}
        for group in bundle.without(lambda trial: trial.id in given_up or trial.id not in alone):
            self._waiting.appendleft(Bundle((group,), retry=True))
        if rest := bundle.without(lambda trial: trial.id in alone):
            self._waiting.appendleft(Bundle(rest))

    def _give_up(self, trial: Trial, loss: str | None) -> None:
        """Write the row of a trial that is not retried."""
        directory = RecordDirectory.of(self._work.results, trial)
        with trial_lock(directory) as lock:
            owner = lock.acquire()
        if owner and self._transport.is_gone(owner.host):
            break_lock(directory)
        self._inbox.note(trial, write_lost(self._work, trial, loss))

    def _kill_the_late(self) -> None:
        """Kill tasks that are long past their trials' time limit and do not answer."""
        for handle, task in self._running.items():
            began, allowed = task.first_said, seconds_allowed(self._work.policy, len(task.bundle.trials))
            if began is not None and not task.late and self._clock() - began > allowed:
                task.late = True
                self._transport.kill(handle)
