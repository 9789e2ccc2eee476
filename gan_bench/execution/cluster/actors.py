"""Two actors on the driver's node: a mailbox for what tasks say, a depot for records of nodes that share no folder."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_bench.config.trial import Trial
from gan_bench.execution.claim import Policy, make_way
from gan_bench.execution.cluster.transport import Handle
from gan_bench.execution.survey import Survey
from gan_bench.records import archive
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import Lock, Owner, trial_lock

Said = Mapping[str, Any]
"""One event, as ``JsonListener`` sends it."""


class Mailbox:
    """Keeps what tasks say until the driver takes it, and tells them when to stop. Its methods run in one thread."""

    def __init__(self) -> None:
        self._said: list[tuple[Handle, Said]] = []
        self._begun: set[Handle] = set()
        self._stopping = asyncio.Event()

    async def check_in(self, handle: Handle) -> bool:
        """Note that a task begins.

        Returns:
            Whether it may.
        """
        self._begun.add(handle)
        return not self._stopping.is_set()

    async def put(self, handle: Handle, said: list[Said]) -> None:
        """Take what a task says."""
        self._said += [(handle, event) for event in said]

    async def take(self) -> list[tuple[Handle, Said]]:
        """Hand out what was said since the last call."""
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


@dataclass(frozen=True)
class Offer:
    """What a depot answers to a task that is to run a trial.

    Attributes:
        owner: The process that owns the trial, or None.
        token: Names this run of the trial; without one it is not to run, because it has an owner or is finished.
        record: What an earlier run left, packed; empty when there is nothing.
    """

    owner: Owner | None = None
    token: str | None = None
    record: bytes = b""


class Depot:
    """Owns the trials that run on nodes without the results folder, and keeps their records and checkpoints in it.

    Args:
        results: The results folder.
    """

    def __init__(self, results: str) -> None:
        self._results = Path(results)
        self._held: dict[str, tuple[Lock, str, RecordDirectory]] = {}

    def offer(self, trial: Mapping[str, Any], identity: Mapping[str, Any], policy: Mapping[str, Any]) -> Offer:
        """Claim a trial for a task, and hand out what is there of it.

        Args:
            trial: The trial, as JSON.
            identity: What it is made of on the task's node.
            policy: What becomes of trials that ended before, as JSON.
        """
        wanted = Trial.from_json(dict(trial))
        directory = RecordDirectory.of(self._results, wanted)
        if wanted.id in self._held:
            return Offer(owner=Owner.me())
        lock = trial_lock(directory)
        if owner := lock.acquire():
            return Offer(owner=owner)
        here = Survey({wanted.config.id: identity})
        if not make_way(self._results, wanted, here, Policy(**policy), lambda: False):
            lock.release()
            return Offer()
        token = secrets.token_hex(8)
        self._held[wanted.id] = lock, token, directory
        return Offer(token=token, record=archive.pack(directory) if directory.path.exists() else b"")

    def deliver(self, trial_id: str, token: str, record: bytes) -> None:
        """Bring the record of a trial up to what its task has of it.

        Raises:
            LookupError: The trial was given to another task meanwhile.
            OSError: The record cannot be written.
        """
        held = self._held.get(trial_id)
        if held is None or held[1] != token:
            raise LookupError(f"trial {trial_id} runs elsewhere now")
        archive.unpack(held[2], record)

    def release(self, trial_id: str, token: str | None = None) -> None:
        """Give up a trial, if it is held, by the run of this name where one is given."""
        held = self._held.get(trial_id)
        if held and token in (None, held[1]):
            held[0].release()
            del self._held[trial_id]
