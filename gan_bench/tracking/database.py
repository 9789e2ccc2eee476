"""Databases of MLflow: SQLite files are created atomically, set aside if broken, and moved with their folder."""

from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from gan_bench.core.atomic import ASIDE, STALE_SECONDS, own_copy
from gan_bench.core.errors import UserError
from gan_bench.core.text import printable
from gan_bench.records.json_files import unreadable

QUIET_SECONDS = 2.0
"""Seconds without a change after which no process is assumed to migrate a database."""
_BROKEN = ("already exists", "no such table", "no such column", "duplicate column", "malformed", "not a database")
"""Messages of SQLite about a database that is truncated, foreign, or whose migration by MLflow was killed or is under
way."""
SMALL = 64 * 2**20
"""Bytes up to which a database is checked page by page, which takes a tenth of a second."""
_COMPANIONS = ("", "-journal", "-wal", "-shm")
"""Suffixes of the files that SQLite keeps for one database."""
CONNECT_SECONDS = 5
"""Seconds that one connection may take."""
_SERVERS = ("postgresql", "mysql", "mssql")
_CONNECT_TIMEOUT = {
    "psycopg2": "connect_timeout",
    "psycopg": "connect_timeout",
    "pg8000": "timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mysqlconnector": "connection_timeout",
    "pyodbc": "timeout",
    "pymssql": "login_timeout",
}
"""Name of this timeout in the drivers of servers."""


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite location, or None for other locations and SQLite's ``file:`` URIs."""
    found = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?#]+)(?:[?#].*)?", uri)
    return Path(found[1]) if found and not found[1].startswith((":memory:", "file:")) else None


def says_broken(error: BaseException) -> bool:
    """True if an error of MLflow or SQLite means that a database is broken."""
    text = str(error).lower()
    return ("sqlite3." in text or isinstance(error, sqlite3.Error)) and any(word in text for word in _BROKEN)


def prepare_database(uri: str, file: Path, *, is_ours: bool) -> Iterator[str]:
    """Prepare a SQLite database for MLflow; the caller holds its lock.

    A new one is made aside and renamed, so that a kill leaves none or a whole one. A broken one beside the results is
    set aside by name: it is a mirror of the records, which are there.

    Args:
        uri: Its location.
        file: Its file.
        is_ours: Whether it is the one beside the results.

    Yields:
        What was done about a broken one, as a sentence.

    Raises:
        UserError: One that is not ours is broken, or another process changes it, or it may not be read or written.
        Exception: Any error of MLflow when it cannot open it for another reason.
    """
    _remove_leftovers(file)
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):  # SQLite would read it, and fail at the first write
        raise UserError(str(refused(file, PermissionError())))
    if file.exists() and file.stat().st_size:
        if is_ours and file.stat().st_nlink > 1:  # a backup by hard links would change with it
            _let_go(uri)
            _refuse_locked(file)
            own_copy(file)
            yield f"{file} had another name too, as of a backup, and is a copy now; restart `gan-bench ui`"
        try:
            check_database(uri, file)
            return
        except Exception as error:
            _let_go(uri)
            if why := refused(file, error):
                raise UserError(why) from None
            if not says_broken(error):
                raise
            if not is_ours:
                raise UserError(
                    f"the database {file} is broken ({_brief(error)}); move it away, and the next `gan-bench sync` "
                    "makes it again"
                ) from None
            _refuse_locked(file)
            yield _replaced(uri, file, error)
    elif is_ours and any(os.path.lexists(file.with_name(file.name + end)) for end in _COMPANIONS[1:]):
        _refuse_locked(file)  # another process may be making it
        kept = _set_aside(file)  # the journal of a lost database, which SQLite would replay into the new one
        yield f"what SQLite left beside {file} is kept as {kept.name}*"
    if file.parent.is_dir():
        _create(uri, file)
    open_database(uri)


def _refuse_locked(file: Path) -> None:
    """Refuse a database that another process is writing."""
    if not file.is_file():
        return
    try:
        with contextlib.closing(_connect(file)) as database:
            database.execute("BEGIN EXCLUSIVE")
            database.rollback()
    except sqlite3.Error as error:
        if why := refused(file, error):
            raise UserError(why) from None


def _remove_leftovers(file: Path) -> None:
    """Remove parts of a database that killed processes left a day ago or earlier."""
    for end in _COMPANIONS:
        for path in file.parent.glob(f".{glob.escape(file.name)}.{'[0-9a-f]' * 8}{ASIDE}{end}"):
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > STALE_SECONDS:
                    path.unlink()


