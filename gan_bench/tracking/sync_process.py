"""The MLflow mirror of a running suite, in a process of its own, so that no trial ever waits for MLflow.

``python -m gan_bench.tracking.sync_process SUITE_FOLDER URI`` follows a suite until its standard input closes,
then makes a last pass and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from gan_bench.core.errors import brief
from gan_bench.records.lock import Lock
from gan_bench.records.store import StoredTrial, scan
from gan_bench.tracking.mirror import Mirror, mirror_lock

POLL_SECONDS = 3.0
LAST_PASS_SECONDS = 60.0
HANDOVER_SECONDS = 10.0


def follow(suite_folder: Path, uri: str, over: threading.Event) -> dict[str, Any]:
    """Mirror a suite while it runs, then once more.

    When MLflow fails, the mirror rests until the end of the run and then tries once more.

    Args:
        suite_folder: ``RESULTS/<suite>``.
        uri: Tracking URI.
        over: Set when the run is over.

    Returns:
        ``{"experiment": id or None, "views": share keys, "error": message or None}``.
    """
    mirror: Mirror | None = None
    error: str | None = None
    with mirror_lock(suite_folder, uri) as lock:
        mine = False
        while True:
            last = over.is_set()
            mine = mine or _acquire(lock, HANDOVER_SECONDS if last else 0)
            if mine and (error is None or last):
                try:
                    mirror = mirror or Mirror(uri, suite_folder.parent)
                    mirror.experiment(suite_folder.name)
                    for stored in scan(suite_folder):
                        if isinstance(stored, StoredTrial):
                            mirror.sync(stored)
                    error = None
                except Exception as problem:
                    error = brief(problem)
            if last:
                known = mirror.experiments.get(suite_folder.name) if mirror else None
                views = mirror.save_views(suite_folder.name) if mirror and not error else []
                return {"experiment": known, "views": views, "error": error}
            over.wait(POLL_SECONDS)


def _acquire(lock: Lock, patience: float) -> bool:
    """Become the writer, waiting this many seconds for another one to end; what it holds, it mirrors."""
    until = time.monotonic() + patience
    while lock.acquire() is not None:
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


class Follower:
    """The mirror in a process of its own, so that no trial waits for it.

    Args:
        suite_folder: ``RESULTS/<suite>``, which must exist.
        uri: Tracking URI.
    """

    def __init__(self, suite_folder: Path, uri: str) -> None:
        self._log = (suite_folder.parent / ".mlflow.log").open("ab")
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "gan_bench.tracking.sync_process", str(suite_folder), uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def close(self, timeout: float = LAST_PASS_SECONDS) -> dict[str, Any]:
        """End the mirror after a last pass.

        Args:
            timeout: Seconds that pass may take.

        Returns:
            What ``follow`` returned, or an error.
        """
        try:
            out, _ = self._process.communicate(timeout=timeout)
            answer: dict[str, Any] = json.loads(out.splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError, OSError) as error:
            self._process.kill()
            self._process.wait()
            answer = {"experiment": None, "views": [], "error": f"the mirror did not finish ({type(error).__name__})"}
        finally:
            self._log.close()
        return answer


def _main() -> None:
    """Follow a suite until standard input closes, which it does when the runner ends in whatever way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    over = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=watch, daemon=True).start()
    answer = follow(Path(sys.argv[1]), sys.argv[2], over)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _main()
