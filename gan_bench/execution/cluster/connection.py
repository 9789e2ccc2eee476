"""A connection to a Ray cluster: its resources, its checks, and the few calls that need Ray."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_bench.core.atomic import ASIDE, naming, remove_leftovers
from gan_bench.core.errors import UserError, brief
from gan_bench.core.text import from_root
from gan_bench.execution.cluster.node import Share, SharedFolder, check_node, share_of, versions
from gan_bench.execution.cluster.task import Driver, Mailbox

NODES_SECONDS = 2.0
"""Seconds for which the number of nodes is cached."""
EMPTY_SECONDS = 60.0
"""Seconds without any node that is large enough, before a run gives up."""
LEAVE_SECONDS = 8.0
"""Seconds that Ray may take to leave a cluster; measured were up to 3."""
ANSWER_SECONDS = 120.0
"""Seconds that a node may take to answer whether it fits, including the start of a process."""


@dataclass
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        share: What one task takes.
        driver: The driver's side, as tasks see it.
        nodes: How many nodes were asked what they have.
    """

    share: Share
    driver: Driver
    nodes: int
    _slots: int = field(default=0, init=False)
    _seen: float = field(default=-math.inf, init=False)
    _good: float = field(default=-math.inf, init=False)

    @property
    def device(self) -> str:
        """The device of tasks."""
        return "cuda" if self.share.gpus else "cpu"

    def slots(self) -> int:
        """Return how many tasks the cluster runs at a time, were it free of other work.

        Raises:
            UserError: For a minute no node was left that could run one.
        """
        now = time.monotonic()
        if now - self._seen > EMPTY_SECONDS:  # no call came meanwhile
            self._good = now
        if now - self._seen > NODES_SECONDS:
            self._seen, self._slots = now, sum(self.share.slots(node["Resources"]) for node in self.fit_nodes())
            with contextlib.suppress(OSError):
                self.driver.folder.mark.touch()
        if self._slots:
            self._good = now
        elif now - self._good > EMPTY_SECONDS:
            raise UserError(
                f"the cluster has no node left with room for a trial ({self.share}); when it has one again, the same "
                "command continues"
            )
        return self._slots

    def fit_nodes(self) -> list[Any]:
        """Return the nodes that are alive and have room for a trial, as Ray describes them."""
        return [node for node in live_nodes() if self.share.slots(node["Resources"])]

    def remote(self, function: Callable[..., Any]) -> Any:  # noqa: ANN401 - Ray's functions have no types
        """Return a function as a task with the resources of a trial; on a GPU each gets a fresh process.

        Ray sets OMP_NUM_THREADS only where it is not set, so it is set: bits depend on the number of threads. GPUs
        must be named here, not at the call, for a fresh process; and Ray must not try again by itself, because a
        trial's second try is ours to count and to resume.
        """
        import ray

        return ray.remote(
            num_cpus=self.share.cpus,
            num_gpus=self.share.gpus,
            max_retries=0,
            max_calls=1 if self.share.gpus else 0,
            runtime_env=self.share.environment,
        )(function)


def question(function: Callable[..., Any], share: Share) -> Any:  # noqa: ANN401 - Ray's functions have no types
    """Return a function as a task without resources, in a process that trials can reuse."""
    import ray

    return ray.remote(num_cpus=0, max_retries=0, runtime_env=share.environment)(function)


