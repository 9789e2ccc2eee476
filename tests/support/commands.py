"""The command line in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time


def gan_bench(*arguments, **options):
    """Run a command to its end."""
    command = [sys.executable, "-m", "gan_bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def measuring():
    """Return the environment of a run that measures, as a user's does, how long it will take."""
    return {**os.environ, "GAN_BENCH_NO_ESTIMATE": "0"}


def wait_for(condition, seconds=120):
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
