"""The MLflow mirror of a running suite, in a process of its own, so that no trial ever waits for MLflow.

``python -m gan_bench.tracking.sync_process SUITE_FOLDER [PREFIX]`` reads the tracking URI from the first line of its
standard input (a URI may hold a password, which must not stand in a list of processes), follows the suite until that
input closes, makes a last pass and ends. It answers with lines of JSON: one for every trial of the last pass, then the
result.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan_bench.core.errors import RecordError
from gan_bench.records.layout import TRIALS
from gan_bench.records.lock import Lock
from gan_bench.tracking.answer_run import publish_answer, save_views
from gan_bench.tracking.mirror import Mirror, mirror_lock
from gan_bench.tracking.server import UPLOAD_SECONDS, Backoff, describe, hint
from gan_bench.tracking.uri import default_uri
from gan_bench.tracking.views import link

POLL_SECONDS = 3.0
LAST_PASS_SECONDS = UPLOAD_SECONDS + 30.0
"""Seconds that one trial or one file of the last pass may take; a slow server is waited for while it answers."""
HANDOVER_SECONDS = 10.0


def follow(
    suite_folder: Path,
    uri: str,
    over: threading.Event,
    report: Callable[[], None] = lambda: None,
    prefix: str = "",
) -> dict[str, Any]:
    """Mirror a suite while it runs, then once more.

    When MLflow fails, the mirror tries again after a while, ever longer, and once more at the end.

    Args:
        suite_folder: ``RESULTS/<suite>``.
        uri: Tracking URI.
        over: Set when the run is over.
        report: Called for every trial of the last pass.
        prefix: Put before the suite's name in the experiment's.

    Returns:
        ``{"experiment": id or None, "views": [[name, link's end]], "error": message or None}``.
    """
    mirror: Mirror | None = None
    error: str | None = None
    pause = Backoff()
    with mirror_lock(suite_folder, uri) as lock:
        mine = False
        while True:
            last = over.is_set()
            mine = mine or _acquire(lock, HANDOVER_SECONDS if last else 0)
            if mine and (last or pause.due):
                try:
                    mirror = mirror or Mirror(uri, suite_folder.parent, prefix)
                    mirror.experiment(suite_folder.name)
                    _pass(mirror, suite_folder, report if last else None)
                    error = None
                    pause.succeeded()
                except Exception as problem:
                    error = describe(problem, uri) + hint(problem)
                    mirror = None  # what it knows may no longer hold
                    pause.failed()
            if last:
                known = mirror.experiments.get(suite_folder.name) if mirror else None
                views = save_views(mirror, suite_folder.name) if mirror and not error else []
                links = [[view.name, link("{experiment}", view, "")] for view in views]
                return {"experiment": known, "views": links, "error": error}
            over.wait(POLL_SECONDS)


def _pass(mirror: Mirror, suite_folder: Path, report: Callable[[], None] | None) -> None:
    """Send what is new of every trial; in the last pass say so for each, and publish the answer."""
    for path in sorted(suite_folder.glob(TRIALS)):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(RecordError):  # the report names it
                mirror.sync(path)
        if report:
            report()
    if report:
        publish_answer(mirror, suite_folder.name, report)


def _acquire(lock: Lock, patience: float) -> bool:
    """Become the writer, waiting this many seconds for another one to end; what it holds, it mirrors."""
    return lock.acquire(patience) is None


class SyncProcess:
    """The mirror in a process of its own, so that no trial waits for it.

    Args:
        suite_folder: ``RESULTS/<suite>``, which must exist.
        uri: Tracking URI; empty for the database beside the results.
        prefix: Put before the suite's name in the experiment's.

    Raises:
        UserError: There can be no database beside the results.
    """

    def __init__(self, suite_folder: Path, uri: str, prefix: str = "") -> None:
        uri = uri or default_uri(suite_folder.parent)
        self._log = (suite_folder.parent / ".mlflow.log").open("ab")
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "gan_bench.tracking.sync_process", str(suite_folder), prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._send(f"{uri}\n".encode())

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a process that is gone gives no answer, which is said in the end
            self._process.stdin.write(data)  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]

    def close(self, patience: float = LAST_PASS_SECONDS) -> dict[str, Any]:
        """End the mirror after a last pass.

        Args:
            patience: Seconds that one trial of that pass may take.

        Returns:
            What ``follow`` returned, or an error.
        """
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

        def read() -> None:
            for line in self._process.stdout or ():
                lines.put(line)
            lines.put(b"")

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        answer: dict[str, Any] = {"experiment": None, "views": [], "error": "the mirror did not finish"}
        try:
            while line := lines.get(timeout=patience):
                said = json.loads(line)
                answer = said if "error" in said else answer
        except (queue.Empty, ValueError):
            answer["error"] = f"the mirror did not answer for {patience:g} s"
        finally:
            try:
                self._process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            reader.join()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._log.close()
        return answer


def _main() -> None:
    """Follow a suite until standard input closes, which it does when the runner ends in whatever way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    over = threading.Event()
    uri = sys.stdin.readline().rstrip("\n")

    def watch() -> None:
        sys.stdin.read()
        over.set()

    def answer(content: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            sys.stdout.write(json.dumps(content) + "\n")
            sys.stdout.flush()

    threading.Thread(target=watch, daemon=True).start()
    prefix = sys.argv[2] if len(sys.argv) > 2 else ""
    answer(follow(Path(sys.argv[1]), uri, over, lambda: answer({"synced": 1}), prefix))
    os._exit(0)


if __name__ == "__main__":
    _main()
