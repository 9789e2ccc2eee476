"""What tasks say to their driver: the mailbox on its node, and the senders that write to it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gan_bench.execution.cluster.node import SharedFolder, ask
from gan_bench.execution.cluster.transport import Handle
from gan_bench.records.record import Status

FLUSH_SECONDS = 0.5
"""Seconds for which news of a trial's progress is held back, to be sent together."""

Said = Mapping[str, object]
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


class EventSender:
    """Sends events to a mailbox, news of progress together.

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
        """Send what is kept, and wait until it is there if the task's end must not overtake it."""
        kept, self._kept, self._sent = self._kept, [], time.monotonic()
        with contextlib.suppress(Exception):  # there may be no driver any more
            sent = self._mailbox.put.remote(self._handle, kept)
            if wait:
                ask(sent)


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