def live_nodes() -> list[Any]:
    """Return the nodes that are alive, as Ray describes them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


@contextmanager
def connected(
    address: str | None, gpus: float | None, cpus: float, device: str, results: Path, *, must_share: bool = True
) -> Iterator[Cluster]:
    """Connect to a cluster while the block runs; nothing remains there.

    Args:
        address: Address of its head; None takes ``RAY_ADDRESS``, then a cluster on this machine, else starts one here.
        gpus: GPUs of one task, as ``share_of`` takes them.
        cpus: CPU cores of one task, and its threads.
        device: ``auto``, ``cpu`` or ``cuda``.
        results: The results folder, which must exist.
        must_share: Whether every node must see it, as trials there need it to.

    Raises:
        UserError: There is no such cluster, it does not fit, its nodes differ in their software, or one does not see
            the results folder.
    """
    _connect(address)
    token = secrets.token_hex(16)
    results = from_root(results)
    mark = results / f".shared-{token[:8]}{ASIDE}"
    try:
        share = share_of(gpus, cpus, device, [node["Resources"] for node in live_nodes()])
        remove_leftovers(results)  # also marks of drivers that were killed earlier
        with naming(mark):
            mark.write_text(token, encoding="utf-8")
        driver = Driver(_mailbox(), SharedFolder(results, mark, token), versions())
        yield Cluster(share, driver, _count_nodes(driver.folder if must_share else None, share))
    finally:
        with contextlib.suppress(OSError):
            mark.unlink(missing_ok=True)
        _leave()


def _leave() -> None:
    """Leave the cluster, which ends the actors and tasks of this process.

    Where a signal has ended parts of a cluster that was started here, Ray waits for them, and is not waited for.
    """
    import ray

    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    leaving.start()
    leaving.join(LEAVE_SECONDS)


def answer_of(reference: Any) -> Any:  # noqa: ANN401 - actors return any type
    """Return the answer of an actor of the driver.

    Raises:
        UserError: It is gone.
    """
    import ray
    from ray.exceptions import RayError

    try:
        return ray.get(reference)
    except RayError as error:
        raise UserError(
            f"the driver's own actors on the cluster are gone ({brief(error)}); the same command continues"
        ) from None


def _connect(address: str | None) -> None:
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray; install it with `pip install 'gan-bench[ray]'`") from None
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address and address.startswith("ray://"):
        raise UserError(
            f"{address} is a client's address, whose connections may break; run on a machine of the cluster, with its "
            "head's address or --ray-address auto"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a cluster that is started here
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except SystemExit:  # Ray's own answer to SIGTERM
        _leave()
        raise KeyboardInterrupt from None
    except Exception as error:  # Ray raises many kinds
        where = f"the Ray cluster at {address}" if address else "Ray"
        raise UserError(f"{where} cannot be used ({brief(error)}); check --ray-address, or start it") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray installed its own handler


def _mailbox() -> Any:  # noqa: ANN401 - Ray's handles have no types
    """Start a mailbox on this node, beside the tasks that run there."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    placed = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=_on(here), max_concurrency=_CALLS)
    return placed.remote()


_CALLS = 100_000
"""Concurrent calls of a mailbox: one of each task waits there for the stop request."""


def _on(node: str) -> Any:  # noqa: ANN401 - Ray's own
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def on_node(task: Any, node: Mapping[str, Any]) -> Any:  # noqa: ANN401 - Ray's functions have no types
    """Return a task that runs on a node, as ``live_nodes`` describes it, and nowhere else."""
    return task.options(scheduling_strategy=_on(node["NodeID"]))


def unfit(node: str, error: BaseException) -> str:
    """Return the sentence for a node on which a task failed before it began."""
    return f"the node {node} cannot run gan_bench ({brief(error)}); install the same version on every node"


def _count_nodes(folder: SharedFolder | None, share: Share) -> int:
    """Count the nodes; refuse a cluster with a node that cannot work or does not answer."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError

    task, answered = question(check_node, share), 0
    asked = [(node, on_node(task, node).remote(folder, versions())) for node in live_nodes()]
    for node, answer in asked:
        try:
            ray.get(answer, timeout=ANSWER_SECONDS)
            answered += 1
        except GetTimeoutError:
            raise UserError(
                f"the node {node['NodeManagerHostname']} did not answer within {ANSWER_SECONDS:.0f} s; take it out of "
                "the cluster or try again"
            ) from None
        except RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise UserError(unfit(node["NodeManagerHostname"], error.cause)) from None
        except RayError:  # the node is gone, which the cluster may notice later than its tasks do
            continue
    return answered
