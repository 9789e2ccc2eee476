"""What ``run`` is asked for, as a value."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gan_bench.config.cuts import PlanOptions
from gan_bench.execution.cluster.share import RayOptions
from gan_bench.execution.trial.claim import Policy


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What the command line asks for.

    Attributes:
        suite: Name of a suite, or path of its file.
        results: Folder for records.
        data: Folder of the datasets, or None for the default.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        profile: ``auto`` is full on a GPU and quick on a CPU.
        plan: Caps, seeds and a filter.
        engine: Training engine.
        executor: Where trials run; ``auto`` takes worker processes where several trials can run at a time.
        workers: Worker processes; None takes one per core or GPU.
        group: How many trials train together; None lets a measurement on a GPU decide.
        policy: What becomes of trials that ended before or end badly.
        tracking_uri: MLflow; empty for the SQLite default, None for no tracking.
        experiment_prefix: Put before the suite's name in the name of the experiment.
        fresh: Ignore earlier records.
        dry_run: Stop after the plan.
        ray: What is asked of a cluster, for the executor of that name.
        join: Whether other processes share the suite: what they run is theirs.
        measure: Whether a short measurement before the start says how long the run takes, and on a GPU what groups pay.
    """

    suite: str
    results: Path
    data: Path | None
    device: str
    profile: Literal["auto", "full", "quick"]
    plan: PlanOptions
    engine: str
    executor: Literal["auto", "inline", "processes", "ray"]
    workers: int | None
    group: int | None
    policy: Policy
    tracking_uri: str | None
    experiment_prefix: str
    fresh: bool
    dry_run: bool
    ray: RayOptions = field(default_factory=RayOptions)
    join: bool = False
    measure: bool = True

    def command(self) -> str:
        """Return the command that runs the same trials again; where data and MLflow lie is left out."""
        asked = self.plan
        options: dict[str, object | None] = {
            "--results": None if self.results == Path("results") else self.results,
            "--profile": None if self.profile == "auto" else self.profile,
            "--device": None if self.device == "auto" else self.device,
            "--engine": None if self.engine == "auto" else self.engine,
            "--executor": None if self.executor == "auto" else self.executor,
            "--gpus-per-trial": self.ray.gpus,
            "--cpus-per-trial": None if self.ray.cpus == 1.0 else self.ray.cpus,
            "--workers": self.workers,
            "--group": self.group,
            "--epochs": asked.epochs,
            "--train-limit": asked.train_limit,
            "--samples": asked.samples,
            "--seeds": ",".join(map(str, asked.seeds)) if asked.seeds else None,
            "--only": asked.only,
        }
        words = ["gan-bench", "run", self.suite]
        for option, value in options.items():
            words += [] if value is None else [option, str(value)]
        for name, value in asked.changes.items():
            words += [
                "--set",
                f"{name}={json.dumps(value)}" if isinstance(value, (list, tuple, bool)) else f"{name}={value}",
            ]
        words += ["--allow-plugins"] if asked.allow_plugins else []
        for name in asked.extractors or ():
            words += ["--extractor", name]
        return shlex.join(words)
