"""Where MLflow is: the default beside the results, and how a location is shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from gan_bench.core.errors import UserError

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"


def is_default(uri: str, results: Path) -> bool:
    """Say whether a location is the database beside the results."""
    return uri == f"sqlite:///{results.resolve() / DATABASE}"


def default_uri(results: Path) -> str:
    """Return the SQLite database beside the results, as an absolute location.

    Raises:
        UserError: The path has a character that MLflow takes for part of the location's syntax.
    """
    path = str(results.resolve() / DATABASE)
    if unfit := sorted(set(path) & set("?#%")):
        raise UserError(
            f"MLflow cannot open a database in {results} because of {' and '.join(map(repr, unfit))} in its path; "
            "rename the folder, or use --tracking-uri or --no-tracking"
        )
    return f"sqlite:///{path}"


def shown(uri: str) -> str:
    """Return a location without its password, for messages."""
    try:
        parts = urlsplit(uri)
        password = parts.password
    except ValueError:
        return "the tracking server"
    if password is None and "password=" in parts.query:
        hidden = re.sub(r"(password=)[^&]*", r"\1***", parts.query)
        return urlunsplit(parts._replace(query=hidden))
    if password is None:
        return uri
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))


def check_no_password(uri: str) -> None:
    """Refuse a location with a password: everybody on the machine can read a command line.

    Raises:
        UserError: It has one.
    """
    if shown(uri) != uri:
        raise UserError(
            "--tracking-uri must not hold a password, which every user of this machine could read; set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN for a server, or "
            "MLFLOW_TRACKING_URI for a database"
        )


def server_page(uri: str) -> str | None:
    """Return the address of the server's page without user and password, or None where no server is named."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
