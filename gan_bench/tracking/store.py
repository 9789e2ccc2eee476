"""MLflow's experiments and runs of a results folder, and the ownership of their tags."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from gan_bench.core.atomic import open_own
from gan_bench.core.errors import UserError
from gan_bench.core.text import printable
from gan_bench.records.layout import LOCKS
from gan_bench.records.lock import Lock
from gan_bench.records.shared import results_identity
from gan_bench.tracking import server
from gan_bench.tracking.database import database_file, move_run, prepare_database, probe
from gan_bench.tracking.entities import LONGEST_TAG, NAME_TAG, NOTE_TAG, RESULTS_TAG, digest
from gan_bench.tracking.own_runs import adopt_runs
from gan_bench.tracking.server import ARTIFACTS, is_default, server_page

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Metric, Run

_PAGE = 1000
_CHUNK = 900
"""Metrics per request; MLflow accepts 1,000 values of all kinds."""
LOG = ".mlflow.log"
"""Log file of the mirror's process in a results folder."""
OWN_TAG = "gan_bench.own"
"""Tag that lists the tags written by gan_bench; all others are users'."""
COLOUR_TAG = "mlflow.runColor"
EDITED = (NAME_TAG, NOTE_TAG, COLOUR_TAG)
"""Tags that users may edit: listed with a digest of gan_bench's value."""
REPLACED_TAG = "gan_bench.replaced"
"""Tag with the run that replaced a deleted one, which is then not restored with its experiment."""
_MADE_TAG = "gan_bench.made"
"""Tag that identifies a run whose creation was not answered."""


def mirror_lock(suite_folder: Path, uri: str) -> Lock:
    """Return the lock of a suite's mirror, the same with or without a final slash of the location."""
    return Lock(suite_folder / LOCKS, f"mirror-{hashlib.sha256(uri.rstrip('/').encode()).hexdigest()[:8]}")


@contextlib.contextmanager
def creation_lock(uri: str, results: Path, patience: float | None = None) -> Iterator[None]:
    """Lock the creation and upgrade of a database, and of experiments, as MLflow does not.

    Args:
        uri: The database.
        results: The results folder.
        patience: Seconds to wait for another process; None waits for as long as it takes.

    Raises:
        UserError: The lock cannot be had, or another process has it for longer.
    """
    if not uri.startswith("sqlite:"):
        yield
        return
    file = database_file(uri)
    if is_default(uri, results) or file is None or not file.parent.is_dir():
        lock = Lock(results / LOCKS, "mlflow")
    else:  # several results folders share it
        lock = Lock(file.parent, f".{file.name}")
    with lock:
        if patience is None:
            lock.wait()
        elif owner := lock.acquire(patience):
            raise UserError(f"{owner} holds {lock.file}; try again when that has ended")
        yield


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


def _local_path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def may_be_copied(path: Path) -> bool:
    """True for a readable regular file; a link may lead anywhere."""
    return path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)


def link_into(folder: Path, files: Mapping[str, Path]) -> None:
    """Link files symbolically into a folder under other names; files that may not be copied are left out."""
    for name, path in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if may_be_copied(path):
            (folder / name).symlink_to(path.resolve())


