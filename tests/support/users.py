"""Commands of a second, real user: one without a name, a home or any right to the first one's files."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from support import warm
from support.commands import HANG

STRANGER = 54321
"""Number of a user that no system has a name for."""
_REACHED = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[2])
"""Folders that a command needs, whoever runs it."""


def _closed(path):
    """The topmost folder above a path that others may not enter, or None."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)


def _mounts():
    """Open, in mounts of its own, what stands between a stranger and the interpreter; outside nothing changes."""
    lines, closed = ["set -e", "mount --make-rprivate /"], {_closed(path) for path in _REACHED} - {None}
    apart = [
        (path, f"{tempfile.gettempdir()}/gan_bench-reached-{number}")
        for number, path in enumerate(_REACHED)
        if _closed(path)
    ]
    for path, place in apart:
        lines += [shlex.join(["mkdir", "-p", place]), shlex.join(["mount", "--bind", str(path), place])]
    lines += [shlex.join(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(each)]) for each in sorted(closed)]
    for path, place in apart:
        lines += [shlex.join(["mkdir", "-p", str(path)]), shlex.join(["mount", "--bind", place, str(path)])]
    return "\n".join(lines)


def as_stranger(*arguments, module="gan_bench", environment=None, user=STRANGER):
    """Run a command as a user without a name and a home; only PATH and what is given are in its environment."""
    found = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "GAN_BENCH_NO_ESTIMATE": "1", **(environment or {})}
    words = list(map(str, arguments))
    if module and warm.place():
        return warm.run(module, words, cwd="/", env=found, timeout=HANG, user=user, mounts=_mounts())
    become = f'exec setpriv --reuid {user} --regid {user} --clear-groups "$@"'
    python = [sys.executable, *(["-m", module] if module else []), *words]
    command = ["unshare", "--mount", "sh", "-c", f"{_mounts()}\n{become}", "sh", *python]
    return subprocess.run(command, env=found, timeout=HANG, check=False, capture_output=True, text=True, cwd="/")


@cache
def why_no_stranger():
    """Return why root may not become another user who can run Python here; nothing where it can."""
    for program in ("unshare", "setpriv"):
        if not shutil.which(program):
            return f"{program} is not installed"
    tried = as_stranger("-c", "import torch", module=None)
    return "" if tried.returncode == 0 else tried.stderr.strip()[-200:] or f"exit code {tried.returncode}"
