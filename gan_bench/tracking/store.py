"""What MLflow holds for a results folder: its experiments, and its runs by trial."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from gan_bench.core.atomic import open_own
from gan_bench.core.errors import UserError
from gan_bench.records.layout import LOCKS
from gan_bench.records.lock import Lock
from gan_bench.records.shared import results_identity
from gan_bench.tracking import entities, server
from gan_bench.tracking.database import database_file, move_run, point_into, prepare_database, probe
from gan_bench.tracking.images import LOGGED_TAG
from gan_bench.tracking.runs import (
    ALTERED_TAG,
    CURVES_TAG,
    OWN_TAG,
    SHOWN_TAG,
    TAG,
    MirroredRun,
    Position,
    SettingRun,
    listed,
    mark,
    of_people,
    taken_over,
)
from gan_bench.tracking.server import ARTIFACTS, is_default, server_page

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

_PAGE = 1000
LOG = ".mlflow.log"
"""File in a results folder that takes what the mirror's process and its libraries say."""
_MADE_TAG = "gan_bench.made"
"""Tells a run whose creation was not answered from every other."""


def open_log(path: Path) -> IO[bytes]:
    """Open the log of the mirror to append to it.

    Raises:
        UserError: It is a link, which may lead to any file, or cannot be written.
    """
    try:
        return open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        why = "it is a link" if path.is_symlink() else error.strerror
        raise UserError(f"{path} cannot be written ({why}); remove it, or use --no-tracking") from None


