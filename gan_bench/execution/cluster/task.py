"""What runs on the nodes: tasks that carry out bundles, or answer a plan's questions."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gan_bench.core.errors import UserError, brief
from gan_bench.execution.claim import Claim
from gan_bench.execution.cluster.actors import Offer
from gan_bench.execution.cluster.node import SharedFolder
from gan_bench.execution.cluster.transport import Handle
from gan_bench.execution.context import RunContext
from gan_bench.execution.contexts import Contexts
from gan_bench.execution.job import Job, Site, claim_from_json, claim_to_json
from gan_bench.execution.worker import run_job
from gan_bench.records import archive
from gan_bench.records.layout import RecordDirectory

FLUSH_SECONDS = 0.5
"""Seconds for which news of a trial's progress is held back, to be sent together."""


@dataclass(frozen=True)
class Desk:
    """The driver's side, as tasks see it.

    Attributes:
        mailbox: Handle of the ``Mailbox``.
        depot: Handle of the ``Depot``.
        folder: The results folder.
    """

    mailbox: Any
    depot: Any
    folder: SharedFolder


# --------------------------------------------------------------------------------------------- one task


def carry(desk: Desk, handle: Handle, jobs: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Carry out the jobs of a bundle, one after the other.

    Args:
        desk: The driver's side.
        handle: Names this task.
        jobs: Jobs as JSON.

    Returns:
        What came of every claim, as JSON, by trial id.
    """
    process = _process(desk)
    with process.working_for(desk, handle) as talk:
        if not _ask(desk.mailbox.check_in.remote(handle)):
            return {}
        for job in map(Job.from_json, jobs):
            if process.stop():
                break
            context = process.contexts.of(job.site)
            if desk.folder.is_here():
                run_job(job, context, talk)
            else:
                _carry_away(job, context, process, talk)
        return dict(talk.claims)


@dataclass(frozen=True)
class Answer:
    """What a function returned, or the sentence with which it refused."""

    value: Any = None
    error: UserError | None = None


def call(
    desk: Desk,
    handle: Handle,
    site: Site,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> Answer:
    """Let a function work on the run context of a site."""
    process = _process(desk)
    with process.working_for(desk, handle):
        try:
            return Answer(work(*arguments, context=process.contexts.of(site), **options))
        except UserError as error:
            return Answer(error=error)


def _carry_away(job: Job, context: RunContext, process: _Process, talk: _Talk) -> None:
    """Run a job in a folder of this machine, and send its records and checkpoints to the driver's."""
    scratch = Path(tempfile.mkdtemp(prefix="gan-bench-"))
    depot = process.desk.depot
    tokens: dict[str, str] = {}

    def deliver(directory: RecordDirectory, trial_id: str) -> None:
        _ask(depot.deliver.remote(trial_id, tokens[trial_id], archive.pack(directory)))

    def send(event: str, **content: Any) -> None:  # noqa: ANN401 - JSON
        if event == "claimed":
            deliver(places[content["trial"]], content["trial"])
        talk(event, **content)

    def saved(directory: RecordDirectory) -> None:
        trial_id = next(name for name, place in places.items() if place == directory)
        try:
            deliver(directory, trial_id)
        except Exception as error:  # the next one may arrive
            talk("warning", text=f"a checkpoint did not reach the results folder ({brief(error)})")

    places = {trial.id: RecordDirectory.of(scratch, trial) for trial in job.trials}
    taken = []
    try:
        for trial in job.trials:
            identity, policy = context.identity(trial.config), asdict(job.policy)
            offer: Offer = _ask(depot.offer.remote(trial.to_json(), identity, policy))
            if offer.token is None:
                talk("claimed", trial=trial.id, claim=claim_to_json(offer.owner))
                continue
            tokens[trial.id] = offer.token
            if offer.record:
                archive.unpack(places[trial.id], offer.record)
            taken.append(trial)
        process.saved = saved
        run_job(replace(job, results=scratch, trials=tuple(taken)), context, send)
    finally:
        process.saved = None
        for trial_id in tokens:
            with contextlib.suppress(Exception):  # a driver that is gone holds nothing
                _ask(depot.let_go.remote(trial_id))
        shutil.rmtree(scratch, ignore_errors=True)


# ---------------------------------------------------------------------------------------------- one process


class _Process:
    """What a process of the cluster keeps from task to task: images, extractors, and an ear for the request to stop."""

    def __init__(self, mailbox: Any) -> None:  # noqa: ANN401 - Ray's handles have no types
        self.contexts = Contexts(self.stop, self._notify, self._saved)
        self.saved: Callable[[RecordDirectory], None] | None = None
        self.desk: Desk
        self._talk: _Talk | None = None
        self._stopping = threading.Event()
        threading.Thread(target=self._hear, args=(mailbox,), daemon=True).start()

    def stop(self) -> bool:
        """Say whether trials are to save a checkpoint and end."""
        return self._stopping.is_set()

    def _hear(self, mailbox: Any) -> None:  # noqa: ANN401 - Ray's handles have no types
        try:
            _ask(mailbox.stopping.remote())
        finally:  # without a driver nobody waits for the trials
            self._stopping.set()

    @contextmanager
    def working_for(self, desk: Desk, handle: Handle) -> Iterator[_Talk]:
        """Send what happens meanwhile to the driver."""
        self.desk, self._talk = desk, _Talk(desk.mailbox, handle)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: self._say("warning", text=str(message))
            try:
                yield self._talk
            finally:
                self._talk.flush(wait=True)
                self._talk = None

    def _notify(self, what: str, fraction: float) -> None:
        self._say("prepares", what=what, fraction=fraction)

    def _saved(self, directory: RecordDirectory) -> None:
        if self.saved:
            self.saved(directory)

    def _say(self, event: str, **content: Any) -> None:  # noqa: ANN401 - JSON
        if self._talk:
            self._talk(event, **content)


_processes: dict[str, _Process] = {}


def _process(desk: Desk) -> _Process:
    """Return what this process keeps for a run."""
    if desk.folder.token not in _processes:
        _processes.clear()
        _processes[desk.folder.token] = _Process(desk.mailbox)
    return _processes[desk.folder.token]


class _Talk:
    """Sends events to a mailbox, news of progress together.

    Attributes:
        claims: What came of claims, as JSON, by trial id.
    """

    def __init__(self, mailbox: Any, handle: Handle) -> None:  # noqa: ANN401 - Ray's handles have no types
        self.claims: dict[str, dict[str, Any]] = {}
        self._mailbox, self._handle = mailbox, handle
        self._kept: list[dict[str, Any]] = []
        self._sent = 0.0

    def __call__(self, event: str, **content: Any) -> None:  # noqa: ANN401 - JSON
        """Send an event."""
        if event == "claimed":
            self.claims[content["trial"]] = content["claim"]
        if event == "progress":
            self._kept = [e for e in self._kept if (e["event"], e.get("trial")) != (event, content["trial"])]
        self._kept.append({"event": event, **content})
        if event != "progress" or time.monotonic() - self._sent > FLUSH_SECONDS:
            self.flush()

    def flush(self, *, wait: bool = False) -> None:
        """Send what is kept, and wait until it is there if the task's end must not overtake it."""
        kept, self._kept, self._sent = self._kept, [], time.monotonic()
        with contextlib.suppress(Exception):  # without a driver nobody hears
            sent = self._mailbox.put.remote(self._handle, kept)
            if wait:
                _ask(sent)


def _ask(answer: Any) -> Any:  # noqa: ANN401 - whatever an actor returns
    import ray

    return ray.get(answer)


def claims_of(answer: Mapping[str, Mapping[str, Any]]) -> dict[str, Claim]:
    """Return what came of claims, as a task returned it."""
    return {trial_id: claim_from_json(claim) for trial_id, claim in answer.items()}
