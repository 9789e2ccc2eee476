"""The SQLite database beside the results."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

from gan_bench.tracking.uri import ARTIFACTS, DATABASE


def point_into(results: Path) -> None:
    """Let a database beside the results point into the folder they are in now, if they were moved.

    MLflow keeps absolute locations and has no call to change them.
    """
    here = (results.resolve() / ARTIFACTS).as_uri()
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(results / DATABASE)) as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            rows = database.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()  # noqa: S608 - our own names
            for (location,) in rows:
                found = re.fullmatch(rf"(.*/{ARTIFACTS})((?:/.*)?)", str(location))
                if found and found[1] != here:
                    change = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"  # noqa: S608 - our own names
                    database.execute(change, (here + found[2], location))
        database.commit()
