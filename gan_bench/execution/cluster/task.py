"""The tasks on nodes, which run bundles or check a plan, and their events to the driver."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import StopProcess, UserError
from gan_bench.core.preparing import progress_listener
from gan_bench.execution.cluster.node import SharedFolder, check_node, get_in_thread
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Identify
from gan_bench.execution.workers.job import Contexts, Job, Site
from gan_bench.execution.workers.worker import run_job
from gan_bench.records.earlier import Identity
from gan_bench.records.record import Status

FLUSH_SECONDS = 0.5
"""Seconds for which progress events are collected, to be sent together."""

Handle = Hashable
"""Names a task under way."""
Said = Mapping[str, object]
"""One event, as ``run_job`` sends it."""


class Mailbox:
    """Collects events of tasks for the driver, and tells tasks when to stop. Its methods run in one thread."""

    def __init__(self) -> None:
        self._said: list[tuple[Handle, Said]] = []
        self._begun: set[Handle] = set()
        self._stopping = asyncio.Event()

    async def check_in(self, handle: Handle) -> bool:
        """Register the start of a task; return whether it may continue.

        Returns:
            Whether it may.
        """
        self._begun.add(handle)
        return not self._stopping.is_set()

    async def put(self, handle: Handle, said: list[Said]) -> None:
        """Receive an event of a task."""
        self._said += [(handle, event) for event in said]

    async def take(self) -> list[tuple[Handle, Said]]:
        """Return the events since the last call."""
        said, self._said = self._said, []
        return said

    async def begun(self) -> set[Handle]:
        """Return the tasks that have begun, ended ones included."""
        return self._begun

    async def stop(self) -> None:
        """Tell all tasks to stop."""
        self._stopping.set()

    async def stopping(self) -> None:
        """Return when tasks are to stop."""
        await self._stopping.wait()


class EventSender:
    """Sends events to a mailbox, progress events in batches.

    Attributes:
        claims: What came of claims, as JSON, by trial id.
        bad: Whether a trial among them failed or diverged.
    """

    def __init__(self, mailbox: Any, handle: Handle) -> None:  # noqa: ANN401 - Ray's handles have no types
        self.claims: dict[str, dict[str, object]] = {}
        self.bad = False
        self._mailbox, self._handle = mailbox, handle
        self._kept: list[dict[str, object]] = []
        self._sent = 0.0

    def __call__(self, event: str, **content: Any) -> None:  # noqa: ANN401 - JSON
        """Send an event."""
        if event == "claimed":
            self.claims[content["trial"]] = content["claim"]
            self.bad |= content["claim"].get("record", {}).get("status") in (Status.FAILED, Status.DIVERGED)
        if event == "progress":
            self._kept = [e for e in self._kept if (e["event"], e.get("trial")) != (event, content["trial"])]
        self._kept.append({"event": event, **content})
        if event != "progress" or time.monotonic() - self._sent > FLUSH_SECONDS:
            self.flush()

    def flush(self, *, wait: bool = False) -> None:
        """Send collected events, and wait for their arrival if the end of the task must not overtake them."""
        kept, self._kept, self._sent = self._kept, [], time.monotonic()
        with contextlib.suppress(Exception):  # there may be no driver any more
            sent = self._mailbox.put.remote(self._handle, kept)
            if wait:
                get_in_thread(sent)


@dataclass(frozen=True)
class Driver:
    """The driver's side, as tasks see it.

    Attributes:
        mailbox: Handle of the ``Mailbox``.
        folder: The results folder.
        versions: What runs there.
    """

    mailbox: Any
    folder: SharedFolder
    versions: Mapping[str, str]


# --------------------------------------------------------------------------------------------- one task


MadeOf = tuple[tuple[TrialConfig, Identity], ...]
"""Trials, with their identities where the plan was surveyed."""


def carry(driver: Driver, handle: Handle, jobs: tuple[str, ...], made_of: MadeOf) -> dict[str, dict[str, object]]:
    """Carry out the jobs of a bundle, one after the other.

    Args:
        driver: The driver's side.
        handle: Names this task.
        jobs: Jobs as JSON.
        made_of: What their trials are made of.

    Returns:
        What came of every claim, as JSON, by trial id.

    Raises:
        UserError: The node does not fit; none of the trials was begun.
    """
    check_node(driver.folder, driver.versions)
    if not get_in_thread(driver.mailbox.check_in.remote(handle)):
        return {}
    process = _process(driver)
    with _ending_at_once(), _telling(driver, handle) as sender:
        bundle = [Job.from_json(job) for job in jobs]
        check_made_of(made_of, context=process.contexts.of(bundle[0].site))
        for job in bundle:
            if process.stop() or (job.policy.fail_fast and sender.bad):
                break
            run_job(job, process.contexts.of(job.site), sender)
        return dict(sender.claims)


def distinct(configs: Iterable[TrialConfig], identify: Identify) -> MadeOf:
    """Return the identities of trials, without duplicates."""
    found = {
        (each.dataset, each.image_size, each.architecture, each.latent_dim, each.loss, each.evaluation.extractors): each
        for each in configs
    }
    return tuple((each, identify(each)) for each in found.values())


def check_made_of(made_of: MadeOf, *, context: RunContext) -> None:
    """Refuse to work where the identities of trials differ from those of the survey, or are unknown.

    Raises:
        UserError: Images, networks or parts are others, or are not there.
    """
    host = socket.gethostname()
    for config, wanted in made_of:
        try:
            here = context.identity(config)
        except UserError as error:
            raise UserError(f"the node {host}: {error}") from None
        other = [f"images of {config.dataset}"] if here["data_sha256"] != wanted["data_sha256"] else []
        if here["held_out_sha256"] != wanted["held_out_sha256"]:
            other.append(f"held-out images of {config.dataset}")
        if here["networks_sha256"] != wanted["networks_sha256"]:
            other.append(f"layers of {config.architecture}")
        both = here["parts"].keys() & wanted["parts"].keys()  # a GPU may have extractors of its own
        other += [f"code of {key}" for key in both if here["parts"][key]["sha256"] != wanted["parts"][key]["sha256"]]
        if other:
            raise UserError(
                f"the node {host} has other {' and other '.join(sorted(other))} than the node that was asked first; "
                "give all nodes the same files and packages"
            )


class _ProcessEnds(StopProcess):
    """SIGTERM came."""


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """Let SIGTERM end this process in any code.

    Ray's own handler raises SystemExit. A trial takes that for code of its own that tried to end the process and would
    have failed, though its node has only gone, and it continues elsewhere.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise _ProcessEnds

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _ProcessEnds:
        raise SystemExit(1) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def call(
    driver: Driver,
    site: Site,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, object],
) -> Any:  # noqa: ANN401 - the work's own
    """Call a function with the run context of a site."""
    process = _process(driver)
    with _ending_at_once(), _telling(driver, 0):
        return work(*arguments, context=process.contexts.of(site), **options)


