"""The MLflow mirror of records; a replay can rebuild it at any time.

A replay can be repeated: a run is found by its trial and the identity of its results folder, and a tag of the run says
how far it mirrors the record. The runs of other results folders are never touched. Of several followers and replays of
one suite, the one that holds the suite's mirror lock writes; it mirrors every trial of the suite, also those of other
processes. The lock of a trial without an end tells whether it is still running.

Here is decided which run a record has, what of it that lacks, and in which order it is sent; ``entities`` says what a
record is in MLflow's terms, and a ``TrackingStore`` sends the requests. Nothing outside this package imports mlflow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.core.errors import RecordError
from gan_bench.core.text import printable
from gan_bench.records.folders import fault_of, read_or_error, read_plan, suite_of
from gan_bench.records.json_files import unreadable, without_remedy
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.plan import Suites, read_suites
from gan_bench.records.reader import StoredTrial, read_header
from gan_bench.records.summary import setting_id, size_and_time
from gan_bench.tracking import entities, images, server
from gan_bench.tracking.entities import ALTERED_TAG, PARENT_TAG, POSITION_TAG, Position
from gan_bench.tracking.store import EDITED, TrackingStore, link_into, user_tags
from gan_bench.tracking.views import differing_params

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass
class MirroredRun:
    """A run, and how far it mirrors its record.

    Attributes:
        run_id: Its id in MLflow.
        started: When its trial first started, as the record says.
        position: How far it mirrors the record.
        described: Whether it has its parameters, tags and datasets.
        altered: Its tag that says which file of the record is not what was saved.
        parent: The run of its setting.
        status: MLflow's word for how it ended or stands.
        ended_ms: When its trial ended, in milliseconds, or 0.
    """

    run_id: str
    started: str
    position: Position = field(default_factory=Position)
    described: bool = False
    altered: str = ""
    parent: str = ""
    status: str = "RUNNING"
    ended_ms: int = 0

    @property
    def closed(self) -> bool:
        """True if it has the end of its trial, or its trial is not trained any more."""
        return self.status != "RUNNING"


@dataclass
class SettingRun:
    """The parent run of a setting.

    Attributes:
        run_id: Its id in MLflow.
        shown: Digest of what it shows: numbers and words.
        curves: Digest of its curves and of whose images it has; MLflow keeps every value that a metric ever had, so
            others need a new run.
        status: MLflow's word for how it stands.
        params: Names of its parameters.
    """

    run_id: str
    shown: str = ""
    curves: str = ""
    status: str = "RUNNING"
    params: set[str] = field(default_factory=set)


@dataclass
class SuiteRuns:
    """A suite's experiment, its runs by trial and by setting, and colours of settings.

    Attributes:
        suite: Its name, which may differ from that of its folder.
        folder: What it is read from.
        seen: Sizes and times of the files of each record when its run was brought up to it, and that run, or what
            MLflow refused of it.
        scores: What was logged, as ``METRIC.EXTRACTOR``.
    """

    suite: str
    folder: Path
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


class Mirror:
    """Writes the records of a results folder into MLflow.

    Args:
        uri: Tracking URI.
        results: The results folder; artifacts lie in it unless a server keeps them.
        prefix: Put before the suites' names in the names of experiments.

    Attributes:
        store: What MLflow holds for the folder.
        unreadable: Messages about records and sample grids that were left out.
        refused: Messages about runs of which MLflow refused something, each once.

    Raises:
        Exception: Any error of MLflow when it cannot be reached.
    """

    def __init__(self, uri: str, results: Path, prefix: str = "") -> None:
        self.store = TrackingStore(uri, results, prefix)
        self.unreadable: list[str] = []
        self.refused: dict[str, None] = {}
        self._suites: dict[Path, SuiteRuns] = {}

    @property
    def experiments(self) -> dict[str, str]:
        """The experiments so far, by suite."""
        return {known.suite: known.experiment for known in self._suites.values()}

    def suite(self, folder: Path) -> SuiteRuns:
        """Return the runs of a suite by its folder; its experiment is created if missing."""
        if folder not in self._suites:
            suite = suite_of(folder)
            experiment = self.store.experiment(suite)
            runs, settings = self._existing_runs(experiment)
            try:
                trials = read_plan(folder)
            except RecordError:  # colours are optional
                trials = []
            columns, colours, planned = differing_params(trials), entities.colours_of(trials), read_suites(folder)
            known = SuiteRuns(suite, folder, experiment, runs, settings, colours, columns, planned)
            self._suites[folder] = known
        return self._suites[folder]

    def _existing_runs(self, experiment: str) -> tuple[dict[str, MirroredRun], dict[str, SettingRun]]:
        """Return the runs of this results folder by trial and by setting; duplicates are deleted."""
        trials: dict[str, list[Run]] = {}
        settings: dict[str, list[Run]] = {}
        for run in self.store.find(experiment):
            if trial := run.data.tags.get(entities.TRIAL_TAG):
                trials.setdefault(trial, []).append(run)
            elif setting := run.data.tags.get(entities.SETTING_TAG):
                settings.setdefault(setting, []).append(run)
        runs = {trial: self._read_run(self._only(found)) for trial, found in trials.items()}
        return runs, {setting: self._read_setting(self._only(found)) for setting, found in settings.items()}

    def _only(self, found: list[Run]) -> Run:
        """Delete all but one of duplicate runs, which a kill or a lost answer may leave.

        Of the last start of its trial the one that people wrote on stays, else the one that has most.
        """

        def worth(run: Run) -> tuple[str, bool, bool, int, int, int]:
            tags, position = run.data.tags, Position.from_tag(run.data.tags.get(POSITION_TAG))
            has_most = bool(position.end or tags.get(entities.SHOWN_TAG)), position.epoch, len(run.data.metrics)
            return tags.get(entities.STARTED_TAG, ""), bool(user_tags(tags)), *has_most, run.info.start_time

        best, *others = sorted(found, key=worth, reverse=True)
        self.store.supersede(best.info.run_id, others)
        return best

    def _read_run(self, run: Run) -> MirroredRun:
        tags = run.data.tags
        position = Position.from_tag(tags.get(POSITION_TAG))
        if self.store.has_lost_files(run):
            position = replace(position, samples=frozenset(), end="")
        return MirroredRun(
            run.info.run_id,
            tags.get(entities.STARTED_TAG, ""),
            position,
            bool(run.data.params) and POSITION_TAG in tags and tags.get(entities.RESULTS_TAG) == self.store.identity,
            tags.get(ALTERED_TAG, ""),
            tags.get(PARENT_TAG, ""),
            run.info.status,
            run.info.end_time or 0,
        )

    def _read_setting(self, run: Run) -> SettingRun:
        tags = run.data.tags
        is_lost = images.LOGGED_TAG in tags and self.store.has_lost_files(run)
        digests = tags.get(entities.SHOWN_TAG, ""), "lost" if is_lost else tags.get(entities.CURVES_TAG, "")
        return SettingRun(run.info.run_id, *digests, run.info.status, set(run.data.params))

    @contextlib.contextmanager
    def noting_refusals(self, name: str) -> Iterator[None]:
        """Note that MLflow refuses a run's content, and continue with others."""
        try:
            yield
        except Exception as error:
            if not server.is_refusal(error):
                raise
            why = server.describe_error(error, self.store.uri)
            if isinstance(error, server.UploadError):  # one server gives one reason, so it is said once
                self.refused[f"MLflow does not take all files of runs ({why}){server.hint(error)}"] = None
            else:
                self.refused[f"{name}: MLflow does not take all of its run ({why})"] = None

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
                found = error  # remembered, or its files would be sent again each time
            known.seen[path] = state, found
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        return found

    def _brought_up(self, path: Path, known: SuiteRuns, *, live: bool) -> MirroredRun:
        header = read_header(path)
        run = self._run_of(header, known)
        if not header.added_fault and run.position.added - entities.digests_of_added(header):
            run.started = "other scores were added"  # MLflow keeps those that it has
            run = self._run_of(header, known)
        end = entities.end_of(header)
        is_sent = bool(end) and run.position.end == end
        without_files: server.UploadError | None = None
        found = read_or_error(path, steps=not is_sent)
        if isinstance(found, StoredTrial):
            recorded = found.as_recorded()
            known.scores |= entities.scores_of(recorded)
        elif not is_sent:
            raise found
        if not is_sent:
            lines = replace(header, history=recorded.history, evaluations=recorded.evaluations)
            without_files = self._send(run, lines, end, live=live)
        if end:
            self._mark_if_altered(run, found)
        if without_files is not None:
            raise without_files
        return run

    def _mark_if_altered(self, run: MirroredRun, found: StoredTrial | RecordError) -> None:
        """Tag a run whose record is not what was saved, or remove the tag."""
        fault = fault_of(found)
        text = "" if fault is None else printable(without_remedy(fault))
        if text != run.altered:
            self.store.tag(run.run_id, {ALTERED_TAG: text})
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
            tags = {**self._tags(stored, known), PARENT_TAG: parent}
            made = self.store.create(known.experiment, entities.started_ms(stored), tags, *entities.END_TAGS)
            run = known.runs[trial_id] = MirroredRun(made, started, parent=parent)
            if replaced is not None:
                self.store.supersede(made, [self.store.client.get_run(replaced.run_id)])
        if not run.described:
            self._describe(run, stored, {} if is_new else self._tags(stored, known))
        if run.parent != parent:  # the setting's run was deleted or made again
            self.store.tag(run.run_id, {PARENT_TAG: parent})
            run.parent = parent
        return run

    def _setting_of(self, stored: StoredTrial, known: SuiteRuns) -> SettingRun:
        """Find the run of a trial's setting, or create it."""
        key = setting_id(stored.trial["config"])
        found = known.settings.get(key)
        if found is None:
            tags = entities.setting_tags_of(stored, self.store.identity, known.colours)
            made = self.store.create(known.experiment, entities.started_ms(stored), tags)
            found = known.settings[key] = SettingRun(made)
        lacking = [name for name in known.columns if name not in found.params]
        if lacking:  # its page shows all of them beside every image, so they are few
            values = entities.config_values(stored.trial["config"])
            self.store.log(found.run_id, params={name: values[name] for name in lacking if name in values})
            found.params |= set(lacking)
        return found

    def _tags(self, stored: StoredTrial, known: SuiteRuns) -> dict[str, str]:
        return entities.tags_of(stored, self.store.identity, known.colours, known.planned)

    def _describe(self, run: MirroredRun, stored: StoredTrial, tags: dict[str, str]) -> None:
        """Send the constant content of a run, if it lacks it."""
        params = entities.config_values(stored.trial["config"])
        with contextlib.suppress(Exception):  # parameters of an earlier version cannot be changed
            self.store.log(run.run_id, params=params)
        if tags:
            kept = {name: value for name, value in tags.items() if name not in EDITED}  # users may have changed them
            self.store.tag(run.run_id, {**kept, POSITION_TAG: run.position.to_tag()})
        with contextlib.suppress(Exception):  # servers before 2.4 know no datasets
            self.store.client.log_inputs(run.run_id, entities.datasets_of(stored))
        run.described = True

    def _send(self, run: MirroredRun, stored: StoredTrial, end: str, *, live: bool) -> server.UploadError | None:
        """Send the new content of a trial, files before the position tag; return why files were refused."""
        before = run.position
        new = replace(
            stored,
            history=[line for line in entities.whole_pieces(stored) if before.lacks(line)],
            evaluations=[line for line in stored.evaluations if before.lacks(line)],
        )
        closed = stored.record is not None or not live
        refused = None
        try:
            with self.store.upload(run.run_id) as folder:
                sent = self.stage_samples(folder, stored, before.samples)
                if closed:
                    link_into(folder, entities.files_of(stored))
        except server.UploadError as error:
            refused, sent = error, set()
        position = before.after(new, sent, end if closed and not refused else before.end)
        position = replace(position, added=entities.digests_of_added(stored) if closed else before.added)
        tags = {POSITION_TAG: position.to_tag(), **({images.LOGGED_TAG: "True"} if position.samples else {})}
        if closed:
            tags |= entities.end_tags_of(stored)
        added = stored.added_file["additions"] if closed and stored.added_file else []
        metrics = entities.metrics_of(new, before.seconds, before.images, added)
        if closed:
            run.status, run.ended_ms = entities.status_of(stored), entities.ended_ms(stored)
            self.store.set_status(run.run_id, run.status, run.ended_ms)
        elif run.closed:
            self.store.set_status(run.run_id, "RUNNING")
            run.status = "RUNNING"
        self.store.log(run.run_id, metrics, tags)  # the position tag comes last, as it means that everything is there
        run.position = position  # not earlier: if MLflow refuses something, everything is sent again
        return refused

    def stage_samples(self, folder: Path, stored: StoredTrial, known: frozenset[int]) -> set[int]:
        """Stage the sample grids that the run lacks, and return their epochs."""
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
