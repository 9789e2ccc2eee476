"""Bring MLflow up to the records of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gan_bench.core.errors import RecordError, UserError
from gan_bench.records.layout import TRIALS
from gan_bench.records.reader import suite_folders
from gan_bench.tracking.answer_run import publish_answer, save_views
from gan_bench.tracking.mirror import Mirror, mirror_lock
from gan_bench.tracking.server import describe, hint
from gan_bench.tracking.uri import shown


def sync_suite(mirror: Mirror, folder: Path) -> int:
    """Bring the runs of one suite up to their records; damaged records are noted and left out.

    Returns:
        The number of runs.
    """
    count = 0
    for path in sorted(folder.glob(TRIALS)):
        if path.is_dir() and not path.is_symlink():
            try:
                count += mirror.sync(path)
            except RecordError as error:
                mirror.unreadable.append(str(error))
    return count


def replay(results: Path, uri: str, prefix: str = "") -> dict[str, Any]:
    """Bring MLflow up to every record under a results folder; safe to repeat.

    Args:
        results: The results folder.
        uri: Tracking URI.
        prefix: Put before the names of experiments.

    Returns:
        ``{"runs": count, "experiments": {suite: id}, "unreadable": [messages], "busy": [suites], "views": {suite:
        views}}``; busy are those that a running suite mirrors itself.

    Raises:
        UserError: MLflow cannot be reached or refuses.
    """
    try:
        mirror = Mirror(uri, results, prefix)
        count, busy, made = 0, [], {}
        for folder in suite_folders(results):
            with mirror_lock(folder, uri) as lock:
                if lock.acquire():
                    busy.append(folder.name)
                    continue
                found = sync_suite(mirror, folder)
                count += found
                if found:
                    publish_answer(mirror, folder.name)
                    made[folder.name] = save_views(mirror, folder.name)
    except UserError:
        raise
    except Exception as error:
        text = describe(error, uri)
        raise UserError(
            f"MLflow at {shown(uri)} could not be written ({text}); check --tracking-uri{hint(error)}"
        ) from None
    return {
        "runs": count,
        "experiments": mirror.experiments,
        "unreadable": mirror.unreadable,
        "busy": busy,
        "views": made,
    }
