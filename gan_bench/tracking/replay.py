"""Bring MLflow up to the records of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gan_bench.core.errors import RecordError, UserError, brief
from gan_bench.records.reader import scan_suite, suite_folders
from gan_bench.tracking.mirror import Mirror, mirror_lock
from gan_bench.tracking.uri import shown


def replay(results: Path, uri: str) -> dict[str, Any]:
    """Bring MLflow up to every record under a results folder; safe to repeat.

    Returns:
        ``{"runs": count, "experiments": {suite: id}, "unreadable": [messages], "busy": [suites]}``; busy are those
        that a running suite mirrors itself.

    Raises:
        UserError: MLflow cannot be reached or refuses.
    """
    try:
        mirror = Mirror(uri, results)
        count, unreadable, busy = 0, [], []
        for folder in suite_folders(results):
            with mirror_lock(folder, uri) as lock:
                if lock.acquire():
                    busy.append(folder.name)
                    continue
                for stored in scan_suite(folder):
                    if isinstance(stored, RecordError):
                        unreadable.append(str(stored))
                    elif stored.environment:
                        mirror.sync(stored)
                        count += 1
        for suite in mirror.experiments:
            mirror.save_views(suite)
    except Exception as error:
        text = brief(error).replace(uri, shown(uri))
        raise UserError(f"MLflow at {shown(uri)} could not be written ({text}); check --tracking-uri") from None
    unreadable += mirror.unreadable
    return {"runs": count, "experiments": mirror.experiments, "unreadable": unreadable, "busy": busy}
