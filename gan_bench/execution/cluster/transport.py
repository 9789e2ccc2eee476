"""Carries bundles of trials to a Ray cluster and returns answers, or the reasons of losses.

Tests give the dispatcher a transport of their own.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gan_bench.config.trial import Trial
from gan_bench.core.errors import UserError, brief
from gan_bench.execution.cluster.connection import Cluster, answer_of, unfit
from gan_bench.execution.cluster.task import Handle, carry, distinct
from gan_bench.execution.trial.claim import Claim
from gan_bench.execution.trial.decision import Identify
from gan_bench.execution.workers.job import Job, claim_from_json

PATIENCE_SECONDS = 120.0
"""Seconds that a retry waits for the lock of the lost task: network file systems release it late."""

Group = tuple[Trial, ...]
"""Trials that train together; most groups have one."""


@dataclass(frozen=True)
class Bundle:
    """The work of one task.

    Attributes:
        groups: The groups, one after the other.
        retry: Whether an earlier task with these trials was lost.
    """

    groups: tuple[Group, ...]
    retry: bool = False

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All its trials."""
        return tuple(trial for group in self.groups for trial in group)

    def without(self, done: Callable[[Trial], bool]) -> tuple[Group, ...]:
        """Return the groups with the trials that are not done, empty groups left out."""
        left = [tuple(trial for trial in group if not done(trial)) for group in self.groups]
        return tuple(group for group in left if group)


@dataclass(frozen=True)
class Ended:
    """A task that ended.

    Attributes:
        handle: Which.
        claims: What came of its trials, by id.
        loss: Why it ended without all of them, in one sentence with the remedy, or None. An error of a trial itself is
            no loss but a claim, so what stands here may go better on another node.
        is_unfit: Whether that is the loss: its node cannot run its trials, and has begun none.
    """

    handle: Handle
    claims: Mapping[str, Claim] = field(default_factory=dict)
    loss: str | None = None
    is_unfit: bool = False


class RayTransport:
    """Carries bundles to a cluster.

    Args:
        cluster: The cluster.
        job: What all jobs share; their trials, and the patience of a retry, are filled in.
        identify: Says what trials are made of where the plan was surveyed.
    """

    def __init__(self, cluster: Cluster, job: Job, identify: Identify) -> None:
        self._cluster, self._job, self._identify = cluster, job, identify
        self._carry = cluster.remote(carry)
        self._numbers = itertools.count(1)
        self._answers: dict[Any, Handle] = {}
        self.slots = cluster.slots

    def submit(self, bundle: Bundle) -> Handle:
        """Submit a bundle; it runs when resources are free."""
        handle = next(self._numbers)
        job = replace(self._job, patience=PATIENCE_SECONDS) if bundle.retry else self._job
        jobs = tuple(replace(job, trials=group).to_json() for group in bundle.groups)
        made_of = distinct((trial.config for trial in bundle.trials), self._identify)
        self._answers[self._carry.remote(self._cluster.driver, handle, jobs, made_of)] = handle
        return handle

    def events(self) -> list[tuple[Handle, Mapping[str, object]]]:
        """Return the events of tasks since the last call.

        Raises:
            UserError: The mailbox is gone.
        """
        said: list[tuple[Handle, Mapping[str, object]]] = answer_of(self._cluster.driver.mailbox.take.remote())
        return said

    def wait(self, seconds: float) -> list[Ended]:
        """Return the tasks that have ended; their answers are fetched one by one."""
        import ray

        if not self._answers:
            time.sleep(seconds)
            return []
        ready, _ = ray.wait(list(self._answers), timeout=seconds)
        if ready:
            ready, _ = ray.wait(list(self._answers), num_returns=len(self._answers), timeout=0)
        return [self._ended_task(answer) for answer in ready]

    def _ended_task(self, answer: Any) -> Ended:  # noqa: ANN401 - Ray's references have no types
        import ray

        handle = self._answers.pop(answer)
        try:
            found = ray.get(answer)
        except Exception as error:  # Ray raises many kinds, and what the task raised
            return self._lost_task(handle, error)
        return Ended(handle, {trial_id: claim_from_json(claim) for trial_id, claim in found.items()})

    def _lost_task(self, handle: Handle, error: Exception) -> Ended:
        """Return how a task ended that raised an exception or was lost.

        How a trial ends is a claim: a task that raises a sentence, or fails before it began, as where gan_bench cannot
        be imported, is on a node that does not fit.
        """
        cause = getattr(error, "cause", None)
        if cause is None or isinstance(cause, UserError):
            return Ended(handle, loss=loss_of(error), is_unfit=cause is not None)
        if handle in answer_of(self._cluster.driver.mailbox.begun.remote()):
            return Ended(handle, loss=loss_of(error))
        address = re.search(r"\bip=([^)\s]+)", str(error))
        return Ended(handle, loss=unfit(address[1] if address else "of a task", cause), is_unfit=True)

    def kill(self, handle: Handle) -> None:
        """Kill a task; it comes back as a loss."""
        import ray

        for answer, name in self._answers.items():
            if name == handle:
                ray.cancel(answer, force=True)

    def stop(self) -> None:
        """Ask all tasks to save checkpoints and end, and withdraw the waiting ones."""
        answer_of(self._cluster.driver.mailbox.stop.remote())
        self.recall()

    def recall(self) -> None:
        """Withdraw waiting tasks; they come back as losses."""
        import ray

        begun = answer_of(self._cluster.driver.mailbox.begun.remote())
        for answer, handle in self._answers.items():
            if handle not in begun:
                ray.cancel(answer)

    def is_gone(self, host: str) -> bool:
        """True if a machine has left the cluster."""
        import ray

        mine = [node["Alive"] for node in ray.nodes() if node["NodeManagerHostname"] == host]
        return bool(mine) and not any(mine)


def loss_of(error: Exception) -> str:
    """Return why a task has no answer, as a sentence."""
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):
        return str(error.cause) if isinstance(error.cause, UserError) else f"its task failed: {brief(error.cause)}"
    if isinstance(error, exceptions.OutOfMemoryError):
        return "its node ran out of memory and Ray ended its process; raise --cpus-per-trial"
    return f"the cluster lost its task ({brief(error)})"
