"""Common fixtures: tiny trials, a private cache, and real data where GAN_BENCH_DATA names it."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from support import warm
from support.needs import IN_CI, NEEDS
from support.parts import temporary

from gan_bench.config.image_folder import DataRoot
from gan_bench.core.registry import REGISTRIES
from gan_bench.data import datasets  # noqa: F401 - with the imports below, every registry is there and filled
from gan_bench.metrics import extractors  # noqa: F401
from gan_bench.models import architectures, losses  # noqa: F401

settings.register_profile("suite", database=None, deadline=None)  # a checkout may not be writable, a machine be busy
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip a test whose machine lacks what its marker needs; where every change is tested, that fails.

    What costs seconds is done in the tests that are about it, in this process and in its commands.
    """
    for name, need in NEEDS.items():
        if item.get_closest_marker(name) and not need.found():
            assert not (need.in_ci and IN_CI), f"tests of {need.what} must run here, and {need.missing}"
            pytest.skip(need.missing)
    warm.do_as_asked([name for name in warm.MARKERS if item.get_closest_marker(name)])


def pytest_terminal_summary(terminalreporter):
    """Say in a line what this machine could not test."""
    reasons = [
        str(report.longrepr[2]).removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", ())
    ]
    counts = {need.what: (reasons.count(need.missing), need.missing) for need in NEEDS.values()}
    untested = [f"{what}: {count} ({missing})" for what, (count, missing) in counts.items() if count]
    if others := len(reasons) - sum(count for count, _ in counts.values()):
        untested.append(f"others: {others} (reasons above)")
    if untested:
        terminalreporter.write_line(f"Not tested on this machine: {'; '.join(untested)}")


MEMORY = "/dev/shm"  # noqa: S108 - asked for
"""The folder of files in memory on Linux."""
ROOM = 4 * 2**30
"""Bytes in it from which files of tests are kept there; they were at most a quarter of that."""


def _has_room():
    """Whether memory has the room, as much again for two test processes each, and programs may lie there."""
    try:
        values = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        available = int(values["MemAvailable"].split()[0]) * 1024
        with suppress(OSError, ValueError):  # a container may have less, or no limit of its own
            available = min(available, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
        has_room = shutil.disk_usage(MEMORY).free >= ROOM and available >= 3 * ROOM
        return has_room and os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    except (OSError, KeyError, ValueError):
        return False


def _clear(folder):
    """Remove the files of a session, but for those of tests that failed."""
    failed = list(folder.glob("pytest-of-*/pytest-[0-9]*"))
    for path in folder.iterdir() if failed else (folder,):
        if not (failed and path.name.startswith("pytest-of-")):
            shutil.rmtree(path, ignore_errors=True)


def _clear_ended():
    """Remove what sessions left that were killed, or had failed tests: nobody else gives their memory back."""
    for folder in Path(MEMORY).glob("gb-[0-9]*-*"):
        if not Path("/proc", folder.name.split("-")[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)


if "TMPDIR" not in os.environ and _has_room():  # the processes of a session inherit it
    _clear_ended()
    # MLflow's databases wait for the disk with each commit: where that is busy, a third of the time of such tests.
    name = f"gb-{os.getpid()}-"  # sockets have short paths
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix=name, dir=MEMORY)
    Path(tempfile.tempdir).chmod(0o1777)  # tests have a second user
    atexit.register(_clear, Path(tempfile.tempdir))

os.environ.setdefault("GAN_BENCH_NO_ESTIMATE", "1")
"""Runs of tests last seconds, and nobody reads how long they will take. Tests that are about the measurement set this
to 0 (``support.commands.measuring``)."""


os.fsync = lambda _: None
"""Tests kill processes and never the machine, for which alone a disk is waited for: a millisecond each time."""


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """Start one process for the commands of all test processes: each would take seconds to import the same."""
    if (session.config.getoption("numprocesses", None) or 0) > 1 and not hasattr(session.config, "workerinput"):
        warm.share()


def _freeze():
    """Leave what there is out of collections of garbage: most of it stays, and each looked through it.

    They took a twentieth of the time of all tests.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_finish():
    """Freeze what was imported and collected, and look for garbage less often than Python does."""
    gc.set_threshold(20_000, 10, 10)
    _freeze()


@pytest.fixture(autouse=True, scope="module")
def _frozen():
    """Freeze what a module imported and what its fixtures hold."""
    yield
    _freeze()


def pytest_unconfigure():
    """Let the process end as others do: Triton complains of what it finds alive."""
    gc.unfreeze()


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # of `make test &` in a script; the commands that tests interrupt would inherit it, and go on
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_width():
    """Keep the terminal's width from commands: readline, which pytest imports, writes it past ``os.environ``."""
    os.unsetenv("COLUMNS")
    os.unsetenv("LINES")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Share one cache of reference statistics over the test session and its workers, apart from the user's."""
    base = tmp_path_factory.getbasetemp()
    session = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    monkeypatch.setenv("GAN_BENCH_CACHE", str(session / "cache"))


@pytest.fixture(autouse=True)
def registries():
    """Take back what a test registers: names of its datasets or parts are another's too. Yields one to override with.

    ``registries(ARCHITECTURES, mlp=other)`` lets another entry stand under a name until the test ends.
    """
    with ExitStack() as stack:
        for registry in REGISTRIES.values():
            stack.enter_context(temporary(registry))
        yield lambda registry, **entries: stack.enter_context(temporary(registry, **entries))


@pytest.fixture(autouse=True)
def _own_float_mode():
    """Take back flush-to-zero, which commands set for their process: other tests count on denormal numbers."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def forked_children(monkeypatch):
    """Fork the workers and mirrors that this process starts, as those of commands are."""
    monkeypatch.setattr(sys, "executable", warm.python())


@pytest.fixture(scope="session")
def real_data() -> DataRoot:
    folder = os.environ.get("GAN_BENCH_DATA")
    if not folder:
        pytest.skip("GAN_BENCH_DATA does not name a folder with real data")
    return DataRoot(Path(folder), given=True)


@pytest.fixture
def stranger():
    """Runs commands as a second user; needs root, or there is none to become."""
    from support.users import as_stranger, why_no_stranger

    if os.geteuid() != 0:
        pytest.skip("only root can be a second user")
    if why := why_no_stranger():
        assert not IN_CI, f"permissions are tested with a second user: {why}"
        pytest.skip(f"there can be no second user: {why}")
    return as_stranger
