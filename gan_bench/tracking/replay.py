"""Updates MLflow to the records of a results folder."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gan_bench.core.errors import CopiedError, MisplacedError, RecordError, UserError
from gan_bench.records.folders import folders_by_suite, scan, trial_folders
from gan_bench.tracking import server
from gan_bench.tracking.answer import publish_answer, publish_settings, save_views
from gan_bench.tracking.mirror import Mirror
from gan_bench.tracking.server import shown
from gan_bench.tracking.store import mirror_lock
from gan_bench.tracking.views import View


@dataclass(frozen=True)
class Replay:
    """The result of a replay.

    Attributes:
        runs: Runs that are up to date.
        experiments: Ids of experiments by suite.
        unreadable: What was left out or is not to be believed, a sentence each.
        busy: Suites that a running process mirrors itself.
        views: Saved views by suite.
        notices: What was found and mended, a sentence each.
    """

    runs: int = 0
    experiments: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()
    views: Mapping[str, list[View]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def bring_up(
    mirror: Mirror,
    suite_folder: Path,
    report: Callable[[str], None] = lambda _: None,
    *,
    last: bool = True,
    without: Container[Path] = (),
) -> int:
    """Update a suite's runs to its records: trials, and in the last pass settings and answer.

    The live mirror of a run and ``gan-bench sync`` are this, once or again and again. Damaged and unreadable records,
    and those with a value that MLflow refuses, are noted and left out.

    Args:
        mirror: The mirror.
        suite_folder: ``RESULTS/<suite>``.
        report: Called with the name of every record whose run is complete now, and in the last pass with an empty one
            after every file and setting.
        last: Whether trials that are under way elsewhere, and records that are left out, are reported too, and settings
            and answer are brought along.
        without: Records that get no run.

    Returns:
        The number of the runs of trials.
    """
    known = mirror.suite(suite_folder)
    count = 0
    for path in trial_folders(suite_folder):
        if path in without:
            continue
        run, complete = None, False
        with mirror.noting_refusals(path.name):
            try:
                run = mirror.sync(path)
            except RecordError as error:
                mirror.unreadable.append(error.line)
            complete = last or (run is not None and run.closed)
        count += run is not None
        if complete:
            report(path.name)
    if last and known.seen:
        publish_settings(mirror, known, lambda: report(""))
        with mirror.noting_refusals("answer"):
            publish_answer(mirror.store, known, lambda: report(""))
    return count


def replay(results: Path, uri: str, prefix: str = "") -> Replay:
    """Update MLflow to every record under a results folder; safe to repeat.

    Args:
        results: The results folder.
        uri: Tracking URI.
        prefix: Put before the names of experiments.

    Raises:
        UserError: MLflow cannot be reached or refuses.
    """
    try:
        return _replay(results, uri, prefix)
    except UserError:
        raise
    except Exception as error:
        text = server.describe_error(error, uri)
        hint = server.hint(error) or "; check --tracking-uri or $MLFLOW_TRACKING_URI"
        raise UserError(f"MLflow at {shown(uri)} could not be written ({text}){hint}") from None


def _replay(results: Path, uri: str, prefix: str) -> Replay:
    mirror = Mirror(uri, results, prefix)
    count, busy, made, closed = 0, [], {}, []
    found = (each for each in scan(results, history=False) if isinstance(each, CopiedError | MisplacedError))
    copies = {each.path: each.line for each in found}
    for folder, others in ((each.read, each.others) for each in folders_by_suite(results).values()):
        closed += [copies[path] for path in others if path in copies]
        with mirror_lock(folder, uri) as lock:
            try:
                records = trial_folders(folder)
                is_held = lock.acquire() is not None
            except UserError as error:  # a folder without rights must not stop the others
                closed.append(error.line if isinstance(error, RecordError) else f"left out: {error}")
                continue
            found_copies = [copies[path] for path in records if path in copies]
            closed += found_copies
            if records and len(found_copies) == len(records):
                continue
            if is_held:
                busy.append(folder.name)
                continue
            count += bring_up(mirror, folder, without=copies)
            if (known := mirror.suite(folder)).seen:
                made[known.suite] = save_views(mirror.store, known)
    unreadable = (*closed, *dict.fromkeys([*mirror.unreadable, *mirror.refused]))
    return Replay(count, mirror.experiments, unreadable, tuple(busy), made, tuple(mirror.store.notices))
