"""Where MLflow is: the default beside the results, and how a location is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, unquote_plus, urlsplit, urlunsplit

from gan_bench.core.errors import UserError

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
HIDDEN = "***"
_SECRET = re.compile(
    r"pass(?!file)|pwd|secret|token|credential|(?<!ssl)key$|auth(?!source|or|_?mech)|^sig(nature)?$|odbc_connect",
    re.IGNORECASE,
)
"""Names in a query whose values are credentials; ``odbc_connect`` holds a whole connection string."""


def is_default(uri: str, results: Path) -> bool:
    """True if a location is the database beside the results."""
    return uri == f"sqlite:///{results.resolve() / DATABASE}"


def default_uri(results: Path) -> str:
    """Return the SQLite database beside the results, as an absolute location.

    Raises:
        UserError: The path has a character that MLflow takes for part of the location's syntax, or the database is a
            link, through which MLflow would write.
    """
    path = str(results.resolve() / DATABASE)
    if unfit := sorted(set(path) & set("?#%")):
        raise UserError(
            f"MLflow cannot open a database in {results} because of {' and '.join(map(repr, unfit))} in its path; "
            "rename the folder, or use --tracking-uri or --no-tracking"
        )
    if Path(path).is_symlink():
        raise UserError(
            f"{results / DATABASE} is a link, and MLflow would write through it; name the database it leads to with "
            "--tracking-uri, or use --no-tracking"
        )
    return f"sqlite:///{path}"


def _before_host(text: str) -> tuple[str, str]:
    """Return user and password as they stand in a location, and as they may be shown; twice the same without a secret.

    A slash in a password ends the host's part for every parser, and without a scheme there is no such part: both are
    mistakes, and what stands before the last @ is still a password.

    Raises:
        ValueError: It is no location at all.
    """
    parts = urlsplit(text)
    if "@" in parts.netloc:
        user = parts.netloc.rpartition("@")[0]
    elif "@" in text and re.search(r":(?!\d*$)[^\]]*$", parts.netloc):
        user = text.partition("//")[2].rpartition("@")[0]
    elif "//" not in text and parts.scheme not in ("file", "sqlite") and re.match(r"[^/\\@]+:[^@]*@", text):
        user = text.rpartition("@")[0]
    else:
        return "", ""
    name, colon, _ = user.partition(":")
    if colon:
        return user, f"{name}:{HIDDEN}"
    return user, HIDDEN if parts.scheme in ("http", "https") else user  # there a user alone may be a token


def _secrets(uri: str) -> Iterator[str]:
    """Yield the credentials in a location as they stand there: the password, and values of the query by their names."""
    try:
        parts = urlsplit(uri)
        user, masked = _before_host("".join(uri.split()))
        query = parts.query or parts.fragment.partition("?")[2]
    except ValueError:  # no location at all; nothing of it can be told from a secret
        yield uri
        return
    if user != masked:
        yield user.partition(":")[2] if ":" in user else user
    for item in re.split(r"[&;]", query):
        name, _, value = item.partition("=")
        if value and _SECRET.search(unquote_plus(name)):
            yield value


def shown(uri: str) -> str:
    """Return a location without its credentials, for messages."""
    text = "".join(uri.split())  # urlsplit drops some blanks, and then its parts are not found again
    try:
        user, masked = _before_host(text)
        changed = text.replace(f"{user}@", f"{masked}@", 1) if user else text
        parts = urlsplit(changed)
    except ValueError:
        return "the tracking server"

    def hide(found: re.Match[str]) -> str:
        return f"{found[1]}={HIDDEN}" if _SECRET.search(unquote_plus(found[1])) else found[0]

    query = re.sub(r"([^&;=]+)=([^&;]*)", hide, parts.query)
    fragment = re.sub(r"([^?&;=]+)=([^&;]*)", hide, parts.fragment)
    for before, after in ((f"?{parts.query}", f"?{query}"), (f"#{parts.fragment}", f"#{fragment}")):
        changed = changed.replace(before, after, 1)
    return uri if changed == text else changed


def without_secrets(text: str, uri: str) -> str:
    """Return text without the credentials of a location, as they stand there and as libraries decode them."""
    text = text.replace(uri, shown(uri))
    found = {form for secret in _secrets(uri) for form in (secret, unquote(secret), unquote_plus(secret))}
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def check_no_password(uri: str) -> None:
    """Refuse a location with credentials: everybody on the machine can read a command line.

    Raises:
        UserError: It has some.
    """
    if shown(uri) != uri:
        raise UserError(
            "--tracking-uri must not hold a password or another credential, which every user of this machine could "
            "read; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN for a server, or "
            "MLFLOW_TRACKING_URI for a database"
        )


def server_page(uri: str) -> str | None:
    """Return the address of the server's page without user, password and query, or None where no server is named."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
