"""One owner: among threads and processes, and past owners that died."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.commands import HANG

from gan_bench.core.errors import DiskFullError, UserError
from gan_bench.core.preparing import progress_listener
from gan_bench.records.lock import Lock, Owner

HOLD = """
import sys, time
from pathlib import Path
from gan_bench.records.lock import Lock
lock = Lock(Path(sys.argv[1]), "trial")
print(lock.acquire(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "locks"


def other_process(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "None\n"
    return process


def test_one_holder_at_a_time(folder):
    first, second = Lock(folder, "trial"), Lock(folder, "trial")
    assert first.acquire() is None
    assert second.acquire() == Owner.me()
    assert second.holder() == Owner.me()
    first.release()
    assert second.holder() is None
    assert second.acquire() is None
    second.release()


def test_names_do_not_meet(folder):
    with Lock(folder, "trial") as one, Lock(folder, "trial.2") as other, Lock(folder, "tri") as third:
        assert [one.acquire(), other.acquire(), third.acquire()] == [None] * 3


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_death_releases_at_once(folder, how):
    process = other_process(folder)
    with Lock(folder, "trial") as lock:
        assert lock.acquire().pid == process.pid
        process.send_signal(how)
        process.communicate()
        assert lock.holder() is None
        assert lock.acquire() is None


def test_a_stopped_process_keeps_its_lock(folder):
    """However long it sleeps, nobody takes a trial from a living owner, so nothing is ever written by two."""
    process = other_process(folder)
    process.send_signal(signal.SIGSTOP)
    try:
        with Lock(folder, "trial") as lock:
            os.utime(folder / "trial.lock", (0, 0))
            assert lock.acquire(0.3) is not None
            os.utime(folder / "trial.lock", (2**33, 2**33))  # a clock in the future changes nothing either
            assert lock.acquire() is not None
    finally:
        process.kill()
        process.communicate()


def test_an_owner_whose_name_is_not_known_is_still_one(folder):
    with Lock(folder, "trial") as lock, Lock(folder, "trial") as other:
        lock.acquire()
        (folder / "trial.owner").write_text('{"host": "x')
        assert str(other.acquire()) == "another process"


def test_what_only_looks_never_refuses_who_asks(folder):
    """Reports and mirrors ask who holds a trial while runners take it."""
    with ThreadPoolExecutor(2) as pool:
        looks = pool.submit(lambda: [Lock(folder, "trial").holder() for _ in range(2000)])
        refused = 0
        for _ in range(200):
            with Lock(folder, "trial") as lock:
                refused += lock.acquire() is not None
        looks.result()
    assert refused == 0


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot hold locks .* choose other results"):
        Lock(tmp_path / "file", "trial").acquire()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_is_closed_is_to_be_copied(tmp_path, monkeypatch, number):
    """sync and score --add named another results folder, which has none of the records."""

    def closed(path, **_):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", closed)
    with pytest.raises(UserError, match="copy the results to where you may write and name the copy"):
        Lock(tmp_path / ".locks", "trial").acquire()


def test_of_many_that_try_at_once_one_becomes_the_owner(folder):
    for _ in range(8):
        locks = [Lock(folder, "trial") for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            won = [lock for lock, owner in zip(locks, pool.map(Lock.acquire, locks), strict=True) if owner is None]
        assert len(won) == 1
        won[0].release()


def test_many_processes_take_turns(folder):
    """Each adds one to a number in a file, unlocked but for the lock."""
    code = """
import sys
from pathlib import Path
from gan_bench.records.lock import Lock
folder, number = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(10):
    with Lock(folder, "trial") as lock:
        lock.acquire(patience=-1)
        number.write_text(str(int(number.read_text()) + 1))
"""
    number = folder.parent / "number"
    number.write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", code, str(folder), str(number)]) for _ in range(4)]
    assert [process.wait(HANG) for process in processes] == [0] * 4
    assert number.read_text() == "40"


def test_who_holds_a_lock_that_is_waited_for_is_told(folder, monkeypatch):
    monkeypatch.setattr("gan_bench.records.lock.TOLD_AFTER_SECONDS", 0.01)
    first, second, told = Lock(folder, "suite"), Lock(folder, "suite"), []
    assert first.acquire() is None

    def hear(what, _):
        if not told:
            first.release()
        told.append(what)

    with progress_listener(hear), second:
        second.wait()
        assert second.holder() == Owner.me()
    assert told[0] == f"waiting for {Owner.me()}, which holds {folder / 'suite.lock'}"


def test_no_space_for_a_lock_is_no_folder_without_locks(folder, monkeypatch):
    lock = Lock(folder, "trial")

    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock._lock, "acquire", full)
    with pytest.raises(DiskFullError, match=r"no space left at .*locks \(bytes or files\); free some"):
        lock.acquire()
