"""Locks: one owner for a trial, across processes that share a folder.

The lock itself is the kernel's, through ``filelock``: the death of its owner, however it comes, releases it at once,
and no process takes it from an owner that it does not know to be gone. A small file beside it names the owner, for
messages alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from gan_bench.core.atomic import open_own
from gan_bench.core.errors import FULL, DiskFullError, RecordError, UnreadableError, UserError, brief
from gan_bench.core.preparing import report_progress
from gan_bench.records.json_files import is_link, is_regular, read_file, unreadable
from gan_bench.records.layout import LOCKS, RecordDirectory

PATIENCE_SECONDS = 0.1
"""Seconds to wait for a lock: a process that only looks at it holds it for an instant."""
TOLD_AFTER_SECONDS = 3.0
"""Seconds of waiting for a lock after which its owner is named."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
        host: Name of the machine.
        pid: Process; 0 when it is not known.
    """

    host: str
    pid: int

    def __str__(self) -> str:
        """Return ``host:pid``."""
        return f"{self.host}:{self.pid}" if self.pid else "another process"

    @classmethod
    def me(cls) -> Owner:
        """Return this process as an owner."""
        return cls(socket.gethostname(), os.getpid())


def _kernel_lock(path: Path) -> BaseFileLock:
    """Make a lock held by the kernel; filelock may fall back to one that outlives its owner."""
    try:
        return FileLock(path, thread_local=False, fallback_to_soft=False)
    except TypeError:  # older versions of filelock have neither the argument nor the fallback
        return FileLock(path, thread_local=False)


def lock_fault(file: Path) -> str | None:
    """Return why a new file cannot be written and locked in a folder, or None; the file is removed again."""
    lock = _kernel_lock(file)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
        lock.release()
        file.unlink(missing_ok=True)
    except (OSError, NotImplementedError) as error:  # Timeout is one: no other process knows the file
        return str(getattr(error, "strerror", None) or brief(error))
    return None


_REMEDY = "make it writable, copy the results to where you may write and name the copy, or choose other results"


class Lock:
    """A lock by name in a folder.

    Args:
        folder: Where locks lie; made when missing.
        name: What is locked.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.file = folder, folder / f"{name}.lock"
        self._owner_file = folder / f"{name}.owner"
        self._lock = _kernel_lock(self.file)

    def acquire(self, patience: float = PATIENCE_SECONDS) -> Owner | None:
        """Try to take the lock.

        Args:
            patience: Seconds to wait for another owner; negative waits for as long as it takes.

        Returns:
            None on success, else who holds it.

        Raises:
            UnreadableError: The lock is there and belongs to another user, or is a link or no file.
            DiskFullError: There is no space for one more file.
            UserError: The folder cannot be written, or its file system has no locks.
        """
        if is_link(self.folder):
            raise UserError(f"{self.folder} is a link, and locks are written beside the records alone; remove it")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=patience, poll_interval=0.01)
        except Timeout:
            return self._read_owner()
        except (OSError, NotImplementedError) as error:
            if isinstance(error, PermissionError):
                if os.path.exists(self.file):  # noqa: PTH110 - Path.exists raises where the folder is closed
                    raise unreadable(self.file, error, "locked") from None
            elif os.path.lexists(self.file) and not is_regular(self.file):
                raise UnreadableError(f"{self.file} is no file, so that nothing can be locked; remove it") from None
            if isinstance(error, OSError) and error.errno in FULL:
                raise DiskFullError(f"no space left at {self.folder} (bytes or files); free some") from None
            why = getattr(error, "strerror", None) or error
            raise UserError(f"{self.folder} cannot hold locks ({why}); {_REMEDY}") from None
        with contextlib.suppress(OSError), open_own(self._owner_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
            file.write(json.dumps(asdict(Owner.me())).encode())  # the owner's name is only informative
        return None

    def wait(self) -> None:
        """Take the lock, waiting as long as needed; its owner is printed after a while.

        Raises:
            UserError: As ``acquire`` says.
        """
        while owner := self.acquire(TOLD_AFTER_SECONDS):
            report_progress(f"waiting for {owner}, which holds {self.file}", 0.0)

    def holder(self) -> Owner | None:
        """Return the present owner, or None; a read-only folder has none."""
        try:
            if not self.file.exists():
                return None
            probe = _kernel_lock(self.file)
            probe.acquire(timeout=0)
        except Timeout:
            return self._read_owner()
        except (OSError, NotImplementedError):
            return None
        probe.release()
        return None

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def __enter__(self) -> Lock:
        """Return the lock; ``acquire`` says whether it is held."""
        return self

    def __exit__(self, *error: object) -> None:
        """Give the lock back."""
        self.release()

    def _read_owner(self) -> Owner:
        try:
            return Owner(**json.loads(read_file(self._owner_file)))
        except (OSError, RecordError, ValueError, TypeError):
            return Owner("unknown", 0)


def trial_lock(directory: RecordDirectory) -> Lock:
    """Return the lock that makes one process a trial's owner; it lies beside the records."""
    return Lock(directory.path.parent / LOCKS, directory.path.name.rpartition("--")[2])


def break_lock(directory: RecordDirectory) -> None:
    """Remove a trial's lock whose owner is known to be lost with its machine.

    Some network file systems keep the locks of a lost machine for minutes, or until they are restarted. The next
    lock is of a new file.
    """
    with contextlib.suppress(OSError):
        trial_lock(directory).file.unlink(missing_ok=True)
