"""The command line in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time

HANG = 1800
"""Seconds from which a test counts as hanging. Tests wait for events; below that, a machine may be as slow as it is."""


def gan_bench(*arguments, **options):
    """Run a command to its end."""
    command = [sys.executable, "-m", "gan_bench", *map(str, arguments)]
    # Named, as readline writes the width of a terminal into what processes inherit, past os.environ.
    given = {"capture_output": True, "text": True, "timeout": HANG, "env": dict(os.environ), **options}
    return subprocess.run(command, check=False, **given)


def measuring():
    """Return the environment of a run that measures, as a user's does, how long it will take."""
    return {**os.environ, "GAN_BENCH_NO_ESTIMATE": "0"}


def wait_for(condition, process=None):
    """Wait until a condition holds, however long that takes; not for a process that has ended without it."""
    until = time.monotonic() + HANG
    while not condition():
        ended = process is not None and process.poll() is not None
        assert not ended or condition(), f"the process ended with code {process.poll()} before it happened"
        assert time.monotonic() < until, "it did not happen at all"
        time.sleep(0.05)
