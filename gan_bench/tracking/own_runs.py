"""Ownership and artifact paths of runs in a results folder's database after a move or a copy."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gan_bench.core.errors import UserError
from gan_bench.records.shared import identity_of_copy
from gan_bench.tracking.database import refused
from gan_bench.tracking.entities import RESULTS_TAG
from gan_bench.tracking.server import ARTIFACTS, DATABASE

_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
"""Tables and columns with MLflow's artifact paths; earlier versions lack some."""


_OWNERS = """
    SELECT r.run_uuid, r.artifact_uri, o.value FROM runs r
    LEFT JOIN tags o ON o.run_uuid = r.run_uuid AND o.key = ?
    WHERE r.lifecycle_stage = 'active'
"""
_OWN_EXPERIMENTS = """
    SELECT e.artifact_location FROM experiments e
    JOIN experiment_tags t ON t.experiment_id = e.experiment_id AND t.key = ?
"""
_KEPT = re.compile(rf"(file:.*/{ARTIFACTS})((?:/.*)?)")
"""Pattern of artifact paths: their common folder, and the rest."""


class _Run(NamedTuple):
    """A run in the database: its artifact path and owner."""

    id: str
    uri: str | None
    owner: str | None

    @property
    def place(self) -> str:
        """The common folder of its artifacts, or an empty text."""
        found = _KEPT.fullmatch(str(self.uri))
        return found[1] if found else ""


def adopt_runs(results: Path, identity: str) -> None:
    """Rewrite the owner and the artifact paths of runs after their results folder was moved or copied.

    Runs of the folder, in the database beside it, get its present identity and place. Others may have brought records
    of their own into that database, by its path or through a server: these stay as they are. Files of a user's own
    runs that were moved along are found where they are now. MLflow has no call for either change.

    Raises:
        UserError: Another process has locked it.
    """
    here, file = (results.resolve() / ARTIFACTS).as_uri(), results / DATABASE
    try:
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            every = [_Run(*row) for row in database.execute(_OWNERS, (RESULTS_TAG,))]
            runs = [run for run in every if run.owner is not None]
            adopted = _of_earlier_identities(runs, results, here, identity)
            change = "UPDATE tags SET value = ? WHERE key = ? AND run_uuid = ?"
            database.executemany(change, [(identity, RESULTS_TAG, run.id) for run in adopted])
            mine = [*adopted, *(run for run in runs if run.owner == identity)]
            places = {run.place for run in mine} - {"", here}
            gone = {place for place in places if not _place_exists(place)}  # with what users' own runs have there
            with_them = [*mine, *(run for run in every if run.owner is None and run.place in gone)]
            moved = [(here + str(run.uri)[len(run.place) :], run.id) for run in with_them if run.place in places]
            database.executemany("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", moved)
            own = [str(uri) for (uri,) in database.execute(_OWN_EXPERIMENTS, (RESULTS_TAG,))]
            places |= {found[1] for uri in own if (found := _KEPT.fullmatch(uri)) and not _place_exists(found[1])}
            for table, column in _LOCATIONS:
                with contextlib.suppress(sqlite3.OperationalError):
                    _point_column(database, table, column, places - {here}, here)
    except sqlite3.Error as error:  # without these tables, there is nothing to adopt
        if why := refused(file, error):
            raise UserError(why) from None


def _of_earlier_identities(runs: list[_Run], results: Path, here: str, identity: str) -> list[_Run]:
    """Return the runs of a folder with an earlier identity.

    A folder that has none of its own there is a copy, and has those of its original, or its identity was lost, and it
    has those whose files lie in it.
    """
    owners = {run.owner for run in runs}
    if identity in owners:
        return []
    copied = {owner for owner in owners if owner and _is_copy_of(owner, results, identity)}
    return [run for run in runs if run.owner in copied or run.place == here]


def _place_exists(place: str) -> bool:
    """True if a folder of artifacts exists; assumed for those on other machines."""
    return not place.startswith("file:") or Path(unquote(urlsplit(place).path)).parent.exists()


def _is_copy_of(original: str, results: Path, identity: str) -> bool:
    with contextlib.suppress(ValueError):
        return identity_of_copy(original, results) == identity
    return False


def _point_column(database: sqlite3.Connection, table: str, column: str, places: Collection[str], here: str) -> None:
    for place in places:
        change = (
            f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608 - our own names
            f" WHERE {column} = ? OR substr({column}, 1, ?) = ?"
        )
        database.execute(change, (here, len(place) + 1, place, len(place) + 1, f"{place}/"))
