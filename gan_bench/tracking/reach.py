"""Whether a database that MLflow is to use keeps anything and answers: its client, made later, tries for minutes."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gan_bench.core.errors import UserError
from gan_bench.tracking.server import shown

CONNECT_SECONDS = 5
"""Seconds that one connection may take."""
_SERVERS = ("postgresql", "mysql", "mssql")
_TIMEOUT = {
    "psycopg2": "connect_timeout",
    "psycopg": "connect_timeout",
    "pg8000": "timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mysqlconnector": "connection_timeout",
    "pyodbc": "timeout",
    "pymssql": "login_timeout",
}
"""What the drivers call it."""


def refuse_memory(uri: str) -> None:
    """Refuse a database in memory: MLflow takes everything for it, and nothing is left when the process ends.

    Raises:
        UserError: It is one.
    """
    text = "".join(uri.split())
    is_sqlite = re.match(r"sqlite(\+\w+)?:", text) is not None
    is_none = re.fullmatch(r"sqlite(\+\w+)?:/{0,3}(\?.*)?", text) is not None
    if text == ":memory:" or is_none or (is_sqlite and (":memory:" in text or "mode=memory" in text)):
        raise UserError(
            f"--tracking-uri {shown(uri)} names a database in memory, which keeps nothing; name a file, such as "
            "sqlite:///mlflow.db"
        )


def probe(uri: str) -> None:
    """Connect once to the server of a database; nothing happens for other locations.

    Args:
        uri: Tracking URI.

    Raises:
        Exception: What its driver, or SQLAlchemy, says of a server that does not answer or lets nobody in.
    """
    if urlsplit(uri).scheme.partition("+")[0] not in _SERVERS:
        return
    import sqlalchemy

    address = sqlalchemy.make_url(uri)
    name = _TIMEOUT.get(address.get_dialect().driver)
    limit = {name: CONNECT_SECONDS} if name and name not in address.query else {}
    engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool, connect_args=limit)
    engine.connect().close()
