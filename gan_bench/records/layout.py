"""The names and paths of a record's files."""

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
SAVED = (TRIAL, ENVIRONMENT, HISTORY, EVALUATIONS, WEIGHTS, AVERAGE_WEIGHTS)
"""Files whose digests are in ``record.json``, besides samples and kept weights."""
PLAN, BASELINES, LOCKS, SUITE = "plan.json", "anchors.json", ".locks", "suite.yaml"
LEFT_OUT = "left-out.json"
"""File that lists what a published copy of a suite's records omits."""
AUDIT = "audit.json"
"""File of audit findings about a suite's records."""

IDENTITY = ".gan_bench-results"
"""File with the permanent identity of a results folder, which distinguishes it on a shared server."""

PLACE = ".gan_bench-place"
"""File with the last path of the results folder with this identity, by which copies are recognised."""

CHECKPOINT_FORMAT = 2
CHECKPOINT_KIND = b"gan_bench checkpoint "
"""First bytes of checkpoint files of every version of gan_bench; the format number follows."""
CHECKPOINT_MAGIC = CHECKPOINT_KIND + b"%d\n" % CHECKPOINT_FORMAT
"""First line of a checkpoint file; its checksum and its content follow."""

TRIALS = "*--????????"
"""Pattern of the names of record directories in a suite's folder."""

DAMAGED, SUPERSEDED = ".damaged", ".superseded"
"""Folders of a suite that keep replaced records: damaged ones, and those of other data or networks."""
WHY = "why.txt"
"""File in these with the reason for every record, one per line."""

_GRID = re.compile(r"epoch-(\d+)\.png")
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,=+-]{0,199}")


def is_safe_name(name: str) -> bool:
    """True if a name may be that of a suite or a trial: a safe folder name that is not reserved."""
    return bool(_SAFE_NAME.fullmatch(name)) and name.lower() not in RESERVED_NAMES and not name.endswith(".")


def check_name(name: str, what: str) -> str:
    """Refuse names that could leave the results folder or clash with what lies in it.

    Raises:
        UserError: The name is unsafe.
    """
    if not is_safe_name(name):
        raise UserError(
            f"{what} name {name!r} cannot be a folder; use letters, digits, '.', '_', '-' and not a reserved name"
        )
    return name


class _Inside:
    """Descriptor for the path of a fixed name in a record directory."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, directory: RecordDirectory, _: type) -> Path:
        return directory.path / self._name


@dataclass(frozen=True)
class RecordDirectory:
    """The paths of one trial's record.

    Attributes:
        path: The directory, ``RESULTS/<suite>/<trial name>--<id>``.
    """

    path: Path
    trial = _Inside(TRIAL)
    """What the trial is."""
    environment = _Inside(ENVIRONMENT)
    """What it ran on."""
    record = _Inside(RECORD)
    """How it ended."""
    history = _Inside(HISTORY)
    """Losses and D outputs, line by line."""
    evaluations = _Inside(EVALUATIONS)
    """Scores, a line per evaluation."""
    samples = _Inside(SAMPLES)
    """Folder of the sample grids."""
    checkpoint = _Inside(CHECKPOINT)
    """Where the last checkpoint lies."""
    previous_checkpoint = _Inside(f"{CHECKPOINT}.previous")
    """Where the checkpoint before the last lies."""
    weights = _Inside(WEIGHTS)
    """The finished generator."""
    average_weights = _Inside(AVERAGE_WEIGHTS)
    """The moving average of the generator, where the trial keeps one."""
    added = _Inside(ADDED)
    """Scores that were added after the trial had ended."""
    kept = _Inside(KEPT)
    """Folder of the weights of G at evaluated epochs, where a suite keeps them."""

    @classmethod
    def of(cls, results: Path, trial: Trial) -> RecordDirectory:
        """Return the record directory of a trial under a results folder.

        Raises:
            UserError: A name of the trial cannot be a folder.
        """
        suite = check_name(trial.config.suite, "suite")
        return cls(results / suite / check_name(trial.directory, "trial"))

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint, usable or not."""
        return self.checkpoint.exists() or self.previous_checkpoint.exists()

    def kept_weights(self, epoch: int, *, average: bool = False) -> Path:
        """Where the weights of G, or of its moving average, at an evaluated epoch lie."""
        return self.kept / f"epoch-{epoch:04d}{'-ema' if average else ''}.safetensors"

    def sample(self, epoch: int) -> Path:
        """Where the sample grid of an epoch lies."""
        return self.samples / f"epoch-{epoch:04d}.png"

    @property
    def grids(self) -> dict[int, Path]:
        """The sample grids that are there, by epoch, the first one first."""
        found = ((_GRID.fullmatch(path.name), path) for path in self.samples.glob("epoch-*.png"))
        return dict(sorted((int(name[1]), path) for name, path in found if name))