def _place(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def has_lost_files(run: Run, results: Path) -> bool:
    """True if the files of a run, which lay in a folder of this machine, are gone: somebody removed that.

    Args:
        run: The run, as it was found.
        results: The results folder, which may have been moved since.
    """
    uri = str(run.info.artifact_uri)
    moved = results.resolve() / ARTIFACTS / uri.rpartition(f"/{ARTIFACTS}/")[2]
    return uri.startswith("file:") and not _place(uri).exists() and not moved.exists()


class TrackingStore:
    """Finds and creates experiments and runs. Only the runs of this results folder are touched.

    Args:
        uri: Tracking URI.
        results: The results folder; artifacts lie in it unless a server keeps them.
        prefix: Put before the suites' names in the names of experiments.

    Attributes:
        client: MLflow's client.
        identity: What tells this results folder from others.
        is_own: Whether it is the database beside the results, where no runs of others are.
        on_server: Whether a server keeps the files of runs.
        notices: What was found and mended, a sentence each.

    Raises:
        Exception: Any error of MLflow when it cannot be reached.
    """

    def __init__(self, uri: str, results: Path, prefix: str) -> None:
        server.configure()
        from mlflow import MlflowClient

        self.uri, self.results, self.prefix = uri, results, prefix
        self.is_own, self.on_server = is_default(uri, results), server_page(uri) is not None
        self.notices: list[str] = []
        self.identity = results_identity(results, self.notices.append)
        # The tag of an experiment with the name that this folder gave it; in a shared place each folder has its own.
        self._name_tag = entities.RESULTS_TAG if self.is_own else f"{entities.RESULTS_TAG}.{self.identity}"
        with self._creation_lock():
            if (file := database_file(uri)) is not None:
                self.notices += prepare_database(uri, file, is_ours=self.is_own)
            probe(uri)
            self.client: MlflowClient = MlflowClient(tracking_uri=uri)
            if self.is_own:
                point_into(results)

    @contextlib.contextmanager
    def _creation_lock(self) -> Iterator[None]:
        """Let one process at a time create the database and experiments: MLflow itself does not."""
        if not self.uri.startswith("sqlite:"):
            yield
            return
        file = database_file(self.uri)
        if self.is_own or file is None or not file.parent.is_dir():
            lock = Lock(self.results / LOCKS, "mlflow")
        else:  # several results folders share it
            lock = Lock(file.parent, f".{file.name}")
        with lock:
            lock.wait()
            yield

    def experiment(self, suite: str) -> str:
        """Return the id of a suite's experiment, created if need be, also of one that people renamed.

        One that was deleted is restored, which is said.

        Raises:
            UserError: It was deleted and holds runs of others, which would come back as well.
        """
        name = f"{self.prefix}{suite}"
        with self._creation_lock():
            found = self._tagged_experiment(name) or self.client.get_experiment_by_name(name)
            if found and found.lifecycle_stage == "deleted":
                if not self.is_own and self._has_runs_of_others(found.experiment_id):
                    what = f"the MLflow experiment {name} was deleted, with runs that gan_bench did not make"
                    raise UserError(f"{what}; restore it there, or choose another name with --experiment-prefix")
                self.client.restore_experiment(found.experiment_id)
                self.notices.append(f"the MLflow experiment {name} was deleted; it is restored, with all of its runs")
            made: str = found.experiment_id if found else self._create_experiment(name, suite)
            if found is None or found.tags.get(self._name_tag) != name:
                with contextlib.suppress(Exception):  # without it, the name finds the experiment
                    self.client.set_experiment_tag(made, self._name_tag, name)
            return made

    def _tagged_experiment(self, name: str) -> Experiment | None:
        """Return the experiment that was made for a suite of this folder, which people may have renamed."""
        found = self.client.search_experiments(filter_string=f"tags.`{self._name_tag}` LIKE '%'")
        return next((each for each in found if each.tags[self._name_tag] == name), None)

    def _has_runs_of_others(self, experiment: str) -> bool:
        from mlflow.entities import ViewType

        found = self._found(experiment, run_view_type=ViewType.ALL)
        return any(entities.RESULTS_TAG not in run.data.tags for run in found)

    def _create_experiment(self, name: str, suite: str) -> str:
        from mlflow.exceptions import MlflowException

        # A server has a place for files of its own; for a database alone MLflow would take the current folder.
        location = None if self.on_server else (self.results.resolve() / ARTIFACTS / suite).as_uri()
        try:
            made: str = self.client.create_experiment(name, artifact_location=location)
        except MlflowException:  # another machine was faster
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            made = found.experiment_id
        return made

    def create_run(self, experiment: str, start_time: int, tags: Mapping[str, str], *later: str) -> str:
        """Create a run, and no second one where a server's answer is lost.

        Args:
            experiment: Id of its experiment.
            start_time: In milliseconds since 1970.
            tags: Its tags, its name among them.
            later: Names of tags that it gets later.

        Returns:
            Its id.
        """
        own = listed({*(mark(*tag) for tag in tags.items()), *later})
        marked = {OWN_TAG: own, **tags, _MADE_TAG: secrets.token_hex(8)}

        def create() -> str:
            made = self.client.create_run(experiment, start_time=start_time, tags=marked)
            self._keep_files_here(made)
            return str(made.info.run_id)

        if not self.on_server:
            return create()
        from mlflow.exceptions import MlflowException

        left = server.retries()
        while True:
            try:
                with server.sent_once():
                    return create()
            except MlflowException:
                mine = f"tags.`{_MADE_TAG}` = '{marked[_MADE_TAG]}'"
                if found := self.client.search_runs([experiment], filter_string=mine, max_results=1):
                    return str(found[0].info.run_id)
                if not left:
                    raise
                left -= 1

    def supersede(self, kept: str, others: Iterable[Run]) -> None:
        """Delete runs that another one stands for; what people wrote on them goes along."""
        for other in others:
            for name, value in taken_over(self.client.get_run(kept).data.tags, other.data.tags).items():
                self.client.set_tag(kept, name, value)
            self.client.delete_run(other.info.run_id)

    def runs(self, experiment: str) -> tuple[dict[str, MirroredRun], dict[str, SettingRun]]:
        """Return the runs of this results folder by trial, and by setting; of a run made twice, one stays."""
        trials: dict[str, list[Run]] = {}
        settings: dict[str, list[Run]] = {}
        for run in self._own(experiment):
            if trial := run.data.tags.get(entities.TRIAL_TAG):
                trials.setdefault(trial, []).append(run)
            elif setting := run.data.tags.get(entities.SETTING_TAG):
                settings.setdefault(setting, []).append(run)
        known = {}
        for trial, found in trials.items():
            first = self._only(found)
            tags = first.data.tags
            position = Position.from_tag(tags.get(TAG))
            if has_lost_files(first, self.results):
                position = replace(position, samples=frozenset(), end="")
            known[trial] = MirroredRun(
                first.info.run_id,
                tags.get(entities.STARTED_TAG, ""),
                position,
                bool(first.data.params) and TAG in tags and tags.get(entities.RESULTS_TAG) == self.identity,
                tags.get(ALTERED_TAG, ""),
                tags.get(entities.PARENT_TAG, ""),
                first.info.status,
                first.info.end_time or 0,
            )
        parents = {}
        for setting, found in settings.items():
            first = self._only(found)
            tags = first.data.tags
            is_lost = LOGGED_TAG in tags and has_lost_files(first, self.results)
            digests = tags.get(SHOWN_TAG, ""), "lost" if is_lost else tags.get(CURVES_TAG, "")
            parents[setting] = SettingRun(first.info.run_id, *digests, first.info.status, set(first.data.params))
        return known, parents

    def _only(self, found: list[Run]) -> Run:
        """Delete all but one of runs that are one: a kill while one was made again leaves two, a lost answer too.

        Of the last start of its trial the one that people wrote on stays, else the one that has most.
        """

        def worth(run: Run) -> tuple[str, bool, bool, int, int, int]:
            tags, position = run.data.tags, Position.from_tag(run.data.tags.get(TAG))
            has_most = bool(position.end or tags.get(SHOWN_TAG)), position.epoch, len(run.data.metrics)
            return tags.get(entities.STARTED_TAG, ""), bool(of_people(tags)), *has_most, run.info.start_time

        best, *others = sorted(found, key=worth, reverse=True)
        self.supersede(best.info.run_id, others)
        return best

    def _own(self, experiment: str) -> Iterator[Run]:
        """Yield this folder's runs. In the database beside it, there are no others'."""
        mine = "" if self.is_own else f"tags.`{entities.RESULTS_TAG}` = '{self.identity}'"
        for run in self._found(experiment, filter_string=mine):
            if self.is_own or run.data.tags.get(entities.RESULTS_TAG) == self.identity:
                self._keep_files_here(run)
                yield run

    def _keep_files_here(self, run: Run) -> None:
        """Let the files of a run lie beside its results, where a database alone keeps them.

        MLflow puts them where the folder is, or was, that made the experiment: another one, or an earlier place. Files
        that are still there stay the run's: this folder is a copy, which may be removed again.
        """
        found = re.fullmatch(rf"file:.*/{ARTIFACTS}(/.*)", str(run.info.artifact_uri))
        if found is None or self.on_server or self.is_own:
            return
        here = (self.results.resolve() / ARTIFACTS).as_uri() + found[1]
        if here != found[0] and not _place(found[0]).exists():
            move_run(self.uri, run.info.run_id, here)

    def _found(self, experiment: str, **which: object) -> Iterator[Run]:
        """Yield the runs of an experiment, found page by page."""
        token = None
        while True:
            page = self.client.search_runs([experiment], max_results=_PAGE, page_token=token, **which)
            yield from page
            token = page.token
            if not token:
                return
