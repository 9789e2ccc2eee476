"""The state that an earlier run left: how a trial ended, whether it is intact, and whether it can be resumed."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from gan_bench.core.errors import DamagedError, RecordError, UnreadableError
from gan_bench.core.program_code import is_other_code
from gan_bench.core.text import plural, printable
from gan_bench.records import schema
from gan_bench.records.folders import excused, read_left_out, read_or_error
from gan_bench.records.json_files import (
    other_version,
    parse_lines,
    read_if_there,
    read_optional,
    read_start,
    unreadable,
)
from gan_bench.records.layout import CHECKPOINT_FORMAT, CHECKPOINT_KIND, RecordDirectory
from gan_bench.records.reader import STEP_LINE, refuse_links
from gan_bench.records.record import Failure, Status, TrialRecord
from gan_bench.records.writer import digests


class Identity(TypedDict):
    """Digests of a trial's data, networks and parts, and its device.

    Attributes:
        data_sha256: Digest of the prepared training images; None where no trial is described.
        held_out_sha256: Digest of the prepared held-out images, or None where there are none.
        networks_sha256: Digest of the layers of both networks, or None where no trial is described.
        d_output: What D's outputs are: ``logit`` or ``score``.
        torch: Version of PyTorch.
        device: Where it is trained: ``cpu`` or ``cuda:N``.
        parts: Sources of the parts that gan_bench does not ship, by ``KINDS/NAME``.
        in_program: What these were, had the running program registered them itself.
    """

    data_sha256: str | None
    held_out_sha256: str | None
    networks_sha256: str | None
    d_output: str
    torch: str
    device: str
    parts: dict[str, schema.Part]
    in_program: dict[str, schema.Part]


def refuse_other_format(checkpoint: Path) -> None:
    """Refuse a checkpoint that another version of gan_bench wrote.

    Raises:
        UnreadableError: It has the first line of one, with another number.
    """
    kind, _, number = read_start(checkpoint, 64).partition(b"\n")[0].rpartition(b" ")
    if kind == CHECKPOINT_KIND.rstrip() and number.isdigit() and int(number) != CHECKPOINT_FORMAT:
        raise other_version(checkpoint, "checkpoint format", int(number), CHECKPOINT_FORMAT)


@dataclass(frozen=True)
class Earlier:
    """The record that an earlier run left of a trial; its end and environment are read once, lazily.

    Attributes:
        directory: The trial's record.
    """

    directory: RecordDirectory

    @cached_property
    def record(self) -> TrialRecord | None:
        """Return how the trial ended, or None when it has not or its end is damaged.

        Raises:
            UnreadableError: The system does not let this process read it, or another version of gan_bench wrote it:
                neither is damage.
        """
        found = read_optional(self.directory.record, schema.RECORD, DamagedError)
        return TrialRecord.from_json(found) if found else None

    @property
    def status(self) -> Status | None:
        """Return the status a trial ended with, or None when it has not."""
        return self.record.status if self.record else None

    @cached_property
    def environment(self) -> schema.EnvironmentFile:
        """Return ``environment.json`` of an earlier run, empty when there is none or it is damaged.

        Raises:
            UnreadableError: The system does not let this process read it.
        """
        return read_optional(self.directory.environment, schema.ENVIRONMENT, DamagedError) or schema.NO_ENVIRONMENT

    def require_access(self) -> None:
        """Check that this process may read an earlier record and continue it in place.

        Raises:
            UnreadableError: It may not; what is there belongs to another user, and stays.
        """
        try:
            for folder in (self.directory.path, self.directory.samples):
                if not folder.is_dir():
                    continue
                with os.scandir(folder) as entries:
                    files = [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
                wanted = [(Path(file), os.R_OK, "read") for file in files]
                for path, how, done in (*wanted, (folder, os.W_OK | os.X_OK, "written")):
                    if not os.access(path, how, effective_ids=os.access in os.supports_effective_ids):
                        raise unreadable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)), done)
        except OSError as error:
            raise unreadable(self.directory.path, error) from None

    def require_known_checkpoints(self) -> None:
        """Refuse checkpoints of another version of gan_bench, which can continue them.

        Raises:
            UnreadableError: One is; it is no damage, and stays.
        """
        for file in (self.directory.checkpoint, self.directory.previous_checkpoint):
            refuse_other_format(file)

    def content_fault(self) -> str | None:
        """Return why the content of an unfinished trial cannot be resumed, or None.

        Raises:
            UnreadableError: The system does not let this process read it, or another version of gan_bench wrote it.
        """
        try:
            refuse_links(self.directory.path)
            trial = read_optional(self.directory.trial, schema.TRIAL, DamagedError)  # a damaged one is written again
            if trial and (foreign := self._foreign(trial)):
                return foreign
            known = read_optional(self.directory.environment, schema.ENVIRONMENT)
            if known is None and self.directory.has_checkpoint:  # without it, the origin of the checkpoint is unknown
                return f"{self.directory.environment} is gone"
        except DamagedError as error:
            return str(error)
        is_end_damaged = self.directory.record.exists() and self.status is None
        return self.damage() if is_end_damaged else None

    def _foreign(self, trial: Mapping[str, object]) -> str | None:
        """Return why the directory holds the record of another trial, as after a copy, or None."""
        if self.directory.path.name.endswith(f"--{trial['id']}"):
            return None
        return f"{self.directory.path} holds the record of another trial, {printable(str(trial['name']))}"

    def damage(self) -> str | None:
        """Return the damage of a finished trial's files, or None if they are intact.

        Files that a publication left out are not missed.

        Raises:
            RecordError: The list of these is damaged, so that it is not known what is missing.
            UnreadableError: The system does not let this process read a file.
        """
        stored = read_or_error(self.directory.path, steps=True)
        if isinstance(stored, UnreadableError):
            raise stored
        if isinstance(stored, RecordError):
            return str(stored)
        if foreign := self._foreign(stored.trial):
            return foreign
        if stored.fault:
            return str(stored.fault)
        found = digests(self.directory)
        left_out = excused(read_left_out(self.directory.path.parent), stored)
        for name, digest in (stored.record or schema.NO_RECORD).get("files", {}).items():
            if found.get(name) != digest and not (name in left_out and name not in found):
                return f"{self.directory.path / name} {'is not what was written' if name in found else 'is gone'}"
        return None

    def epochs_trained(self) -> int:
        """Count the finished epochs that the history tells of.

        Raises:
            RecordError: It is damaged.
        """
        path = self.directory.history
        return len(parse_lines(path, read_if_there(path) or b"", schema.HISTORY, STEP_LINE))

    def lost(self, epochs: int) -> str | None:
        """Return what is lost of a training without a checkpoint; None if it had only begun.

        Args:
            epochs: Epochs of the whole training.
        """
        ended = self.record
        if self.directory.weights.exists():
            is_ended = "it is recorded as {}, and its generator is that of a whole training".format
            return f"{self.directory.record.name} is gone" if ended is None else is_ended(ended.status)
        stopped = ended is not None and (ended.status is Status.INTERRUPTED or ended.failure is Failure.TIMEOUT)
        if ended is not None and stopped and ended.steps:
            return "its checkpoint is gone"
        try:
            trained = self.epochs_trained()
        except DamagedError:
            return "its history is damaged, and it has no checkpoint"
        if trained > 1 or trained == epochs:  # runs write a checkpoint after the first epoch
            return f"its history tells of {plural(trained, 'epoch')}, and it has no checkpoint"
        return None

    def changed(self, now: Identity) -> str | None:
        """Return what has changed since an earlier run of the trial, or None.

        To resume from its checkpoint would be a mixture.

        Args:
            now: What it is made of now. Versions of torch describe the same networks in different words, so networks
                are compared under the same one only.
        """
        known = self.environment
        same_torch = known.get("libraries", {}).get("torch") == now["torch"]
        reasons = []
        if known.get("data_sha256") not in (None, now["data_sha256"]):
            reasons.append("the training images")
        if same_torch and known.get("networks_sha256") not in (None, now["networks_sha256"]):
            reasons.append("the layers of the networks")
        parts, own, before = now["parts"], now["in_program"], known.get("parts", {})
        changed = [key for key in before if key in parts and is_other_code(before[key], parts[key], own[key])]
        reasons += [f"the code of {', '.join(changed)}"] if changed else []
        return f"{' and '.join(reasons)} changed" if reasons else None
