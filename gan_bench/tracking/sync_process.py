"""The MLflow mirror of a running suite, in a separate process, so that trials never wait for MLflow.

``python -m gan_bench.tracking.sync_process SUITE_FOLDER [PREFIX]`` reads the tracking URI from the first line of its
standard input (a URI may hold a password, which must not stand in a list of processes), follows the suite until that
input closes, makes a last pass and ends. On its channel it sends the name of every record whose run is complete, as it
completes them, and last what came of the mirror: so the parent knows which runs are missing, however the mirror ends.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

from gan_bench.core import GARBAGE_THRESHOLD
from gan_bench.core.channel import Sender, spawn
from gan_bench.core.errors import RecordError
from gan_bench.core.preparing import report_progress
from gan_bench.core.text import plural
from gan_bench.records.folders import trial_folders
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.summary import size_and_time
from gan_bench.tracking.answer import save_views
from gan_bench.tracking.mirror import Mirror
from gan_bench.tracking.replay import bring_up
from gan_bench.tracking.server import UPLOAD_SECONDS, Backoff, default_uri, describe_error, hint
from gan_bench.tracking.store import LOG, mirror_lock, open_log
from gan_bench.tracking.views import link

POLL_SECONDS = 3.0
LEAVING_SECONDS = 30.0
"""Seconds that an interrupted run has to update MLflow."""
TICK_SECONDS = 0.2
"""Seconds between two checks whether the run still waits for the mirror."""
SILENT_SECONDS = 5.0
"""Seconds after which a run prints that it waits for the mirror."""
LAST_PASS_SECONDS = UPLOAD_SECONDS + 30.0
"""Seconds that one trial or file of the last pass may take; a slow server may take longer in all."""
HANDOVER_SECONDS = 10.0
END_SECONDS = 10.0
"""Seconds that the process may take to exit after its result."""


@dataclass(frozen=True, kw_only=True)
class MirrorResult:
    """The result of mirroring a suite.

    Attributes:
        experiment: Id of its experiment, or None when MLflow was never reached.
        views: Name and link's end of its saved views.
        error: What went wrong last, or None.
        elsewhere: Whether another process mirrors the suite, with all its trials.
        answered: Whether the run with the suite's answer is there.
        notices: What was found and mended, a sentence each.
        missing: Runs that are not complete; 0 before the parent has counted.
        started: Trials that should have one.
    """

    experiment: str | None = None
    views: tuple[tuple[str, str], ...] = ()
    error: str | None = None
    elsewhere: bool = False
    answered: bool = True
    notices: tuple[str, ...] = ()
    missing: int = 0
    started: int = 0

    def to_json(self) -> dict[str, object]:
        """Return the message of the child."""
        return {name: value for name, value in vars(self).items() if name not in ("missing", "started")}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> MirrorResult:
        """Build what ``to_json`` described."""
        views = tuple((str(name), str(end)) for name, end in plain["views"])
        return cls(**{**plain, "views": views, "notices": tuple(plain["notices"])})

    @property
    def lacks(self) -> str | None:
        """What MLflow lacks, with counts, or None if it is complete."""
        parts = [f"{self.missing} of {plural(self.started, 'run')}"] if self.missing else []
        parts += [] if self.answered else ["the answer"]
        return " and ".join(parts) or None


def follow(
    suite_folder: Path,
    uri: str,
    over: threading.Event,
    report: Callable[[str], None] = lambda _: None,
    prefix: str = "",
) -> MirrorResult:
    """Mirror a suite while it runs, then once more.

    When MLflow fails or refuses something, the mirror reads its runs again after a while, ever longer, and once more at
    the end.

    Args:
        suite_folder: ``RESULTS/<suite>``.
        uri: Tracking URI.
        over: Set when the run is over.
        report: Called with the name of every record whose run is complete, and in the last pass with that of every
            trial and with an empty one after every file.
        prefix: Put before the suite's name in the experiment's.
    """
    mirror: Mirror | None = None
    error: str | None = None
    notices: list[Sequence[str]] = []
    refused = set[str]()
    pause = Backoff()
    with mirror_lock(suite_folder, uri) as lock:
        mine = answered = False
        while True:
            last = over.is_set()
            mine = mine or lock.acquire(HANDOVER_SECONDS if last else 0) is None  # what another one holds, it mirrors
            if mine and (last or pause.due):
                is_fresh = mirror is None
                try:
                    if mirror is None:
                        mirror = Mirror(uri, suite_folder.parent, prefix)
                        notices.append(mirror.store.notices)
                    mirror.refused.clear()  # of earlier looks
                    bring_up(mirror, suite_folder, report, last=last)
                    answered = answered or last
                    error = next(iter(mirror.refused), None)
                    if refused.issuperset(mirror.refused) or (last and is_fresh):
                        refused &= set(mirror.refused)
                        pause.succeeded()
                    else:  # the error may be of a run that was deleted in MLflow meanwhile
                        refused |= set(mirror.refused)
                        mirror = None
                        pause.failed()
                        if last:
                            continue
                except Exception as problem:
                    mirror = None  # its cached runs may be outdated
                    error = describe_error(problem, uri) + hint(problem)
                    pause.failed()
            if last:
                known = mirror.suite(suite_folder) if mirror and mirror.experiments else None
                views = save_views(mirror.store, known) if mirror and known else []
                return MirrorResult(
                    experiment=known.experiment if known else None,
                    views=tuple((view.name, link(known.experiment, view, "")) for view in views if known),
                    error=error,
                    elsewhere=not mine,
                    answered=answered or not mine,
                    notices=tuple(dict.fromkeys(chain(*notices))),
                )
            over.wait(POLL_SECONDS)


class SyncProcess:
    """The mirror in a separate process, so that trials never wait for it.

    Args:
        suite_folder: ``RESULTS/<suite>``, which must exist.
        uri: Tracking URI; empty for the database beside the results.
        prefix: Put before the suite's name in the experiment's.

    Raises:
        UserError: There can be no database beside the results.
    """

    def __init__(self, suite_folder: Path, uri: str, prefix: str = "") -> None:
        uri = uri or default_uri(suite_folder.parent)
        self._folder = suite_folder
        self._log = open_log(suite_folder.parent / LOG)
        try:
            threads = {**os.environ, "OMP_NUM_THREADS": "1"}
            module, arguments = "gan_bench.tracking.sync_process", (str(suite_folder), prefix)
            self._process, incoming = spawn(module, arguments, self._log, threads)
        except BaseException:
            self._log.close()
            raise
        self._complete: dict[str, str] = {}
        self._result: MirrorResult | None = None
        self._heard = time.monotonic()
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(incoming,), daemon=True)
        self._reader.start()
        with contextlib.suppress(OSError):  # a process that ended gives no answer, which is reported at the end
            self._process.stdin.write(f"{uri}\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]

    def _read(self, incoming: IO[str]) -> None:
        """Receive the mirror's messages until it ends."""
        with incoming:
            for line in incoming:
                if not line.endswith("\n"):  # it was killed while it wrote
                    break
                said = json.loads(line)
                with self._changed:
                    self._heard = time.monotonic()
                    if "result" in said:
                        self._result = MirrorResult.from_json(said["result"])
                    else:
                        self._complete[said["complete"]] = self._end_of(said["complete"])
                    self._changed.notify_all()
        with self._changed:
            self._heard = -1.0  # the mirror has closed its output
            self._changed.notify_all()

    def close(self, patience: float = LAST_PASS_SECONDS, leave: Callable[[], bool] = lambda: False) -> MirrorResult:
        """End the mirror after a last pass.

        Args:
            patience: Seconds that it may take for one trial or one file.
            leave: Whether a person asked for an end. Who does so while this waits, waits no longer; who did before,
                ``LEAVING_SECONDS``.

        Returns:
            What came of it, with the number of runs that MLflow lacks.
        """
        started = list(_started_records(self._folder))  # later trials are left to the mirror of another run
        with self._changed:  # ended trials that were resumed or retrained are incomplete again
            self._complete = {name: end for name, end in self._complete.items() if end == self._end_of(name)}
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        with self._changed:
            if self._heard >= 0:
                self._heard = time.monotonic()
            begun = time.monotonic()
            until = begun + LEAVING_SECONDS if leave() else math.inf
            is_left = is_told = False
            while not (is_left or self._is_over()) and time.monotonic() < min(self._heard + patience, until):
                self._changed.wait(min(TICK_SECONDS, max(0.0, self._heard + patience - time.monotonic())))
                is_left = until == math.inf and leave()
                if not (is_told or is_left or self._is_over()) and time.monotonic() - begun > SILENT_SECONDS:
                    report_progress("waiting for MLflow (Ctrl-C ends the waiting)", 0.0)
                    is_told = True
            result, ended = self._result, self._heard < 0
        code = self._end_process(END_SECONDS if result or ended else 0.0)
        if result is None:
            is_left = is_left or until < math.inf
            silent = "was not waited for any longer" if is_left else f"did not answer for {patience:g} s"
            why = f"ended with code {code}" if ended else silent
            log = f"; {self._folder.parent / LOG} has its last words" if ended else ""
            result = MirrorResult(error=f"the mirror {why}{log}", answered=False)
        if result.elsewhere:
            return result
        return replace(result, started=len(started), missing=sum(name not in self._complete for name in started))

    def _end_of(self, name: str) -> str:
        """Return an id of a trial's end; empty while there is none."""
        return size_and_time(RecordDirectory(self._folder / name).record)

    def _is_over(self) -> bool:
        return self._result is not None or self._heard < 0

    def _end_process(self, patience: float) -> int:
        """End the process, killed after so many seconds, and return its exit code."""
        try:
            code = self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join()
        self._log.close()
        return code