class TrackingStore:
    """Finds, creates and writes experiments and runs, only those of this results folder.

    Args:
        uri: Tracking URI.
        results: The results folder; artifacts lie in it unless a server keeps them.
        prefix: Put before the suites' names in the names of experiments.

    Attributes:
        client: MLflow's client.
        identity: What tells this results folder from others.
        is_own: Whether it is the database beside the results.
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
        self._name_tag = RESULTS_TAG if self.is_own else f"{RESULTS_TAG}.{self.identity}"
        with creation_lock(self.uri, self.results):
            if (file := database_file(uri)) is not None:
                self.notices += prepare_database(uri, file, is_ours=self.is_own)
            probe(uri)
            self.client: MlflowClient = MlflowClient(tracking_uri=uri)
            if self.is_own:
                adopt_runs(results, self.identity)

    def experiment(self, suite: str) -> str:
        """Return the id of a suite's experiment, created if needed; also if users renamed it.

        One that was deleted is restored, which is said.

        Raises:
            UserError: It was deleted and holds runs of others, which would come back as well.
        """
        name = f"{self.prefix}{suite}"
        with creation_lock(self.uri, self.results):
            found = self._experiment_of(name)
            if found and found.lifecycle_stage == "deleted":
                if self._has_runs_of_others(found.experiment_id):
                    whose = "of other results" if self.is_own else "that gan_bench did not make"
                    what = f"the MLflow experiment {found.name} was deleted, with runs {whose}"
                    raise UserError(f"{what}; restore it there, or choose another name with --experiment-prefix")
                self._restore(found)
            made: str = found.experiment_id if found else self._create_experiment(name, suite)
            if found is None or found.tags.get(self._name_tag) != name:
                with contextlib.suppress(Exception):  # without it, the name finds the experiment
                    self.client.set_experiment_tag(made, self._name_tag, name)
            return made

    def _experiment_of(self, name: str) -> Experiment | None:
        """Return the experiment of a suite of this folder, possibly renamed; a deleted one comes last."""
        from mlflow.entities import ViewType

        tagged = self.client.search_experiments(ViewType.ALL, filter_string=f"tags.`{self._name_tag}` LIKE '%'")
        found = [each for each in tagged if each.tags[self._name_tag] == name]
        if named := self.client.get_experiment_by_name(name):
            found.append(named)
        return min(found, key=lambda each: each.lifecycle_stage == "deleted", default=None)

    def _restore(self, experiment: Experiment) -> None:
        """Restore an experiment and its runs, without those that had been replaced."""
        self.client.restore_experiment(experiment.experiment_id)
        replaced = f"tags.`{REPLACED_TAG}` LIKE '%'"
        for run in list(self._search_runs(experiment.experiment_id, filter_string=replaced)):
            self.client.delete_run(run.info.run_id)
        said = f"the MLflow experiment {experiment.name} was deleted; it is restored, with all of its runs"
        self.notices.append(said)

    def _has_runs_of_others(self, experiment: str) -> bool:
        from mlflow.entities import ViewType

        found = self._search_runs(experiment, run_view_type=ViewType.ALL)
        if self.is_own:
            return not all(map(self.is_mine, found))
        return any(RESULTS_TAG not in run.data.tags for run in found)

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

    def create(self, experiment: str, start_time: int, tags: Mapping[str, str], *later: str) -> str:
        """Create a run, without a duplicate if a server's answer is lost.

        Args:
            experiment: Id of its experiment.
            start_time: In milliseconds since 1970.
            tags: Its tags, its name among them.
            later: Names of tags that it gets later.

        Returns:
            Its id.
        """
        own = own_tag_value({*(_own_tag_entry(*tag) for tag in tags.items()), *later})
        marked = {OWN_TAG: own, **tags, _MADE_TAG: secrets.token_hex(8)}

        def sent() -> str:
            made = self.client.create_run(experiment, start_time=start_time, tags=marked)
            self._keep_files_here(made)
            return str(made.info.run_id)

        with server.sent_once():
            try:
                return sent()
            except Exception:  # the answer may be lost
                mine = f"tags.`{_MADE_TAG}` = '{marked[_MADE_TAG]}'"
                found = self.client.search_runs([experiment], filter_string=mine, max_results=1)
                return str(found[0].info.run_id) if found else sent()

    def supersede(self, kept: str, others: Iterable[Run]) -> None:
        """Delete runs that another one replaces; tags of users are copied."""
        for other in others:
            for name, value in merged_user_tags(self.client.get_run(kept).data.tags, other.data.tags).items():
                self.client.set_tag(kept, name, value)
            self.delete_replaced(other.info.run_id, kept)

    def delete_replaced(self, run_id: str, by: str) -> None:
        """Delete a run that another one replaces."""
        self.client.set_tag(run_id, REPLACED_TAG, by)
        self.client.delete_run(run_id)

    def log(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> None:
        """Log metrics in as few requests as possible, and everything else with the last."""
        from mlflow.entities import Param, RunTag

        *chunks, last = [metrics[start : start + _CHUNK] for start in range(0, len(metrics), _CHUNK)] or [metrics]
        for chunk in chunks:
            self.client.log_batch(run_id, metrics=chunk)
        made = [Param(name, printable(str(value))[:500]) for name, value in (params or {}).items()]
        marked = [RunTag(name, value[:LONGEST_TAG]) for name, value in (tags or {}).items()]
        self.client.log_batch(run_id, metrics=last, params=made, tags=marked)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run in one request."""
        self.log(run_id, tags=tags)

    def set_status(self, run_id: str, status: str, ended_ms: int | None = None) -> None:
        """Set a run to running, or end it, now or at a time in milliseconds since 1970."""
        if status == "RUNNING":
            self.client.update_run(run_id, status=status)
        else:
            self.client.set_terminated(run_id, status=status, end_time=ended_ms)

    @contextlib.contextmanager
    def upload(self, run_id: str) -> Iterator[Path]:
        """Upload the content of a temporary folder as artifacts of a run, in one call.

        Raises:
            UploadError: They were not taken.
        """
        with tempfile.TemporaryDirectory(prefix="gan_bench-") as name:
            yield Path(name)
            if any(Path(name).iterdir()):
                with server.uploading():
                    try:
                        self.client.log_artifacts(run_id, name)
                    except Exception as error:
                        raise server.UploadError(error) from error

    def has_lost_files(self, run: Run) -> bool:
        """True if the files of a run, which lay in a folder of this machine, are gone: the folder was removed."""
        uri = str(run.info.artifact_uri)
        moved = self.results.resolve() / ARTIFACTS / uri.rpartition(f"/{ARTIFACTS}/")[2]  # since the run was found
        return uri.startswith("file:") and not _local_path(uri).exists() and not moved.exists()

    def find(self, experiment: str) -> Iterator[Run]:
        """Yield the runs of this results folder in an experiment."""
        mine = "" if self.is_own else f"tags.`{RESULTS_TAG}` = '{self.identity}'"
        for run in self._search_runs(experiment, filter_string=mine):
            if self.is_mine(run):
                self._keep_files_here(run)
                if REPLACED_TAG in run.data.tags:  # a person restored it
                    self.client.delete_tag(run.info.run_id, REPLACED_TAG)
                yield run

    def is_mine(self, run: Run) -> bool:
        """True if a run belongs to this results folder."""
        return bool(run.data.tags.get(RESULTS_TAG) == self.identity)

    def _keep_files_here(self, run: Run) -> None:
        """Set a run's artifact path beside the results, for a bare database.

        MLflow puts them where the folder is, or was, that made the experiment: another one, or an earlier place. Files
        that are still there stay the run's: this folder is a copy, which may be removed again.
        """
        found = re.fullmatch(rf"file:.*/{ARTIFACTS}(/.*)", str(run.info.artifact_uri))
        if found is None or self.on_server:
            return
        here = (self.results.resolve() / ARTIFACTS).as_uri() + found[1]
        if here != found[0] and not _local_path(found[0]).exists():
            move_run(self.uri, run.info.run_id, here)

    def _search_runs(self, experiment: str, **which: object) -> Iterator[Run]:
        """Yield the runs of an experiment, found page by page."""
        token = None
        while True:
            page = self.client.search_runs([experiment], max_results=_PAGE, page_token=token, **which)
            yield from page
            token = page.token
            if not token:
                return


