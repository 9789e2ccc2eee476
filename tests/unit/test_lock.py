"""One owner: among threads and processes, past dead owners, and across machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

from gan_bench.records import lock as module
from gan_bench.records.lock import STALE_SECONDS, Lock, Owner


def put(folder, owner, generation=1, age=0.0):
    """Leave the lock file of an owner that is not us."""
    folder.mkdir(exist_ok=True)
    path = folder / f"trial.{generation}"
    path.write_text(json.dumps(asdict(owner)))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "locks"


def test_one_holder_at_a_time(folder):
    first, second = Lock(folder, "trial"), Lock(folder, "trial")
    assert first.acquire() is None
    owner = second.acquire()
    assert owner is not None
    assert owner.pid == os.getpid()
    assert second.holder() == owner
    first.release()
    assert second.holder() is None
    assert second.acquire() is None
    second.release()
    assert not list(folder.iterdir())


def test_names_do_not_meet(folder):
    with Lock(folder, "trial") as one, Lock(folder, "trial.2") as other, Lock(folder, "tri") as third:
        assert [one.acquire(), other.acquire(), third.acquire()] == [None] * 3


def test_a_dead_process_of_this_machine_is_passed_at_once(folder):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    me = Owner.me()
    dead = replace(me, pid=process.pid)
    process.wait()
    put(folder, dead)
    with Lock(folder, "trial") as lock:
        assert lock.holder() is None
        assert lock.acquire() is None
        assert [path.name for path in folder.iterdir()] == ["trial.2"]


def test_a_process_number_used_again_is_not_the_owner(folder):
    put(folder, replace(Owner.me(), started="1"))
    with Lock(folder, "trial") as lock:
        assert lock.acquire() is None


def test_a_living_process_keeps_its_lock_however_old_its_heartbeat_and_whatever_the_clock(folder):
    for age in (10 * STALE_SECONDS, -10 * STALE_SECONDS):
        put(folder, Owner.me(), age=age)
        with Lock(folder, "trial") as lock:
            assert lock.acquire() is not None


def test_another_machine_is_judged_by_its_heartbeat(folder):
    other = replace(Owner.me(), machine="elsewhere", host="elsewhere")
    put(folder, other)
    with Lock(folder, "trial") as lock:
        assert lock.acquire() == other
    put(folder, other, age=2 * STALE_SECONDS)
    with Lock(folder, "trial") as lock:
        assert lock.acquire() is None


def test_half_a_lock_file_counts_by_its_age(folder):
    path = put(folder, Owner.me())
    path.write_text('{"host": "x')
    with Lock(folder, "trial") as lock:
        assert lock.acquire() is not None
        os.utime(path, (1, 1))
        assert lock.acquire() is None


def test_a_holder_that_was_passed_learns_it(folder, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    with Lock(folder, "trial") as lock:
        lock.acquire()
        time.sleep(0.1)
        assert not lock.lost
        (mine,) = folder.iterdir()
        mine.unlink()
        time.sleep(0.2)
        assert lock.lost


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_that_try_at_once_one_becomes_the_owner(folder, stale):
    for _ in range(20):
        if stale:
            put(folder, replace(Owner.me(), started="1"))
        locks = [Lock(folder, "trial") for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            won = [lock for lock, owner in zip(locks, pool.map(Lock.acquire, locks), strict=True) if owner is None]
        assert len(won) == 1
        won[0].release()


def test_many_processes_take_turns(folder):
    """Each adds one to a number in a file, unlocked but for the lock."""
    code = """
import sys, time
from pathlib import Path
from gan_bench.records.lock import Lock
folder, number = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(10):
    lock = Lock(folder, "trial")
    while lock.acquire() is not None:
        time.sleep(0.001)
    number.write_text(str(int(number.read_text()) + 1))
    lock.release()
"""
    number = folder.parent / "number"
    number.write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", code, str(folder), str(number)]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert number.read_text() == "40"
