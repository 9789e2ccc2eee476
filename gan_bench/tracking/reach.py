"""Whether a database that MLflow is to use answers, found out before its client is made: that tries for minutes."""

from __future__ import annotations

from urllib.parse import urlsplit

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
