"""What comes back from workers: events for the listener, and what came of every claim."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from gan_bench.config.trial import Trial
from gan_bench.execution.claim import Claim
from gan_bench.execution.events import Listener, Progress
from gan_bench.execution.job import claim_from_json
from gan_bench.records.record import TrialRecord


class EventInbox:
    """Takes what the workers say that trials were sent to.

    Args:
        trials: What was sent.
        listener: Receives the trials' progress events.
        listening: Held while the listener learns anything.

    Attributes:
        claims: What came of the claims that are known so far, by trial id.
        started: Ids of trials that a worker began, whatever came of them.
    """

    def __init__(self, trials: Iterable[Trial], listener: Listener, listening: threading.Lock) -> None:
        self.claims: dict[str, Claim] = {}
        self.started: set[str] = set()
        self._listener, self._listening = listener, listening
        self._trials = {trial.id: trial for trial in trials}

    def take(self, said: Mapping[str, Any]) -> None:
        """Take in one event, as ``JsonListener`` and ``run_job`` send them."""
        content = dict(said)
        event = content.pop("event")
        if event == "warning":
            warnings.warn(content["text"], RuntimeWarning, stacklevel=2)
            return
        if event == "prepares":  # images and statistics, once per process
            return
        trial = self._trials[content.pop("trial")]
        if event == "claimed":
            self.note(trial, claim_from_json(content["claim"]))
            return
        self.started.add(trial.id)
        with self._listening:
            match event:
                case "started":
                    self._listener.started(trial, content["resumed_at"])
                case "progress":
                    self._listener.progress(trial, Progress(**content))
                case "scored":
                    self._listener.scored(trial, content["epoch"], content["scores"])

    def note(self, trial: Trial, claim: Claim) -> None:
        """Take in what came of a claim."""
        self.claims[trial.id] = claim
        if isinstance(claim, TrialRecord):
            with self._listening:
                self._listener.finished(trial, claim)