def own_tag_value(own: Iterable[str]) -> str:
    """Return the value of ``OWN_TAG``."""
    return json.dumps(sorted(own))


def tags_we_wrote(tags: Mapping[str, str]) -> set[str]:
    """Return the tags that gan_bench wrote on a run, from ``OWN_TAG``; all if that was edited."""
    try:
        return set(json.loads(tags[OWN_TAG]))
    except (KeyError, ValueError, TypeError):
        return {_own_tag_entry(*tag) for tag in tags.items()}


def _own_tag_entry(name: str, value: str) -> str:
    """Return the entry of a tag in ``OWN_TAG``."""
    return digest([name, value]) if name in EDITED else name


def user_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the users' tags of a run: their own, and edited names, notes and colours."""
    own = tags_we_wrote(tags)
    return {
        name: value
        for name, value in tags.items()
        if value
        and _own_tag_entry(name, value) not in own
        and (name in EDITED or not name.startswith(("mlflow.", "gan_bench.")))
    }


def merged_user_tags(tags: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Return the users' tags that a run takes over from the one that it replaces.

    Args:
        tags: Those that it has: of what people wrote on both, theirs stay; of two notes it gets both.
        other: Those of the other one.
    """
    own, kept, theirs = tags_we_wrote(tags), user_tags(tags), user_tags(other)
    taken = {
        name: value for name, value in theirs.items() if name not in kept and _own_tag_entry(name, value) not in own
    }
    notes = kept.get(NOTE_TAG, ""), theirs.get(NOTE_TAG, "")
    return taken if notes[1] in notes[0] else {**taken, NOTE_TAG: "\n\n".join(filter(None, notes))}
