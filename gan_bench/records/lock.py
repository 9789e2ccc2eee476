"""One owner for a trial, across processes and hosts that share a folder.

A lock is a file ``<name>.<generation>`` that says who holds it; its modification time is the owner's heartbeat. It is
made by an exclusive hard link, so it appears whole and to one process alone. An owner that is known to be dead is
passed by making the next generation, never by removing its file first: of several processes that find the same owner
dead, one makes the next generation.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from gan_bench.core.atomic import ASIDE, new_file_beside, remove_leftovers

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 120.0
"""An owner on another machine whose heartbeat is older than this is dead; on this machine its process is asked for."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
        host: Name of the machine, for people.
        machine: What tells machines apart, boots and process namespaces included.
        pid: Process.
        started: When that process started, as the system counts it; a process number alone is used again.
        token: Tells two holdings of the same process apart.
    """

    host: str
    machine: str
    pid: int
    started: str | None
    token: str

    def __str__(self) -> str:
        """Return ``host:pid``."""
        return f"{self.host}:{self.pid}"

    @classmethod
    def me(cls) -> Owner:
        """Return this process as an owner."""
        pid = os.getpid()
        return cls(socket.gethostname(), _machine(), pid, _process_start(pid), secrets.token_hex(8))


def _machine() -> str:
    """Name the machine so that a process number means something: host, boot and process namespace."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


def _process_start(pid: int) -> str | None:
    """Return when a process started, in a form that a changed clock does not move; None when there is no such process.

    Linux counts it in ticks since boot. Elsewhere ``ps`` is asked.
    """
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    try:
        done = subprocess.run(  # noqa: S603
            ["ps", "-o", "lstart=", "-p", str(pid)],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


_UNKNOWN = Owner("unknown", "unknown", 0, None, "")
"""Stands for the owner of a lock file that is half written; its heartbeat counts."""
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def _make_alone(target: Path, owner: Owner) -> bool:
    """Make a lock file where the file system knows no hard links; half written, its heartbeat speaks for it."""
    try:
        with target.open("x") as file:
            json.dump(asdict(owner), file)
    except FileExistsError:
        return False
    return True


class Lock:
    """A lock by name in a folder.

    Args:
        folder: Where locks lie; made when missing.
        name: What is locked; no dots at its end.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.lost = False
        self._mine: Path | None = None
        self._owner: Owner | None = None
        self._over = threading.Event()

    def holder(self) -> Owner | None:
        """Return the living owner, or None."""
        for path, owner in self._generations():
            if self._alive(path, owner):
                return owner
        return None

    def acquire(self) -> Owner | None:
        """Try to become the owner; from then on a thread keeps the heartbeat.

        Returns:
            None on success, else who holds it.

        Raises:
            OSError: The folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        me = Owner.me()
        for _ in range(100):
            found = self._generations()
            living = [owner for path, owner in found if self._alive(path, owner)]
            if living:
                return living[0]
            generation = max((self._generation(path) for path, _ in found), default=0) + 1
            mine = self._path(generation)
            if not self._link(mine, me):
                continue
            others = [owner for path, owner in self._generations() if path != mine and (path, owner) not in found]
            if others:  # somebody came in between our look and our link; both step back
                mine.unlink(missing_ok=True)
                threading.Event().wait(secrets.randbelow(50) / 1000)
                continue
            for path, _ in found:
                path.unlink(missing_ok=True)
            self._mine, self._owner, self.lost = mine, me, False
            self._over.clear()
            threading.Thread(target=self._beat, daemon=True).start()
            return None
        return me

    def release(self) -> None:
        """Give the lock back."""
        self._over.set()
        if self._mine is not None and not self.lost:
            self._mine.unlink(missing_ok=True)
        self._mine = None

    def __enter__(self) -> Lock:
        """Return the lock; ``acquire`` says whether it is held."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the lock back."""
        self.release()

    def _beat(self) -> None:
        mine, over = self._mine, self._over
        while mine is not None and not over.wait(HEARTBEAT_SECONDS):
            try:
                os.utime(mine)
            except FileNotFoundError:  # somebody judged us dead, after this machine slept for example
                self.lost = self._mine == mine
                return
            except OSError:
                continue

    def _link(self, target: Path, owner: Owner) -> bool:
        """Make the lock file appear whole, to one process alone."""
        remove_leftovers(self.folder)
        handle, aside = new_file_beside(self.folder / self.name)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(asdict(owner), file)
            target.hardlink_to(aside)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _make_alone(target, owner)
        finally:
            aside.unlink(missing_ok=True)
        return True

    def _path(self, generation: int) -> Path:
        return self.folder / f"{self.name}.{generation}"

    def _generation(self, path: Path) -> int:
        return int(path.name.rpartition(".")[2])

    def _generations(self) -> list[tuple[Path, Owner]]:
        """Return the lock files that are there, with their owners."""
        found = []
        for path in sorted(self.folder.glob(f"{self.name}.*")) if self.folder.is_dir() else []:
            if not path.name[len(self.name) + 1 :].isdigit():
                continue
            try:
                found.append((path, Owner(**json.loads(path.read_text()))))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError):
                found.append((path, _UNKNOWN))
        return found

    def _alive(self, path: Path, owner: Owner) -> bool:
        if owner.machine == _machine():
            return owner.started is not None and _process_start(owner.pid) == owner.started
        return self._age(path) < STALE_SECONDS

    def _age(self, path: Path) -> float:
        """Return the age of a heartbeat by the folder's own clock: the clocks of two machines differ."""
        try:
            with tempfile.NamedTemporaryFile(prefix=".now.", suffix=ASIDE, dir=self.folder) as now:
                return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return float("inf")
        except OSError:  # a folder that is only read
            return time.time() - path.stat().st_mtime
