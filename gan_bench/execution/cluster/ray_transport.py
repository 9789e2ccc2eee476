"""The transport that a Ray cluster is: bundles become tasks, and losses become reasons."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

from gan_bench.core.errors import UserError, brief
from gan_bench.execution.cluster.bundles import Bundle
from gan_bench.execution.cluster.connection import Cluster
from gan_bench.execution.cluster.task import carry, claims_of
from gan_bench.execution.cluster.transport import Ended, Handle, Loss
from gan_bench.execution.job import Job

NODES_SECONDS = 2.0
"""Seconds for which the number of nodes is taken as known."""
PATIENCE_SECONDS = 120.0
"""Seconds that a retry waits for the lock of the lost task: network file systems release it late."""
EMPTY_SECONDS = 60.0
"""Seconds for which no node may have room, were it free, before the run gives up."""
REMEDY = "--retry-failed continues from its checkpoint"


class RayTransport:
    """Carries bundles to a cluster.

    Args:
        cluster: The cluster.
        job: Makes the job of a group of trials.
    """

    def __init__(self, cluster: Cluster, job: Callable[[tuple[Any, ...], float | None], Job]) -> None:
        self._cluster, self._job = cluster, job
        self._carry = cluster.remote(carry)
        self._numbers = itertools.count(1)
        self._answers: dict[Any, Handle] = {}
        self._nodes_seen = self._nodes_good = time.monotonic()
        self._slots = cluster.slots()

    def slots(self) -> int:
        """Say how many tasks can run at a time now.

        Raises:
            UserError: For a minute no node was left that could run one.
        """
        now = time.monotonic()
        if now - self._nodes_seen > NODES_SECONDS:
            self._nodes_seen, self._slots = now, self._cluster.slots()
        if self._slots:
            self._nodes_good = now
        elif now - self._nodes_good > EMPTY_SECONDS:
            raise UserError(
                f"the cluster has no node left with room for a trial ({self._cluster.share}); when it has one again, "
                "the same command continues"
            )
        return self._slots

    def submit(self, bundle: Bundle) -> Handle:
        """Hand over a bundle."""
        handle = next(self._numbers)
        patience = PATIENCE_SECONDS if bundle.retry else None
        jobs = tuple(self._job(group, patience).to_json() for group in bundle.groups)
        self._answers[self._carry.remote(self._cluster.desk, handle, jobs)] = handle
        return handle

    def events(self) -> list[tuple[Handle, Mapping[str, Any]]]:
        """Return what tasks said since the last call."""
        import ray

        said: list[tuple[Handle, Mapping[str, Any]]] = ray.get(self._cluster.desk.mailbox.take.remote())
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
        return [self._ended(answer) for answer in ready]

    def _ended(self, answer: Any) -> Ended:  # noqa: ANN401 - Ray's references have no types
        import ray

        handle = self._answers.pop(answer)
        try:
            return Ended(handle, claims_of(ray.get(answer)))
        except Exception as error:  # Ray raises many kinds, and what the task raised
            return Ended(handle, loss=loss_of(error))

    def kill(self, handle: Handle) -> None:
        """End a task at once."""
        import ray

        for answer, name in self._answers.items():
            if name == handle:
                ray.cancel(answer, force=True)

    def stop(self) -> None:
        """Ask tasks to end, and take back those that wait for a place."""
        import ray

        begun = ray.get(self._cluster.desk.mailbox.stop.remote())
        for answer, handle in self._answers.items():
            if handle not in begun:
                ray.cancel(answer)

    def let_go(self, trial_id: str) -> None:
        """Give back what a lost task still holds of a trial."""
        import ray

        ray.get(self._cluster.desk.depot.let_go.remote(trial_id))

    def is_gone(self, host: str) -> bool:
        """Say whether a machine was of the cluster and is not any more."""
        import ray

        mine = [node["Alive"] for node in ray.nodes() if node["NodeManagerHostname"] == host]
        return bool(mine) and not any(mine)


def loss_of(error: Exception) -> Loss:
    """Say in a sentence why a task has no answer, and whether another try may have one."""
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):
        cause = error.cause
        text = str(cause) if isinstance(cause, UserError) else f"its task failed: {brief(cause)}"
        return Loss(text, again=False)
    if isinstance(error, exceptions.OutOfMemoryError):
        return Loss(f"its node ran out of memory and Ray ended its process; raise --cpus-per-trial, and {REMEDY}", True)
    if isinstance(error, (exceptions.NodeDiedError, exceptions.LocalRayletDiedError, exceptions.ObjectLostError)):
        return Loss(f"its node was lost; {REMEDY}", again=True)
    if isinstance(error, exceptions.WorkerCrashedError):
        return Loss(f"its process on the cluster ended without a word; {REMEDY}", again=True)
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        return Loss(f"its node could not start a process for it ({brief(error)})", again=False)
    return Loss(f"the cluster lost its task ({brief(error)}); {REMEDY}", again=True)
