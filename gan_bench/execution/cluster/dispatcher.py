"""Carry groups to their ends: keep the cluster busy, hear what tasks say, and try again what was lost."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gan_bench.config.trial import Trial
from gan_bench.execution.cluster.task import Handle
from gan_bench.execution.cluster.transport import Ended, Group, RayTransport
from gan_bench.execution.trial.claim import Claim
from gan_bench.execution.workers.job import EventInbox
from gan_bench.execution.workers.lost import seconds_allowed, write_lost
from gan_bench.execution.workers.work import Results
from gan_bench.records.record import Status, TrialRecord

RETRIES = 2
"""How often a trial whose worker or node was lost is tried again."""
AHEAD = 4
"""Tasks handed over beyond those that can run at a time, so that no place waits for the driver."""
POLL_SECONDS = 0.2


@dataclass
class _Task:
    group: Group
    first_said: float | None = None  # when its first trial began, by the clock
    late: bool = False


class Dispatcher:
    """Carries groups through a transport, each as one task.

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
        self._waiting: deque[Group] = deque()
        self._running: dict[Handle, _Task] = {}
        self._tries: Counter[str] = Counter()

    def carry(self, groups: Iterable[Sequence[Trial]]) -> None:
        """Carry groups to their ends."""
        self._waiting.extend(map(tuple, groups))
        asked = recalled = False
        while self._waiting or self._running:
            if self._work.stop() and not asked:
                asked = True
                self._transport.stop()
            if self._into.enough() and not recalled:
                recalled = True
                self._transport.recall()
            if asked or recalled:
                self._waiting.clear()
            self._submit()
            over = self._transport.wait(POLL_SECONDS)
            for handle, said in self._transport.events():  # what ended tasks said last is among it
                self._take_event(handle, said)
            for ended in over:
                self._finish_task(ended)
            self._kill_the_late()

    def _submit(self) -> None:
        slots = self._transport.slots()
        room = min(slots + AHEAD, self._most or slots + AHEAD)
        while self._waiting and len(self._running) < room:
            group = self._waiting.popleft()
            is_retry = any(self._tries[trial.id] for trial in group)
            self._running[self._transport.submit(group, retry=is_retry)] = _Task(group)

    def _take_event(self, handle: Handle, said: object) -> None:
        task = self._running.get(handle)
        if task is None or not isinstance(said, dict):  # last words of a task that was given up
            return
        if said["event"] == "started" and task.first_said is None:
            task.first_said = self._clock()
        self._inbox.take(said)

    def _finish_task(self, ended: Ended) -> None:
        task = self._running.pop(ended.handle)
        claims = self._inbox.claims
        for trial in task.group:
            if trial.id in ended.claims and trial.id not in claims:
                self._inbox.note(trial, ended.claims[trial.id])
            if self._is_cut_off(claims.get(trial.id)):
                del claims[trial.id]
        if left := tuple(trial for trial in task.group if trial.id not in claims):
            self._lose(left, None if task.late else ended.loss or "its task ended before it")
        for trial in task.group:
            if trial.id in claims:
                self._into.note(trial, claims.pop(trial.id))

    def _is_cut_off(self, claim: Claim) -> bool:
        """True if a task ended its trial because it lost the driver, not because that asked it to."""
        return isinstance(claim, TrialRecord) and claim.status is Status.INTERRUPTED and not self._work.stop()

    def _lose(self, left: Group, loss: str | None) -> None:
        """Try again what a lost task has not done; a trial that was lost too often, or ran too long, has failed.

        Args:
            left: What it has not done.
            loss: What became of it; None where it was killed for being past the time limit.
        """
        if self._work.stop():
            return
        self._tries.update(trial.id for trial in left)
        again = tuple(trial for trial in left if loss is not None and self._tries[trial.id] <= RETRIES)
        for trial in left:
            if trial not in again:
                told = loss and f"{loss} ({RETRIES + 1} times)"
                self._inbox.note(trial, write_lost(self._work, trial, told))
        if again:
            self._waiting.appendleft(again)

    def _kill_the_late(self) -> None:
        """Kill tasks that are long past their trials' time limit and do not answer."""
        for handle, task in self._running.items():
            began, allowed = task.first_said, seconds_allowed(self._work.policy, len(task.group))
            if began is not None and not task.late and self._clock() - began > allowed:
                task.late = True
                self._transport.kill(handle)