def _started_records(suite_folder: Path) -> Iterator[str]:
    """Yield the names of the records that should have a run: of trials that have started."""
    with contextlib.suppress(RecordError):
        for path in trial_folders(suite_folder):
            with contextlib.suppress(OSError):
                if RecordDirectory(path).environment.exists():
                    yield path.name


def _main() -> None:
    """Follow a suite until standard input closes, which it does whenever the runner ends."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel, over = Sender(), threading.Event()
    uri = sys.stdin.readline().rstrip("\n")

    heard = time.monotonic()

    def watch() -> None:
        """Make the last pass when the input closes; if MLflow hangs in it and the run has ended, end at once."""
        sys.stdin.read()
        over.set()
        begun = time.monotonic()
        while (left := max(heard, begun) + LAST_PASS_SECONDS + END_SECONDS - time.monotonic()) > 0:
            time.sleep(left)
        os._exit(1)

    def send(content: dict[str, object]) -> None:
        nonlocal heard
        heard = time.monotonic()
        with contextlib.suppress(OSError):  # the parent is gone, and the mirror ends with its last pass
            channel(content)

    threading.Thread(target=watch, daemon=True).start()
    prefix = sys.argv[2] if len(sys.argv) > 2 else ""
    result = follow(Path(sys.argv[1]), uri, over, lambda name: send({"complete": name}), prefix)
    send({"result": result.to_json()})
    os._exit(0)


if __name__ == "__main__":
    _main()
