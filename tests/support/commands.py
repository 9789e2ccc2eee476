"""The command line in processes of their own: forked from a warm one where that is the same, else started."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from support import warm

HANG = 1800
"""Seconds from which a test counts as hanging. Tests wait for events; below that, a machine may be as slow as it is."""


def gan_bench(*arguments, cold=False, **options):
    """Run a command to its end.

    Args:
        arguments: Of the command line.
        cold: Whether the way Python starts matters, so that the process is started and not forked.
        options: Of ``subprocess.run``; other ones than ``env``, ``cwd`` and ``timeout`` start the process as well.
    """
    return python_module("gan_bench", *arguments, cold=cold, **options)


def python_module(module, *arguments, cold=False, **options):
    """Run ``python -m MODULE`` to its end, as ``gan_bench`` does."""
    words = [str(each) for each in arguments]
    # Named, as readline writes the width of a terminal into what processes inherit, past os.environ.
    env = dict(options.pop("env", None) or os.environ)
    if (
        not cold
        and not set(options) - {"cwd", "timeout"}
        and "ray" not in words
        and warm.is_same_start(env)
        and warm.place()
    ):
        return warm.run(module, words, env=env, **{"timeout": HANG, **options})
    command = [sys.executable, "-m", module, *words]
    given = {"capture_output": True, "text": True, "timeout": HANG, "env": env, **options}
    return subprocess.run(command, check=False, **given)


def python_code(text, *arguments, **options):
    """Run ``python -c TEXT ARGUMENTS`` to its end, as ``gan_bench`` does."""
    words = [text, *map(str, arguments)]
    env = dict(options.pop("env", None) or os.environ)
    if warm.is_same_start(env) and warm.place():
        return warm.run("support.code", words, env=env, **{"timeout": HANG, **options})
    command = [sys.executable, "-c", *words]
    return subprocess.run(command, check=False, **{"capture_output": True, "text": True, "env": env, **options})


def python_file(path, *arguments, **options):
    """Run ``python PATH ARGUMENTS`` to its end, as ``gan_bench`` does."""
    code = "import runpy, sys; sys.argv[0] = sys.argv.pop(1); runpy.run_path(sys.argv[0], run_name='__main__')"
    return python_code(code, path, *arguments, **options)


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
