"""The MLflow mirror of the records, which a replay can rebuild at any time.

A replay can be repeated: a run is found by its trial and the identity of its results folder, and a tag of the run says
how far it mirrors the record. The runs of other results folders are never touched. Of several followers and replays of
one suite, the one that holds the suite's mirror lock writes; it mirrors every trial of the suite, also those of other
processes. The lock of a trial without an end tells whether it is still running. Nothing else in gan_bench imports
mlflow.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.core.errors import RecordError
from gan_bench.core.text import printable
from gan_bench.records.json_files import REMEDY, unreadable
from gan_bench.records.layout import LOCKS, SAMPLES, RecordDirectory
from gan_bench.records.lock import Lock, trial_lock
from gan_bench.records.reader import StoredTrial, read_header, read_or_error, trial_folders
from gan_bench.records.sample_grid import read_sample_grid
from gan_bench.records.schema import NO_RECORD
from gan_bench.records.shared import Designs, read_commands, read_designs
from gan_bench.tracking import entities, server
from gan_bench.tracking.store import ALTERED_TAG, MirroredRun, TrackingStore
from gan_bench.tracking.tail import TAG, TrialTail
from gan_bench.tracking.views import colour, colours_of

if TYPE_CHECKING:
    from mlflow.entities import Metric

SAMPLES_KEY = "eval/samples"
LAST_KEY = "eval/last_samples"
_CHUNK = 1000
_RUN_STATUS = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}
_FILES = ("trial.json", "environment.json", "record.json", "history.jsonl", "evaluations.jsonl")


def mirror_lock(suite_folder: Path, uri: str) -> Lock:
    """Return the lock that makes one process the writer of a suite's mirror."""
    return Lock(suite_folder / LOCKS, f"mirror-{hashlib.sha256(uri.encode()).hexdigest()[:8]}")


@dataclass
class _Suite:
    """What this process knows of a suite: its experiment, its runs by trial, and the colours of its settings."""

    experiment: str
    runs: dict[str, MirroredRun]
    colours: dict[str, str]
    command: str | None
    designs: Designs
    tails: dict[Path, TrialTail] = field(default_factory=dict)
    extractors: set[str] = field(default_factory=set)


