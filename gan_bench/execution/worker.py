"""Trials in a process of their own: ``python -m gan_bench.execution.worker``.

The first line of standard input is the order, as JSON. Events go out as lines of JSON on standard output. When
standard input closes, which it does when the parent ends in whatever way, the trials checkpoint and stop.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.execution.events import Progress
from gan_bench.records.record import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is told.

    Attributes:
        trials: What to run; several train together.
        results: The results folder.
        data: The data folder.
        given: Whether the user named it, so that it is only read.
        device: Where to run.
        engine: How to execute the update.
        threads: CPU threads of one operation, or None for torch's own choice.
        folders: The user's own folders of images, as ``ImageFolder`` takes them.
        policy: As ``Policy`` takes it.
    """

    trials: tuple[Trial, ...]
    results: Path
    data: Path
    given: bool
    device: str
    engine: str
    threads: int | None
    folders: tuple[Mapping[str, Any], ...]
    policy: Mapping[str, Any]

    def to_line(self) -> str:
        """Return the order as one line of JSON."""
        trials = [
            {"setting": trial.setting, "config": trial.config.to_json(), "provenance": dict(trial.provenance)}
            for trial in self.trials
        ]
        plain = {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "trials": trials}
        return json.dumps(plain, default=str) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Order:
        """Take back what ``to_line`` gave."""
        plain = json.loads(line)
        trials = tuple(
            Trial(config=TrialConfig.from_json(trial.pop("config")), **trial) for trial in plain.pop("trials")
        )
        plain |= {"results": Path(plain["results"]), "data": Path(plain["data"]), "folders": tuple(plain["folders"])}
        return cls(trials=trials, **plain)


class _Teller:
    """A listener that writes events as lines of JSON."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell

    def started(self, trial: Trial, resumed_at: int | None) -> None:
        self._tell("started", trial=trial.id, resumed_at=resumed_at)

    def progress(self, trial: Trial, progress: Progress) -> None:
        self._tell("progress", trial=trial.id, **asdict(progress))

    def scored(self, trial: Trial, epoch: int, scores: Mapping[str, float | None]) -> None:
        self._tell("scored", trial=trial.id, epoch=epoch, scores=dict(scores))

    def finished(self, trial: Trial, record: TrialRecord) -> None:
        """Say nothing: the record is told once the lock is given back."""


def _carry_out(order: Order, tell: Callable[..., None], stop: Callable[[], bool]) -> None:
    import torch

    from gan_bench.config.image_folder import ImageFolder
    from gan_bench.data.datasets import DataRoot, register_folder
    from gan_bench.execution.claim import Policy, attempt
    from gan_bench.execution.context import RunContext
    from gan_bench.execution.environment import choose_device, fix_bits
    from gan_bench.execution.scheduler import drive
    from gan_bench.execution.trial_run import Run

    if order.threads:
        torch.set_num_threads(order.threads)
    for folder in order.folders:
        register_folder(ImageFolder.from_json(folder))
    device = choose_device(order.device)
    fix_bits(device)
    context, policy = RunContext(DataRoot(order.data, order.given), device, stop, order.engine), Policy(**order.policy)

    def told(trial: Trial) -> Run[None]:
        outcome = yield from attempt(trial, order.results, context, _Teller(tell), policy)
        if outcome is None:
            tell("settled", trial=trial.id)
        elif isinstance(outcome, TrialRecord):
            tell("finished", trial=trial.id, record=outcome.to_json())
        else:
            tell("held", trial=trial.id, owner=asdict(outcome))

    warnings.showwarning = lambda message, *_: tell("warning", text=str(message))
    drive(told(trial) for trial in order.trials)


def main() -> None:
    """Carry out the order on standard input."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not look like an event
    asked = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    order = Order.from_line(sys.stdin.readline())

    def watch() -> None:
        sys.stdin.read()
        asked.set()

    def tell(event: str, **content: Any) -> None:  # noqa: ANN401 - JSON
        try:
            out.write(json.dumps({"event": event, **content}) + "\n")
            out.flush()
        except OSError:  # the parent is gone, which may be felt here before its end of the other pipe is
            asked.set()

    threading.Thread(target=watch, daemon=True).start()
    _carry_out(order, tell, asked.is_set)
    os._exit(0)  # the watching thread sits in a read


if __name__ == "__main__":
    main()
