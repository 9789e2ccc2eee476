"""Where MLflow is: the default beside the results, and how a location is shown."""

from __future__ import annotations

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
    if password is None:
        return uri
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
