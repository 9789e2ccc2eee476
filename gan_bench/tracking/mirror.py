"""The MLflow mirror of the records, which a replay can rebuild at any time.

A replay can be repeated: a run is found by its trial id, and a metric is sent only for steps the run does not have.
Of several followers and replays of one suite, the one that holds the suite's mirror lock writes; it mirrors every
trial of the suite, whoever runs it. Whether a trial without an end is still running, its own lock says.
Nothing else in gan_bench imports mlflow.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.core.errors import RecordError
from gan_bench.core.text import printable
from gan_bench.records.layout import LOCKS, SAMPLES, RecordDirectory
from gan_bench.records.lock import Lock, trial_lock
from gan_bench.records.reader import StoredTrial
from gan_bench.records.sample_grid import read_sample_grid
from gan_bench.tracking.database import point_into
from gan_bench.tracking.entities import metrics_of, params_of, started_ms
from gan_bench.tracking.uri import ARTIFACTS, is_default
from gan_bench.tracking.views import by_setting, colour, leaderboard, note

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TRIAL_TAG = "gan_bench.trial"
STARTED_TAG = "gan_bench.started"
SAMPLES_KEY = "eval/samples"
_CHUNK = 1000
_QUICK_FAILURE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
_RUN_STATUS = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}


def mirror_lock(suite_folder: Path, uri: str) -> Lock:
    """Return the lock that makes one process the writer of a suite's mirror."""
    return Lock(suite_folder / LOCKS, f"mirror-{hashlib.sha256(uri.encode()).hexdigest()[:8]}")


@dataclass
class _Sent:
    """What this process knows that a run already has, and of which start of the trial it speaks."""

    run_id: str
    started: str
    steps: dict[str, set[int]] = field(default_factory=dict)
    samples: set[int] = field(default_factory=set)
    signature: tuple[object, ...] = ()


