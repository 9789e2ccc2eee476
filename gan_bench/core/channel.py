"""Lines of JSON from a child process to its parent, on a descriptor of their own.

Standard output is everybody's: a library that prints one word there would end a protocol that uses it. So the child's
standard output goes wherever its standard error goes, and what it sends has a pipe that only ``Sender`` knows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from gan_bench.core.text import from_root

_DESCRIPTOR = "GAN_BENCH_CHANNEL"
"""Environment variable with the descriptor; the child removes it, so that grandchildren do not inherit it."""
_INHERITS = os.name != "nt"
"""Whether a child can inherit any descriptor; Windows passes the three standard ones only."""
_PATHS = "GAN_BENCH_SYS_PATH"
_START = f"""import json, os, runpy, sys
sys.path[:] = json.loads(os.environ.pop({_PATHS!r}))
sys.argv[:] = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)"""
"""Runs a module as ``python -m`` does, with the parent's ``sys.path``."""


def _placed(entry: str) -> str:
    """Return an entry of ``sys.path`` for another process: folders absolute, hooks of installers unchanged."""
    is_place = not entry or os.path.exists(entry)  # noqa: PTH110 - text of any kind
    return str(from_root(Path(entry))) if is_place else entry


def spawn(
    module: str, arguments: Sequence[str], errors: IO[bytes], environment: Mapping[str, str]
) -> tuple[subprocess.Popen[str], IO[str]]:
    """Start a Python process that makes a ``Sender``, in a session of its own, so that Ctrl-C is the parent's to hear.

    It imports what this process does, and nothing that happens to lie in the current folder: a file ``random.py`` there
    ended every worker, and another checkout of this package was trained with.

    Args:
        module: What it runs, as ``python -m`` does.
        arguments: Its arguments.
        errors: Takes its standard error and its output.
        environment: Its environment.

    Returns:
        The process, whose standard input is a pipe, and the lines that it sends; they end when it does.
    """
    named = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))  # set since this process started
    paths = list(dict.fromkeys(map(_placed, (*sys.path, *named))))
    environment = {**environment, "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8", _PATHS: json.dumps(paths)}
    command = [sys.executable, "-c", _START, module, *arguments]
    if not _INHERITS:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8", env=environment
        )
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        return process, process.stdout
    incoming, outgoing = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
            encoding="utf-8",
            env={**environment, _DESCRIPTOR: str(outgoing)},
            pass_fds=(outgoing,),
            start_new_session=True,
        )
    except BaseException:
        os.close(incoming)
        raise
    finally:
        os.close(outgoing)
    return process, os.fdopen(incoming, encoding="utf-8")


class Sender:
    """The child's end of the channel; made once, before anything that may print.

    Raises:
        RuntimeError: ``spawn`` did not start this process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        if _INHERITS:
            given = os.environ.pop(_DESCRIPTOR, None)
            if given is None:
                raise RuntimeError("this module is started by gan_bench itself, not by hand")
            os.set_inheritable(int(given), False)
            self._pipe = os.fdopen(int(given), "w", encoding="utf-8")
        else:
            self._pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
            os.dup2(2, 1)

    def __call__(self, content: dict[str, object]) -> None:
        """Send one object, from any thread.

        Raises:
            OSError: The parent is gone.
        """
        with self._lock:
            self._pipe.write(json.dumps(content) + "\n")
            self._pipe.flush()
