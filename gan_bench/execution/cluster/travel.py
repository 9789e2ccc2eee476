"""Trials on a node without the results folder: their records come from the driver's machine, and go there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gan_bench.config.trial import Trial
from gan_bench.core.atomic import STALE_SECONDS
from gan_bench.core.errors import brief
from gan_bench.execution.cluster.actors import Offer
from gan_bench.execution.cluster.node import ask
from gan_bench.execution.context import RunContext
from gan_bench.execution.job import Job
from gan_bench.records import archive
from gan_bench.records.layout import RecordDirectory

SCRATCH = "gan-bench-"
"""Start of the names of the folders in which such trials run."""
POLL_SECONDS = 1.0


class Travel:
    """A folder of this machine in which a job runs, and what it exchanges with the driver's.

    Args:
        depot: Handle of the ``Depot``.
        job: The job.

    Attributes:
        folder: Stands in the place of the results folder.
    """

    def __init__(self, depot: Any, job: Job) -> None:  # noqa: ANN401 - Ray's handles have no types
        _remove_stale()
        self.folder = Path(tempfile.mkdtemp(prefix=SCRATCH))
        self._depot, self._job = depot, job
        self._places = {trial.id: RecordDirectory.of(self.folder, trial) for trial in job.trials}
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Travel:
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give trials back, and remove the folder."""
        for trial_id, token in self._tokens.items():
            with contextlib.suppress(Exception):  # a driver that is gone holds nothing
                ask(self._depot.release.remote(trial_id, token))
        shutil.rmtree(self.folder, ignore_errors=True)

    def fetch(self, trial: Trial, context: RunContext) -> Offer:
        """Claim a trial, and bring here what an earlier run left of it.

        Returns:
            What the depot answers; without a token the trial is not to run here.
        """
        identity, policy = context.identity(trial.config), asdict(self._job.policy)
        until = time.monotonic() + self._job.patience
        while True:
            offer: Offer = ask(self._depot.offer.remote(trial.to_json(), identity, policy))
            if offer.owner is None or time.monotonic() >= until or context.stop():
                break
            time.sleep(POLL_SECONDS)
        if offer.token:
            self._tokens[trial.id] = offer.token
            if offer.record:
                archive.unpack(self._places[trial.id], offer.record)
        return offer

    def deliver(self, trial_id: str) -> None:
        """Bring the record in the results folder up to what is here; of a trial that was not claimed, do nothing."""
        if trial_id in self._tokens:
            record = archive.pack(self._places[trial_id])
            ask(self._depot.deliver.remote(trial_id, self._tokens[trial_id], record))

    def save(self, directory: RecordDirectory, say: Callable[..., None]) -> None:
        """Send a checkpoint; one that does not arrive is said, and the next one may."""
        try:
            self.deliver(next(name for name, place in self._places.items() if place == directory))
        except Exception as error:
            say("warning", text=f"a checkpoint did not reach the results folder ({brief(error)})")


def _remove_stale() -> None:
    """Remove what killed processes of other days left on this machine."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