class Mirror:
    """Writes records into MLflow.

    Args:
        uri: Tracking URI.
        results: The results folder; artifacts lie in it unless a server keeps them.
        prefix: Put before the suites' names in the names of experiments.

    Attributes:
        unreadable: Messages about records and sample grids that were left out.
        notices: What was found and mended, a sentence each.

    Raises:
        Exception: Any error of MLflow when it cannot be reached.
    """

    def __init__(self, uri: str, results: Path, prefix: str = "") -> None:
        self._store = TrackingStore(uri, results, prefix)
        self.results, self.client, self.identity = results, self._store.client, self._store.identity
        self.unreadable: list[str] = []
        self.notices = self._store.notices
        self._suites: dict[str, _Suite] = {}

    @property
    def experiments(self) -> dict[str, str]:
        """The experiments so far, by suite."""
        return {suite: known.experiment for suite, known in self._suites.items()}

    def extractors(self, suite: str) -> list[str]:
        """Return the names of the extractors that a suite's trials were scored with."""
        return sorted(self._suites[suite].extractors)

    def experiment(self, suite: str) -> str:
        """Return the id of a suite's experiment, created if missing."""
        return self._known(suite).experiment

    def _known(self, suite: str) -> _Suite:
        if suite not in self._suites:
            folder, experiment = self.results / suite, self._store.experiment(suite)
            command = read_commands(folder).get(suite) if folder.is_dir() else None
            designs = read_designs(folder) if folder.is_dir() else Designs()
            runs = self._store.runs(experiment)
            self._suites[suite] = _Suite(experiment, runs, colours_of(folder), command, designs)
        return self._suites[suite]

    def run_id(self, path: Path) -> str:
        """Return the run of a trial that was synced."""
        return self._known(path.parent.name).runs[read_header(path).trial["id"]].run_id

    # ----------------------------------------------------------------------------------------------- a trial

    def sync(self, path: Path) -> bool:
        """Bring a trial's run up to its record; a trial without an end and without an owner is closed as killed.

        Args:
            path: The record directory.

        Returns:
            Whether the trial has ever started: only then there is a run.

        Raises:
            RecordError: The record is damaged, or may not be read.
        """
        directory = RecordDirectory(path)
        try:
            directory.environment.stat()
        except PermissionError as error:
            raise unreadable(path, error) from None
        except OSError:
            return False
        known = self._known(path.parent.name)
        tail = known.tails.setdefault(path, TrialTail(path))
        live = not directory.record.exists() and trial_lock(directory).holder() is not None
        if not tail.changed(live=live):
            return True
        header = tail.header()
        run = self._run_of(header, known)
        end = _end_of(header)
        if not end or run.position.end != end:
            stored = tail.read(header, live=live)
            self._send(run, stored, known, end, live=live)
        else:
            known.extractors |= _scored_with(header)
        if end:
            self._mark_if_altered(run, path)
        tail.commit(live=live)
        return True

    def is_complete(self, path: Path) -> bool:
        """True if a trial's run has the trial's end, or that it was killed, as far as this process has synced it."""
        trial_id = path.name.rpartition("--")[2]
        run = self._known(path.parent.name).runs.get(trial_id)
        return run is not None and run.closed

    def _mark_if_altered(self, run: MirroredRun, path: Path) -> None:
        """Tag a run whose record is not what was saved, and take the tag back when it is again."""
        found = read_or_error(path)
        fault = found if isinstance(found, RecordError) else found.fault
        text = "" if fault is None else printable(str(fault).removesuffix(f"; {REMEDY}"))
        if text != run.altered:
            self._tag(run, {ALTERED_TAG: text})
            run.altered = text
        if fault is not None:
            self.unreadable.append(fault.line)

    def _run_of(self, stored: StoredTrial, known: _Suite) -> MirroredRun:
        """Find the trial's run or create it. A run of an earlier start, taken back by --fresh, is deleted."""
        trial_id, started = stored.trial["id"], stored.environment["started"]
        run = known.runs.get(trial_id)
        if run is not None and run.started not in ("", started):
            self.client.delete_run(run.run_id)
            run = None
        if run is None:
            shade = known.colours.get(stored.trial["setting"]) or colour(stored.trial["setting"])
            tags = self._tags(stored, shade, known)
            made = self.client.create_run(
                known.experiment,
                start_time=entities.started_ms(stored),
                tags=tags,
                run_name=entities.run_name(stored),
            )
            run = known.runs[trial_id] = MirroredRun(made.info.run_id, started)
        if not run.described:
            self._describe(run, stored, known)
        return run

    def _tags(self, stored: StoredTrial, shade: str, known: _Suite) -> dict[str, str]:
        config = stored.trial["config"]
        design = known.designs.of(stored.path.parent.name, str(config["profile"]), str(config["dataset"]))
        return entities.tags_of(stored, self.identity, shade, known.command, design)

    def _describe(self, run: MirroredRun, stored: StoredTrial, known: _Suite) -> None:
        """Give a run what does not change: also one that a kill, or an earlier version, left without it."""
        shade = known.colours.get(stored.trial["setting"]) or colour(stored.trial["setting"])
        tags = self._tags(stored, shade, known)
        params = entities.params_of(stored.trial["config"])
        with contextlib.suppress(Exception):  # parameters of an earlier version cannot be changed
            self.client.log_batch(run.run_id, params=params)
        named = {**tags, "mlflow.runName": entities.run_name(stored), TAG: run.position.to_tag()}
        self.client.log_batch(run.run_id, tags=entities.run_tags(named))
        with contextlib.suppress(Exception):  # servers before 2.4 know no datasets
            self.client.log_inputs(run.run_id, entities.datasets_of(stored))
        run.described = True

    def _send(self, run: MirroredRun, stored: StoredTrial, known: _Suite, end: str, *, live: bool) -> None:
        known.extractors |= {s["extractor"] for line in stored.evaluations for s in line["scores"]}
        before = run.position
        new = replace(
            stored,
            history=[line for line in stored.history if before.lacks(line)],
            evaluations=[line for line in stored.evaluations if before.lacks(line)],
        )
        self._log_metrics(run.run_id, entities.metrics_of(new, before.seconds, before.images))
        epochs = [line for line in new.history if line["kind"] == "epoch"]
        steps = [line["step"] for line in new.history if line["kind"] == "step"]
        evaluated = {line["epoch"] for line in new.evaluations}
        sent = self._send_samples(run.run_id, stored, before.samples)
        run.position = replace(
            before,
            step=max(steps, default=before.step),
            evaluated=before.evaluated | evaluated,
            samples=before.samples | sent,
        )
        if epochs:
            last = epochs[-1]
            run.position = replace(
                run.position, epoch=last["epoch"], seconds=last["train_seconds"], images=last["images"]
            )
        self._close(run, stored, end, live=live)

    def _log_metrics(self, run_id: str, metrics: list[Metric]) -> None:
        for start in range(0, len(metrics), _CHUNK):
            self.client.log_batch(run_id, metrics=metrics[start : start + _CHUNK])

    def _send_samples(self, run_id: str, stored: StoredTrial, known: frozenset[int]) -> set[int]:
        """Send the sample grids of evaluations that the run does not have, and say of which epochs they are."""
        import numpy as np

        sent = set()
        for line in stored.evaluations:
            epoch = line["epoch"]
            path = stored.path / SAMPLES / f"epoch-{epoch:04d}.png"
            if epoch in known or not path.exists():
                continue
            try:
                grid = np.asarray(read_sample_grid(path))
            except RecordError as error:
                self.unreadable.append(error.line)
            else:
                with server.uploading():
                    self.client.log_image(run_id, grid, key=SAMPLES_KEY, step=epoch)
                    if epoch == stored.trial["config"]["epochs"]:
                        self.client.log_image(run_id, grid, key=LAST_KEY, step=epoch)
            sent.add(epoch)
        return sent

    def _close(self, run: MirroredRun, stored: StoredTrial, end: str, *, live: bool) -> None:
        record = stored.record
        run.closed = record is not None or not live
        if not run.closed:
            self._tag(run, {TAG: run.position.to_tag()})
            self.client.update_run(run.run_id, status="RUNNING")
            return
        status = record["status"] if record else "killed"
        directory = RecordDirectory(stored.path)
        with server.uploading():
            for weights in (directory.weights, directory.average_weights):
                self._log_file(run.run_id, weights)
            for name in _FILES:
                self._log_file(run.run_id, stored.path / name, "record")
        seconds = (record["train_seconds"] + record["evaluate_seconds"]) if record else 0
        run.position = replace(run.position, end=end)
        reason = printable(str((record or NO_RECORD).get("reason") or ""))
        self._tag(run, {"status": status, "reason": reason, TAG: run.position.to_tag()})
        finished = entities.started_ms(stored) + int(1000 * seconds)
        self.client.set_terminated(run.run_id, status=_RUN_STATUS.get(status, "KILLED"), end_time=finished)

    def _tag(self, run: MirroredRun, tags: dict[str, str]) -> None:
        self.client.log_batch(run.run_id, tags=entities.run_tags(tags))

    def _log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Copy a file of a record; a link may lead anywhere, and what may not be read is a fault of the record."""
        if may_be_copied(path):
            self.client.log_artifact(run_id, str(path), folder)


def may_be_copied(path: Path) -> bool:
    """True for a file, no link, that this process may read."""
    return path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)


def sync_suite(
    mirror: Mirror, suite_folder: Path, report: Callable[[str], None] = lambda _: None, *, last: bool = True
) -> int:
    """Bring the runs of a suite up to their records; damaged and unreadable records are noted and left out.

    Args:
        mirror: The mirror.
        suite_folder: ``RESULTS/<suite>``.
        report: Called with the name of every record whose run is complete now.
        last: Whether runs of trials that are under way elsewhere, and records that are left out, are reported too.

    Returns:
        The number of runs.
    """
    count = 0
    for path in trial_folders(suite_folder):
        try:
            has_run = mirror.sync(path)
        except RecordError as error:
            mirror.unreadable.append(error.line)
            has_run, complete = False, last
        else:
            complete = last or (has_run and mirror.is_complete(path))
        count += has_run
        if complete:
            report(path.name)
    return count


def _end_of(stored: StoredTrial) -> str:
    """Return what tells one end of a trial from another; nothing for a trial without one."""
    if stored.record is None:
        return ""
    text = json.dumps([stored.environment["started"], stored.record], sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _scored_with(stored: StoredTrial) -> set[str]:
    """Return the extractors that the scores of a record's end are of, as the keys of metrics name them."""
    names = (stored.record or NO_RECORD).get("final") or {}
    return {entities.metric_key(name).partition(".")[2] for name in names if "[" in name}
