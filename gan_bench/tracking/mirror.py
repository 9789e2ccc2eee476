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
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.core.errors import RecordError
from gan_bench.core.text import printable
from gan_bench.records.folders import fault_of, folders_by_suite, read_or_error, read_plan
from gan_bench.records.json_files import REMEDY, unreadable
from gan_bench.records.layout import ADDED, LOCKS, RecordDirectory
from gan_bench.records.lock import Lock, trial_lock
from gan_bench.records.plan import Suites, read_suites
from gan_bench.records.reader import StoredTrial, read_header, read_trial
from gan_bench.records.schema import NO_RECORD
from gan_bench.records.summary import setting_id, size_and_time
from gan_bench.tracking import entities, images, server
from gan_bench.tracking.runs import ALTERED_TAG, EDITED, TAG, MirroredRun, SettingRun, digest
from gan_bench.tracking.store import TrackingStore
from gan_bench.tracking.views import colour, colours_of, differing_params

if TYPE_CHECKING:
    from mlflow.entities import Metric

_CHUNK = 900
"""Metrics of one request: MLflow takes 1,000 values of all kinds."""
_RUN_STATUS: Mapping[str, str] = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}
_FILES = ("trial.json", "environment.json", "record.json", "history.jsonl", "evaluations.jsonl", ADDED)


def mirror_lock(suite_folder: Path, uri: str) -> Lock:
    """Return the lock that makes one process the writer of a suite's mirror."""
    return Lock(suite_folder / LOCKS, f"mirror-{hashlib.sha256(uri.encode()).hexdigest()[:8]}")


@dataclass
class SuiteRuns:
    """What this process knows of a suite: its experiment, its runs by trial and by setting, and colours of settings.

    Attributes:
        suite: Its name, whatever its folder is called.
        folders: Those that it is read from.
        seen: Sizes and times of the files of each record when its run was brought up to it, and that run, or what
            MLflow refused of it.
        scores: What was logged, as ``METRIC.EXTRACTOR``.
    """

    suite: str
    folders: Sequence[Path]
    experiment: str
    runs: dict[str, MirroredRun]
    settings: dict[str, SettingRun]
    colours: dict[str, str]
    columns: tuple[str, ...]
    planned: Suites
    seen: dict[Path, tuple[object, MirroredRun | Exception]] = field(default_factory=dict)
    scores: set[str] = field(default_factory=set)

    def trials_of(self, setting: SettingRun) -> list[MirroredRun]:
        """Return the runs of the trials of a setting."""
        return [run for run in self.runs.values() if run.parent == setting.run_id]


