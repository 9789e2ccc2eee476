"""Where MLflow is: the default beside the results, and how a location is shown."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"


def default_uri(results: Path) -> str:
    """Return the SQLite database beside the results, as an absolute location."""
    return f"sqlite:///{results.resolve() / DATABASE}"


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