# ---------------------------------------------------------------------------------------------- one process


class _Process:
    """State of a cluster process between tasks: images, extractors, and the stop request."""

    def __init__(self, mailbox: Any) -> None:  # noqa: ANN401 - Ray's handles have no types
        self.contexts = Contexts(self.stop)
        self._stopping = threading.Event()
        threading.Thread(target=self._await_stop, args=(mailbox,), daemon=True).start()

    def stop(self) -> bool:
        """True if trials are to save a checkpoint and end."""
        return self._stopping.is_set()

    def _await_stop(self, mailbox: Any) -> None:  # noqa: ANN401 - Ray's handles have no types
        """Wait for the request to stop, in a daemon thread: one that is joined would keep the process, and its GPU."""
        import ray

        with contextlib.suppress(Exception):  # without a driver, no process waits for the trials
            ray.get(mailbox.stopping.remote())
        self._stopping.set()


@contextmanager
def _telling(driver: Driver, handle: Handle) -> Iterator[EventSender]:
    """Send the events of the block to the driver."""
    sender = EventSender(driver.mailbox, handle)
    with (
        warnings.catch_warnings(),
        progress_listener(lambda what, fraction: sender("prepares", what=what, fraction=fraction)),
    ):
        warnings.showwarning = lambda message, *_: sender("warning", text=str(message))
        try:
            yield sender
        finally:
            sender.flush(wait=True)


_processes: dict[str, _Process] = {}


def _process(driver: Driver) -> _Process:
    """Return the state of this process for a run; it is renewed once the driver was lost."""
    kept = _processes.get(driver.folder.token)
    if kept is None or kept.stop():
        _processes.clear()
        _processes[driver.folder.token] = _Process(driver.mailbox)
    return _processes[driver.folder.token]
