"""Where everything of a record lies, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gan_bench.config.trial import RESERVED_NAMES, Trial
from gan_bench.core.errors import UserError

TRIAL, ENVIRONMENT, RECORD = "trial.json", "environment.json", "record.json"
HISTORY, EVALUATIONS = "history.jsonl", "evaluations.jsonl"
SAMPLES, CHECKPOINT, WEIGHTS = "samples", "checkpoint.pt", "generator.safetensors"
KEPT, ADDED = "weights", "added.json"
AVERAGE_WEIGHTS = "generator-ema.safetensors"
PLAN, BASELINES, LOCKS, SUITE = "plan.json", "anchors.json", ".locks", "suite.yaml"
LEFT_OUT = "left-out.json"
"""Lists the files that a published copy of a suite's records does without."""
AUDIT = "audit.json"
"""What auditors found out about a suite's records."""

IDENTITY = ".gan_bench-results"
"""Names a results folder for good, so that others on a shared server can be told from it."""

CHECKPOINT_MAGIC = b"gan_bench checkpoint 2\n"
"""First line of a checkpoint file; its checksum and its content follow."""

TRIALS = "*--????????"
"""Pattern of the names of record directories in a suite's folder."""

DAMAGED, SUPERSEDED = ".damaged", ".superseded"
"""Folders of a suite that keep records which a run trains again: of a damaged content, of other data or networks."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,=+-]{0,199}")


def check_name(name: str, what: str) -> str:
    """Refuse names that could leave the results folder or clash with what lies in it.

    Raises:
        UserError: The name is unsafe.
    """
    if not _SAFE_NAME.fullmatch(name) or name.lower() in RESERVED_NAMES or name.endswith("."):
        raise UserError(
            f"{what} name {name!r} cannot be a folder; use letters, digits, '.', '_', '-' and not a reserved name"
        )
    return name


@dataclass(frozen=True)
class RecordDirectory:
    """The paths of one trial's record.

    Attributes:
        path: The directory, ``RESULTS/<suite>/<trial name>--<id>``.
    """

    path: Path

    @classmethod
    def of(cls, results: Path, trial: Trial) -> RecordDirectory:
        """Return the directory of a trial under a results folder.

        Raises:
            UserError: A name of the trial cannot be a folder.
        """
        suite = check_name(trial.config.suite, "suite")
        return cls(results / suite / check_name(trial.directory, "trial"))

    @property
    def trial(self) -> Path:
        """What the trial is."""
        return self.path / TRIAL

    @property
    def environment(self) -> Path:
        """What it ran on."""
        return self.path / ENVIRONMENT

    @property
    def record(self) -> Path:
        """How it ended."""
        return self.path / RECORD

    @property
    def history(self) -> Path:
        """Losses and D outputs, line by line."""
        return self.path / HISTORY

    @property
    def evaluations(self) -> Path:
        """Scores, a line per evaluation."""
        return self.path / EVALUATIONS

    @property
    def samples(self) -> Path:
        """Folder of the sample grids."""
        return self.path / SAMPLES

    @property
    def checkpoint(self) -> Path:
        """Where the last checkpoint lies."""
        return self.path / CHECKPOINT

    @property
    def previous_checkpoint(self) -> Path:
        """Where the checkpoint before the last lies."""
        return self.path / f"{CHECKPOINT}.previous"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint, usable or not."""
        return self.checkpoint.exists() or self.previous_checkpoint.exists()

    @property
    def weights(self) -> Path:
        """The finished generator."""
        return self.path / WEIGHTS

    @property
    def average_weights(self) -> Path:
        """The moving average of the generator, where the trial keeps one."""
        return self.path / AVERAGE_WEIGHTS

    @property
    def added(self) -> Path:
        """Scores that were added after the trial had ended."""
        return self.path / ADDED

    @property
    def kept(self) -> Path:
        """Folder of the weights of G at evaluated epochs, where a suite keeps them."""
        return self.path / KEPT

    def kept_weights(self, epoch: int, *, average: bool = False) -> Path:
        """Where the weights of G, or of its moving average, at an evaluated epoch lie."""
        return self.kept / f"epoch-{epoch:04d}{'-ema' if average else ''}.safetensors"

    def sample(self, epoch: int) -> Path:
        """Where the sample grid of an epoch lies."""
        return self.samples / f"epoch-{epoch:04d}.png"
