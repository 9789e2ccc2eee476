"""The executor ``ray``: trials on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gan_bench.config.suite import Plan
from gan_bench.config.trial import Trial
from gan_bench.core.errors import UserError
from gan_bench.core.preparing import report_progress
from gan_bench.core.text import from_root
from gan_bench.execution.cluster.connection import Cluster, answer_of, on_node, question
from gan_bench.execution.cluster.dispatcher import RETRIES, Dispatcher, make_bundles
from gan_bench.execution.cluster.task import call, check_made_of, distinct
from gan_bench.execution.cluster.transport import RayTransport, loss_of
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Identify
from gan_bench.execution.workers.job import Job, Site
from gan_bench.execution.workers.work import Results, Work

T = TypeVar("T")
WAITING_SECONDS = 1.0
QUIET_SECONDS = 8.0
"""Seconds without an answer or event after which the wait is reported."""


@dataclass(frozen=True)
class OnCluster:
    """A cluster where trials run: its tasks check a plan and train.

    Attributes:
        cluster: The cluster.
        site: What its tasks must know.
        stop: Returns True once the run should stop.
        most: Tasks at a time at most, or None for as many as there is room for.
        device: What computes there.
        sites: Empty: no worker process of this machine trains for it.
        identify: Says what trials are made of where the plan was surveyed; None before.
    """

    cluster: Cluster
    site: Site
    stop: Callable[[], bool]
    most: int | None = None
    device: str = ""
    sites: tuple[Site, ...] = ()
    identify: Identify | None = None

    @classmethod
    def of(cls, cluster: Cluster, site: Site, stop: Callable[[], bool], most: int | None = None) -> OnCluster:
        """Connect, and determine the device from a task.

        Raises:
            UserError: The device does not exist there.
        """
        place = cls(cluster, site, stop, most)
        return replace(place, device=place.call(_device))

    def jobs(self, count: int) -> int:
        """Return how many of so many trials run at a time."""
        return max(1, min(self.cluster.slots(), count, self.most or count))

    def devices(self, count: int) -> int:
        """Return how many devices compute these at least; without a GPU each task has cores of its own."""
        return -(-self.jobs(count) // self.cluster.share.on_each)

    def call(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:  # noqa: ANN401 - the work's own
        """Call a function on a node, passing its run context as ``context``.

        Raises:
            UserError: What the function raised, or its task was lost again and again, or no node has room for it any
                more.
            KeyboardInterrupt: A stop was asked for.
        """
        task, lost = self.cluster.remote(call), ""
        for _ in range(RETRIES + 1):
            try:
                found: T = self._answer(task.remote(self.cluster.driver, self.site, work, arguments, options))
            except _TaskLostError as error:
                lost = str(error)
            else:
                return found
        raise UserError(f"{lost} ({RETRIES + 1} times); the same command continues")

    def for_plan(self, plan: Plan) -> OnCluster:
        """Return a copy whose tasks know the image folders and plug-ins of a plan."""
        return replace(self, site=self.site.knowing(plan.folders, plan.plugins))

    def checked(self, trials: tuple[Trial, ...], identify: Identify) -> OnCluster:
        """Return a copy that checks on every node that it has what the plan was surveyed with.

        Raises:
            UserError: One has other images, networks or parts, or none.
        """
        place, site = replace(self, identify=identify), replace(self.site, device="cpu")
        task, nodes = question(call, self.cluster.share), self.cluster.fit_nodes()
        if len(nodes) < 2:  # the survey ran there
            return place
        asked_for = (distinct((trial.config for trial in trials), identify),)
        asked = [on_node(task, node).remote(self.cluster.driver, site, check_made_of, asked_for, {}) for node in nodes]
        for pending in asked:
            with suppress(_TaskLostError):  # lost with its node, which the trials do not need
                self._answer(pending)
        return place

    def train(self, work: Work) -> Results:
        """Run trials on the cluster; those of a lost process or node are resumed elsewhere.

        Raises:
            UserError: A node does not fit, or none is left that could run a trial.
        """
        into = Results(work)
        job = Job(trials=(), results=from_root(work.results), site=self.site, policy=work.policy)
        assert self.identify is not None  # noqa: S101 - ``checked`` has set it
        transport = RayTransport(self.cluster, job, self.identify)
        for groups in into.rounds(work.stop):
            slots = min(transport.slots(), self.most or transport.slots())
            bundles = make_bundles(groups, work.seconds, slots)
            Dispatcher(transport, into, self.most).carry(bundles)
        return into

    def _answer(self, pending: Any) -> Any:  # noqa: ANN401 - Ray's references have no types
        """Wait for a task, reporting meanwhile what it prepares."""
        import ray

        driver = self.cluster.driver
        asked, told = time.monotonic(), False
        while not ray.wait([pending], timeout=WAITING_SECONDS)[0]:
            said = answer_of(driver.mailbox.take.remote())
            _repeat(said)
            if self.stop():
                ray.cancel(pending, force=True)
                raise KeyboardInterrupt
            self.cluster.slots()
            if said:
                asked = time.monotonic()
            elif not told and time.monotonic() - asked > QUIET_SECONDS:
                told = True
                report_progress("waiting for a free place on the cluster", 0.0)
        _repeat(answer_of(driver.mailbox.take.remote()))
        try:
            return ray.get(pending)
        except Exception as error:  # Ray raises many kinds, and what the task raised
            if isinstance(cause := getattr(error, "cause", None), UserError):
                raise cause from None
            kind = UserError if hasattr(error, "cause") else _TaskLostError  # a retry would fail again
            raise kind(f"the cluster did not answer: {loss_of(error)}") from error


def _repeat(said: Iterable[tuple[Any, Any]]) -> None:
    """Report here what tasks prepare."""
    for _, event in said:
        if event["event"] == "prepares":
            report_progress(event["what"], event["fraction"])


class _TaskLostError(UserError):
    """A task ended without an answer, with its process or node."""


def _device(context: RunContext) -> str:
    return str(context.device)