def refused(file: Path, error: BaseException) -> str | None:
    """Return why an intact database cannot be used now, as a sentence, or None."""
    if "database is locked" in str(error):
        return f"{file} is locked by another process; try again when that has ended"
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):
        return str(unreadable(file, PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "opened"))
    if _is_changing(file):
        return f"{file} is being changed by another process, as by an upgrade of MLflow; try again when that has ended"
    return None


def _is_changing(file: Path) -> bool:
    """True if another process is changing a database: MLflow upgrades one in dozens of transactions."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(file)) as database:
        versions = set[tuple[int]]()
        until = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < until and len(versions) < 2:
            versions.add(database.execute("PRAGMA data_version").fetchone())
            time.sleep(0.1)
        return len(versions) > 1
    return False


def _connect(file: Path) -> sqlite3.Connection:
    """Open an existing database; SQLite's default would create one."""
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=1.0)


def check_database(uri: str, file: Path) -> None:
    """Check quickly that a database is intact, and that MLflow opens it.

    Raises:
        sqlite3.Error: It is not whole.
        Exception: Any error of MLflow when it cannot open it.
    """
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("BEGIN")  # with the first read no other process adds pages between one measure and the next
        pages, each = (database.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size"))
        size = file.stat().st_size
        (journal,) = database.execute("PRAGMA journal_mode").fetchone()
        if journal != "wal" and size < pages * each:  # newer pages of that journal are in a file of their own
            raise sqlite3.DatabaseError(f"malformed: {size:,} of {pages * each:,} bytes are there")
        if size <= SMALL:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(f"malformed: {found}")
    open_database(uri)


def open_database(uri: str) -> None:
    """Open a database with MLflow, which creates missing tables.

    Raises:
        Exception: Any error of MLflow when it cannot.
    """
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    for experiment in client.search_experiments(max_results=1):
        client.search_runs([experiment.experiment_id], max_results=1)


def _replaced(uri: str, file: Path, error: BaseException) -> str:
    _let_go(uri)
    kept = _set_aside(file)
    return f"{file} was broken ({_brief(error)}): it is kept as {kept.name}, and made again from the records"


def _brief(error: BaseException) -> str:
    return printable(" ".join(str(error).partition("[SQL")[0].split())[:120])


def _create(uri: str, file: Path) -> None:
    aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}{ASIDE}")
    elsewhere = uri.replace(str(file), str(aside), 1)
    try:
        # SQLite's default mode would exclude the group
        os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        open_database(elsewhere)
        _let_go(elsewhere)
        aside.replace(file)
    finally:
        for end in _COMPANIONS:
            aside.with_name(aside.name + end).unlink(missing_ok=True)


def _let_go(uri: str) -> None:
    """Close MLflow's connections to a database whose file is replaced; it has no call for that."""
    with contextlib.suppress(Exception):
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore._engine_map[uri].dispose()


def _set_aside(file: Path) -> Path:
    """Rename a broken database and its companion files to a free name."""
    kept = next(
        place for number in itertools.count(1) if not (place := file.with_name(f"{file.name}.broken-{number}")).exists()
    )
    for end in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            file.with_name(file.name + end).replace(kept.with_name(kept.name + end))
    return kept


def move_run(uri: str, run_id: str, location: str) -> None:
    """Write into a database where the artifacts of a run lie; MLflow has no call for it."""
    import sqlalchemy
    from mlflow.store.db.utils import create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(uri)  # with certificates that only variables of MLflow name
    with engine.begin() as connection:
        change = sqlalchemy.text("UPDATE runs SET artifact_uri = :location WHERE run_uuid = :run")
        connection.execute(change, {"location": location, "run": run_id})
    engine.dispose()


def probe(uri: str) -> None:
    """Connect once to a database server, as MLflow's client would retry for minutes.

    Nothing happens for other locations.

    Args:
        uri: Tracking URI.

    Raises:
        Exception: What its driver, or SQLAlchemy, raises for a server that does not answer or refuses the login.
    """
    if urlsplit(uri).scheme.partition("+")[0] not in _SERVERS:
        return
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from sqlalchemy import event

    engine = create_sqlalchemy_engine(uri)  # with certificates that only variables of MLflow name

    @event.listens_for(engine, "do_connect")
    def limit(_dialect: object, _record: object, _args: object, params: dict[str, object]) -> None:
        if name := _CONNECT_TIMEOUT.get(engine.driver):
            params.setdefault(name, CONNECT_SECONDS)

    try:
        engine.connect().close()
    finally:
        engine.dispose()
