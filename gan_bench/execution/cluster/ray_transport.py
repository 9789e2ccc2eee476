"""The transport that a Ray cluster is: bundles become tasks, and losses become reasons."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

from gan_bench.core.errors import UserError, brief
from gan_bench.execution.cluster.connection import Capacity, Cluster, answer_of
from gan_bench.execution.cluster.task import carry, claims_of
from gan_bench.execution.cluster.transport import Bundle, Ended, Handle
from gan_bench.execution.workers.job import Job

PATIENCE_SECONDS = 120.0
"""Seconds that a retry waits for the lock of the lost task: network file systems release it late."""
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
        self._room = Capacity(cluster)

    def slots(self) -> int:
        """Return how many tasks can run at a time now.

        Raises:
            UserError: For a minute no node was left that could run one.
        """
        return self._room.slots()

    def submit(self, bundle: Bundle) -> Handle:
        """Hand over a bundle."""
        handle = next(self._numbers)
        patience = PATIENCE_SECONDS if bundle.retry else None
        jobs = tuple(self._job(group, patience).to_json() for group in bundle.groups)
        self._answers[self._carry.remote(self._cluster.driver, handle, jobs)] = handle
        return handle

    def events(self) -> list[tuple[Handle, Mapping[str, object]]]:
        """Return what tasks said since the last call.

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
        answer_of(self._cluster.driver.mailbox.stop.remote())
        self.recall()

    def recall(self) -> None:
        """Take back tasks that wait for a place."""
        import ray

        begun = answer_of(self._cluster.driver.mailbox.begun.remote())
        for answer, handle in self._answers.items():
            if handle not in begun:
                ray.cancel(answer)

    def is_gone(self, host: str) -> bool:
        """True if a machine was of the cluster and is not any more."""
        import ray

        mine = [node["Alive"] for node in ray.nodes() if node["NodeManagerHostname"] == host]
        return bool(mine) and not any(mine)


def loss_of(error: Exception) -> str:
    """Return why a task has no answer, as a sentence."""
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):
        return str(error.cause) if isinstance(error.cause, UserError) else f"its task failed: {brief(error.cause)}"
    if isinstance(error, exceptions.OutOfMemoryError):
        return f"its node ran out of memory and Ray ended its process; raise --cpus-per-trial, and {REMEDY}"
    if isinstance(error, (exceptions.NodeDiedError, exceptions.LocalRayletDiedError, exceptions.ObjectLostError)):
        return f"its node was lost; {REMEDY}"
    if isinstance(error, exceptions.WorkerCrashedError):
        return f"its process on the cluster died; {REMEDY}"
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        return f"its node could not start a process for it ({brief(error)}); repair the node, and {REMEDY}"
    return f"the cluster lost its task ({brief(error)}); {REMEDY}"