class Mirror(TrackingStore):
    """Writes the records of a results folder into MLflow.

    Args:
        uri: Tracking URI.
        results: The results folder; artifacts lie in it unless a server keeps them.
        prefix: Put before the suites' names in the names of experiments.

    Attributes:
        unreadable: Messages about records and sample grids that were left out.
        refused: Messages about runs of which MLflow refused something, each once.

    Raises:
        Exception: Any error of MLflow when it cannot be reached.
    """

    def __init__(self, uri: str, results: Path, prefix: str = "") -> None:
        super().__init__(uri, results, prefix)
        self.unreadable: list[str] = []
        self.refused: dict[str, None] = {}
        self._suites: dict[Path, SuiteRuns] = {}
        self._read: dict[Path, tuple[str, Sequence[Path]]] = {}

    @property
    def experiments(self) -> dict[str, str]:
        """The experiments so far, by suite."""
        return {known.suite: known.experiment for known in self._suites.values()}

    def suite(self, folder: Path) -> SuiteRuns:
        """Return what is known of a suite, by its folder; its experiment is created if missing."""
        if folder not in self._suites:
            if folder not in self._read:  # of all suites at once: each reads the plans of all
                self._read = {
                    path: (name, each.read)
                    for name, each in folders_by_suite(self.results).items()
                    for path in each.read
                }
            suite, folders = self._read.get(folder, (folder.name, [folder]))
            experiment = self.experiment(suite)
            runs, settings = self.runs(experiment)
            try:
                trials = read_plan(folder)
            except RecordError:  # what shows runs apart does without
                trials = []
            columns, colours, planned = differing_params(trials), colours_of(trials), read_suites(folder)
            known = SuiteRuns(suite, folders, experiment, runs, settings, colours, columns, planned)
            self._suites[folder] = known
        return self._suites[folder]

    # ----------------------------------------------------------------------------------------------- a trial

    def sync(self, path: Path) -> MirroredRun | None:
        """Bring a trial's run up to its record; a trial without an end and without an owner is closed as killed.

        Args:
            path: The record directory.

        Returns:
            Its run; None where the trial has never started.

        Raises:
            RecordError: The record is damaged, or may not be read.
        """
        directory = RecordDirectory(path)
        try:
            directory.environment.stat()
        except PermissionError as error:
            raise unreadable(path, error) from None
        except OSError:
            return None
        known = self.suite(path.parent)
        live = not directory.record.exists() and trial_lock(directory).holder() is not None
        watched = directory.environment, directory.history, directory.evaluations, directory.record
        state = live, *map(size_and_time, watched)
        before, found = known.seen.get(path, (None, None))
        if before != state:
            try:
                found = self._brought_up(path, known, live=live)
            except Exception as error:
                if not server.is_refusal(error):
                    raise
                found = error  # remembered, or its files would be sent at every look
            known.seen[path] = state, found
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        return found

    def _brought_up(self, path: Path, known: SuiteRuns, *, live: bool) -> MirroredRun:
        header = read_header(path)
        run = self._run_of(header, known)
        end = _end_of(header)
        is_sent = bool(end) and run.position.end == end
        found = read_or_error(path, steps=not is_sent)
        if isinstance(found, StoredTrial):
            recorded = found.as_recorded()
            known.scores |= _scores_of(recorded)
        elif not is_sent:
            raise found
        if not is_sent:
            lines = replace(header, history=recorded.history, evaluations=recorded.evaluations)
            self._send(run, lines, end, live=live)
        elif run.status != _run_status(header):  # people can change it, also by mistake
            self._terminate(run, header)
        if end:
            self._mark_if_altered(run, found)
        return run

    def _mark_if_altered(self, run: MirroredRun, found: StoredTrial | RecordError) -> None:
        """Tag a run whose record is not what was saved, and take the tag back when it is again."""
        fault = fault_of(found)
        text = "" if fault is None else printable(str(fault).removesuffix(f"; {REMEDY}"))
        if text != run.altered:
            self.tag(run.run_id, {ALTERED_TAG: text})
            run.altered = text
        if fault is not None:
            self.unreadable.append(fault.line)
        elif isinstance(found, StoredTrial) and found.added_fault:
            self.unreadable.append(found.added_fault.line)

    def _run_of(self, stored: StoredTrial, known: SuiteRuns) -> MirroredRun:
        """Find the trial's run or create it. A run of an earlier start, taken back by --fresh, is replaced."""
        trial_id, started = stored.trial["id"], stored.environment["started"]
        run = known.runs.get(trial_id)
        replaced = None
        if run is not None and run.started not in ("", started):
            replaced, run = run, None
        parent = self._setting_of(stored, known).run_id
        is_new = run is None
        if run is None:
            tags = {**self._tags(stored, known), entities.PARENT_TAG: parent}
            made = self.create_run(known.experiment, entities.started_ms(stored), tags, "status", "reason")
            run = known.runs[trial_id] = MirroredRun(made, started, parent=parent)
            if replaced is not None:
                self.supersede(made, [self.client.get_run(replaced.run_id)])
        if not run.described:
            self._describe(run, stored, {} if is_new else self._tags(stored, known))
        if run.parent != parent:  # of an earlier version, or the setting's run was deleted or made again
            self.tag(run.run_id, {entities.PARENT_TAG: parent})
            run.parent = parent
        return run

    def _setting_of(self, stored: StoredTrial, known: SuiteRuns) -> SettingRun:
        """Find the run of a trial's setting, or create it."""
        key = setting_id(stored.trial["config"])
        found = known.settings.get(key)
        if found is None:
            tags = entities.setting_tags_of(stored, self.identity, self._colour(stored, known))
            made = self.create_run(known.experiment, entities.started_ms(stored), tags)
            found = known.settings[key] = SettingRun(made)
        lacking = [name for name in known.columns if name not in found.params]
        if lacking:  # its page shows all of them beside every image, so they are few
            values = entities.values_of(stored.trial["config"])
            params = [entities.param(name, values[name]) for name in lacking if name in values]
            self.client.log_batch(found.run_id, params=params)
            found.params |= set(lacking)
        return found

    @staticmethod
    def _colour(stored: StoredTrial, known: SuiteRuns) -> str:
        return known.colours.get(stored.trial["setting"]) or colour(stored.trial["setting"])

    def _tags(self, stored: StoredTrial, known: SuiteRuns) -> dict[str, str]:
        config = stored.trial["config"]
        suite, version, planned = str(config["suite"]), int(config["suite_version"]), known.planned
        design = planned.design(suite, version, str(config["profile"]), str(config["dataset"]))
        command = None if planned.is_of_another(suite, version) else next(iter(planned.commands.values()), None)
        return entities.tags_of(stored, self.identity, self._colour(stored, known), command, design)

    def _describe(self, run: MirroredRun, stored: StoredTrial, tags: dict[str, str]) -> None:
        """Give a run what does not change: also one that a kill, or an earlier version, left without it."""
        params = [entities.param(name, value) for name, value in entities.values_of(stored.trial["config"]).items()]
        with contextlib.suppress(Exception):  # parameters of an earlier version cannot be changed
            self.client.log_batch(run.run_id, params=params)
        if tags:
            kept = {name: value for name, value in tags.items() if name not in EDITED}  # people may have
            self.tag(run.run_id, {**kept, TAG: run.position.to_tag()})
        with contextlib.suppress(Exception):  # servers before 2.4 know no datasets
            self.client.log_inputs(run.run_id, entities.datasets_of(stored))
        run.described = True

    def _send(self, run: MirroredRun, stored: StoredTrial, end: str, *, live: bool) -> None:
        """Send what is new of a trial, its files before the tag that says so."""
        before = run.position
        new = replace(
            stored,
            history=[line for line in entities.whole_pieces(stored) if before.lacks(line)],
            evaluations=[line for line in stored.evaluations if before.lacks(line)],
        )
        epochs = [line for line in new.history if line["kind"] == "epoch"]
        steps = [line["step"] for line in new.history if line["kind"] == "step"]
        closed = stored.record is not None or not live
        with self.artifacts(run.run_id) as folder:
            sent = self._stage_samples(folder, stored, before.samples)
            if closed:
                self._stage_record(folder, stored)
        position = replace(
            before,
            step=max(steps, default=before.step),
            evaluated=before.evaluated | {line["epoch"] for line in new.evaluations},
            samples=before.samples | sent,
            end=end if closed else before.end,
        )
        if epochs:
            last = epochs[-1]
            position = replace(position, epoch=last["epoch"], seconds=last["train_seconds"], images=last["images"])
        tags = {TAG: position.to_tag(), **({images.LOGGED_TAG: "True"} if position.samples else {})}
        if closed:
            status = stored.record["status"] if stored.record else "killed"
            tags |= {"status": status, "reason": printable(str((stored.record or NO_RECORD).get("reason") or ""))}
        added = stored.added_file["additions"] if closed and stored.added_file else []
        metrics = entities.metrics_of(new, before.seconds, before.images, added)
        self.log(run.run_id, metrics, tags)
        run.position = position  # not before: where MLflow refuses something, all of it is sent again
        if closed:
            self._terminate(run, stored)
        elif run.closed:
            self.client.update_run(run.run_id, status="RUNNING")
            run.status = "RUNNING"

    def log(self, run_id: str, metrics: Sequence[Metric], tags: dict[str, str]) -> None:
        """Log metrics in as few requests as MLflow takes, and tags with the last of them."""
        *chunks, last = [metrics[start : start + _CHUNK] for start in range(0, len(metrics), _CHUNK)] or [metrics]
        for chunk in chunks:
            self.client.log_batch(run_id, metrics=chunk)
        self.client.log_batch(run_id, metrics=last, tags=entities.run_tags(tags))

    @contextlib.contextmanager
    def artifacts(self, run_id: str) -> Iterator[Path]:
        """Send what is put into a folder as artifacts of a run, in one call."""
        with tempfile.TemporaryDirectory(prefix="gan_bench-") as name:
            yield Path(name)
            if any(Path(name).iterdir()):
                with server.uploading():
                    self.client.log_artifacts(run_id, name)

    def _stage_samples(self, folder: Path, stored: StoredTrial, known: frozenset[int]) -> set[int]:
        """Stage the sample grids of evaluations that the run does not have, and say of which epochs they are."""
        sent = set()
        for line in stored.evaluations:
            epoch = line["epoch"]
            path = RecordDirectory(stored.path).sample(epoch)
            if epoch in known or not path.exists():
                continue
            time_ms = entities.started_ms(stored) + int(1000 * line.get("train_seconds", 0.0))
            try:
                images.stage(path, folder, epoch, time_ms, last=epoch == stored.trial["config"]["epochs"])
            except RecordError as error:
                self.unreadable.append(error.line)
            sent.add(epoch)
        return sent

    def send_samples(self, run_id: str, path: Path) -> bool:
        """Send every sample grid of a trial to another run, that of its setting; return whether there are any.

        Raises:
            RecordError: The record is damaged, or may not be read.
        """
        with self.artifacts(run_id) as folder:
            return bool(self._stage_samples(folder, read_trial(path, history=False), frozenset()))

    def _stage_record(self, folder: Path, stored: StoredTrial) -> None:
        """Stage the files of a record; a link may lead anywhere, and what may not be read is a fault of the record."""
        directory = RecordDirectory(stored.path)
        (folder / "record").mkdir()
        wanted = [(path, folder) for path in (directory.weights, directory.average_weights)]
        wanted += [(stored.path / name, folder / "record") for name in _FILES]
        for path, place in wanted:
            if may_be_copied(path):
                (place / path.name).symlink_to(path.resolve())

    def _terminate(self, run: MirroredRun, stored: StoredTrial) -> None:
        run.status, run.ended_ms = _run_status(stored), entities.ended_ms(stored)
        self.client.set_terminated(run.run_id, status=run.status, end_time=run.ended_ms)

    def tag(self, run_id: str, tags: dict[str, str]) -> None:
        """Set tags of a run in one request."""
        self.client.log_batch(run_id, tags=entities.run_tags(tags))


def may_be_copied(path: Path) -> bool:
    """True for a file, no link, that this process may read."""
    return path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)


def _run_status(stored: StoredTrial) -> str:
    """Return MLflow's word for how a trial ended; one without an end was killed."""
    return _RUN_STATUS.get(stored.record["status"], "KILLED") if stored.record else "KILLED"


def _end_of(stored: StoredTrial) -> str:
    """Return what tells one end of a trial from another; nothing for a trial without one."""
    if stored.record is None:
        return ""
    added = stored.added_file
    parts = [stored.environment["started"], stored.record, *([added["sha256"]] if added else [])]
    return digest(parts)


def _scores_of(stored: StoredTrial) -> set[str]:
    """Return the scores of a record, as ``METRIC.EXTRACTOR``."""
    named = {f"{score['metric']}.{score['extractor']}" for line in stored.evaluations for score in line["scores"]}
    return set(map(entities.fit_for_key, named))