class Mirror:
    """Writes records into MLflow.

    Args:
        uri: Tracking URI.
        results: The results folder; artifacts of the SQLite default lie in it.

    Attributes:
        unreadable: Messages about sample grids that were left out.

    Raises:
        Exception: Whatever MLflow raises when it cannot be reached.
    """

    def __init__(self, uri: str, results: Path) -> None:
        os.environ.update({key: os.environ.get(key, value) for key, value in _QUICK_FAILURE.items()})
        from mlflow import MlflowClient

        self.uri, self.results = uri, results
        self._sent: dict[str, _Sent] = {}
        self.experiments: dict[str, str] = {}
        self._extractors: set[str] = set()
        self.unreadable: list[str] = []
        with self._creation_lock():
            self._client: MlflowClient = MlflowClient(tracking_uri=uri)
            if uri.startswith("sqlite:"):
                self._client.search_experiments(max_results=1)
            if is_default(uri, results):
                point_into(results)

    @contextlib.contextmanager
    def _creation_lock(self) -> Iterator[None]:
        """Let one process at a time create the database and experiments: MLflow itself does not."""
        if not self.uri.startswith("sqlite:"):
            yield
            return
        with Lock(self.results / LOCKS, "mlflow") as lock:
            lock.acquire(patience=-1)
            yield

    def experiment(self, suite: str) -> str:
        """Return the id of a suite's experiment, created if missing."""
        if suite not in self.experiments:
            with self._creation_lock():
                found = self._client.get_experiment_by_name(suite)
                if found and found.lifecycle_stage == "deleted":
                    self._client.restore_experiment(found.experiment_id)
                local = self.uri.startswith("sqlite:")
                location = (self.results.resolve() / ARTIFACTS / suite).as_uri() if local else None
                self.experiments[suite] = found.experiment_id if found else self._create_experiment(suite, location)
        return self.experiments[suite]

    def _create_experiment(self, suite: str, location: str | None) -> str:
        from mlflow.exceptions import MlflowException

        try:
            made: str = self._client.create_experiment(suite, artifact_location=location)
        except MlflowException:  # another machine was faster
            found = self._client.get_experiment_by_name(suite)
            if found is None:
                raise
            made = found.experiment_id
        return made

    def save_views(self, suite: str) -> list[str]:
        """Give an experiment a leaderboard to open on, the same grouped by setting, and a note on its columns.

        Returns:
            Share keys of the views; none when no score is known yet or MLflow refuses: a view is a courtesy.
        """
        if not self._extractors:
            return []
        now, extractor = int(time.time() * 1000), sorted(self._extractors)[0]
        views = [leaderboard(extractor, now), by_setting(extractor, now)]
        try:
            for view in views:
                self._client.set_experiment_tag(self.experiment(suite), view.tag, view.value)
            self._client.set_experiment_tag(self.experiment(suite), "mlflow.note.content", note(suite))
        except Exception:
            return []
        return [view.share_key for view in views]

    def sync(self, stored: StoredTrial) -> None:
        """Bring a trial's run up to its record; a trial without an end that nobody owns is closed as killed.

        Args:
            stored: The trial as read back; one that never started is left out.
        """
        if not stored.environment:
            return
        live = stored.record is None and trial_lock(RecordDirectory(stored.path)).holder() is not None
        end = stored.record or {}
        signature = (len(stored.history), len(stored.evaluations), end.get("status"), end.get("reason"), live)
        sent = self._sent_of(stored)
        if sent.signature == signature:
            return
        self._send_metrics(sent, stored)
        self._send_samples(sent, stored)
        self._close(sent.run_id, stored, live=live)
        sent.signature = signature

    def _sent_of(self, stored: StoredTrial) -> _Sent:
        """Find the trial's run or create it. A run of an earlier start, taken back by --fresh, is deleted."""
        trial_id, started = stored.trial["id"], stored.environment["started"]
        known = self._sent.get(trial_id)
        if known is None or known.started != started:
            experiment = self.experiment(stored.path.parent.name)
            query = f"tags.`{TRIAL_TAG}` = '{trial_id}'"
            same: list[Run] = []
            others: list[Run] = []
            for run in self._client.search_runs([experiment], filter_string=query):
                (same if run.data.tags.get(STARTED_TAG, started) == started else others).append(run)
            for run in [*same[1:], *others]:
                self._client.delete_run(run.info.run_id)
            known = _Sent(same[0].info.run_id if same else self._create(experiment, stored), started)
            if same:
                for key in same[0].data.metrics:
                    known.steps[key] = {m.step for m in self._client.get_metric_history(known.run_id, key)}
                known.samples = self._logged_samples(known.run_id)
            self._sent[trial_id] = known
        return known

    def _create(self, experiment: str, stored: StoredTrial) -> str:
        config, trial = stored.trial["config"], stored.trial
        tags = {
            TRIAL_TAG: trial["id"],
            STARTED_TAG: stored.environment["started"],
            "mlflow.note.content": f"Record: {stored.path.name}",
            "setting": trial["setting"],
            "recipe": config["recipe"],
            "dataset": config["dataset"],
            "architecture": config["architecture"],
            "profile": config["profile"],
            "device": stored.environment.get("device", "unknown"),
            "engine": stored.environment.get("engine", "unknown"),
            "mlflow.runColor": colour(config["architecture"]),
        }
        tags = {name: printable(str(value)) for name, value in tags.items()}
        started = started_ms(stored)
        run = self._client.create_run(experiment, start_time=started, tags=tags, run_name=printable(trial["name"]))
        from mlflow.entities import Param

        params = [Param(key, printable(str(value))[:500]) for key, value in params_of(config).items()]
        self._client.log_batch(run.info.run_id, params=params)
        self._log_file(run.info.run_id, RecordDirectory(stored.path).trial)
        run_id: str = run.info.run_id
        return run_id

    def _send_metrics(self, sent: _Sent, stored: StoredTrial) -> None:
        self._extractors |= {s["extractor"] for line in stored.evaluations for s in line["scores"]}
        fresh = [m for m in metrics_of(stored) if m.step not in sent.steps.get(m.key, ())]
        for start in range(0, len(fresh), _CHUNK):
            chunk = fresh[start : start + _CHUNK]
            self._client.log_batch(sent.run_id, metrics=chunk)
            for metric in chunk:
                sent.steps.setdefault(metric.key, set()).add(metric.step)

    def _logged_samples(self, run_id: str) -> set[int]:
        """Return the steps whose grids the run has; MLflow writes the step into the file's name."""
        steps = set()
        for entry in self._client.list_artifacts(run_id, "images"):
            found = re.search(r"[+%]step[+%](\d+)[+%]", entry.path)
            if found:
                steps.add(int(found[1]))
        return steps

    def _send_samples(self, sent: _Sent, stored: StoredTrial) -> None:
        import numpy as np

        for line in stored.evaluations:
            epoch = line["epoch"]
            path = stored.path / SAMPLES / f"epoch-{epoch:04d}.png"
            if epoch in sent.samples or not path.exists():
                continue
            try:
                grid = np.asarray(read_sample_grid(path))
            except RecordError as error:
                self.unreadable.append(str(error))
            else:
                self._client.log_image(sent.run_id, grid, key=SAMPLES_KEY, step=epoch)
            sent.samples.add(epoch)

    def _log_file(self, run_id: str, path: Path) -> None:
        """Copy a file of a record; a link may lead anywhere and is left out."""
        if path.is_file() and not path.is_symlink():
            self._client.log_artifact(run_id, str(path))

    def _close(self, run_id: str, stored: StoredTrial, *, live: bool) -> None:
        record = stored.record
        if record is None and live:
            self._client.update_run(run_id, status="RUNNING")
            return
        status = record["status"] if record else "killed"
        self._client.set_tag(run_id, "status", status)
        self._client.set_tag(run_id, "reason", printable(str((record or {}).get("reason") or ""))[:4000])
        self._log_file(run_id, RecordDirectory(stored.path).weights)
        seconds = (record["train_seconds"] + record["evaluate_seconds"]) if record else 0
        end = started_ms(stored) + int(1000 * seconds)
        self._client.set_terminated(run_id, status=_RUN_STATUS.get(status, "KILLED"), end_time=end)
