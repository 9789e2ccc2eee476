"""MLflow's location: how it is displayed, and timeouts of servers, longer for files."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, unquote_plus, urlsplit, urlunsplit

from gan_bench.core.cache import ensure_home
from gan_bench.core.errors import UserError
from gan_bench.core.text import as_typed, is_utf8

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
HIDDEN = "***"
_SECRET = re.compile(
    r"pass(?!file)|pwd|secret|token|credential|(?<!ssl)key$|auth(?!source|or|_?mech)|^sig(nature)?$|odbc_connect",
    re.IGNORECASE,
)
"""Names in a query whose values are credentials; ``odbc_connect`` holds a whole connection string."""
_VALUE = re.compile(r"([^?&;=]+)=([^&;]*)")
"""A name and its value in a query or a fragment."""


LONGEST = 480
"""Most bytes of a database's path: SQLite opens none above 504, and temporary names are 16 longer. MLflow would retry
for 100 seconds."""


def is_default(uri: str, results: Path) -> bool:
    """True if a location is the database beside the results."""
    return uri == f"sqlite:///{results.resolve() / DATABASE}"


def default_uri(results: Path) -> str:
    """Return the SQLite database beside the results, as an absolute location.

    Raises:
        UserError: The path has a character that MLflow takes for part of the location's syntax, is not UTF-8 or too
            long for SQLite, or the database is a link, through which MLflow would write.
    """
    path = str(results.resolve() / DATABASE)
    unfit = [repr(each) for each in sorted(set(path) & set("?#%"))]
    if not is_utf8(path):
        unfit.append("bytes that are not UTF-8")
    if len(os.fsencode(path)) > LONGEST:
        unfit.append(f"more than {LONGEST} bytes")
    if unfit:
        raise UserError(
            f"MLflow cannot open a database in {results} because of {' and '.join(unfit)} in its path; "
            "rename the folder, or use --tracking-uri or --no-tracking"
        )
    if Path(path).is_symlink():
        raise UserError(
            f"{results / DATABASE} is a link, and MLflow would write through it; name the database it leads to with "
            "--tracking-uri, or use --no-tracking"
        )
    return f"sqlite:///{path}"


def _secrets(text: str) -> list[tuple[int, int]]:
    """Return the spans of credentials in a location: a password, and secret values of the query.

    A slash in a password ends the host's part for every parser, and without a scheme there is no such part: both are
    mistakes, and what stands before the last @ is still a password.

    Raises:
        ValueError: It is no location at all.
    """
    parts = urlsplit(text)
    user = ""
    if "@" in parts.netloc:
        user = parts.netloc.rpartition("@")[0]
    elif "@" in text and re.search(r":(?!\d*$)[^\]]*$", parts.netloc):
        user = text.partition("//")[2].rpartition("@")[0]
    elif "//" not in text and parts.scheme not in ("file", "sqlite") and re.match(r"[^/\\@]+:[^@]*@", text):
        user = text.rpartition("@")[0]
    name, colon, _ = user.partition(":")
    start = text.find(f"{user}@") if user else 0
    end, found = start + len(user), []
    if colon:
        found.append((start + len(name) + 1, end))
    elif user and parts.scheme in ("http", "https"):  # a user name without a password may be a token
        found.append((start, end))
    fragment = f"{text}#".index("#", end)
    query = f"{text}?".index("?", end)
    values = (*_VALUE.finditer(text, query + 1, fragment), *_VALUE.finditer(text, fragment + 1))
    return [*found, *(each.span(2) for each in values if _SECRET.search(unquote_plus(each[1])))]


def shown(uri: str) -> str:
    """Return a location without credentials, for messages."""
    text = "".join(uri.split())  # urlsplit drops some blanks, and then its parts are not found again
    try:
        found = _secrets(text)
    except ValueError:
        return "the tracking server"
    for start, end in reversed(found):
        text = f"{text[:start]}{HIDDEN}{text[end:]}"
    return text if found else uri


def without_secrets(text: str, uri: str) -> str:
    """Return text without the credentials of a location, literal and decoded."""
    text, joined = text.replace(uri, shown(uri)), "".join(uri.split())
    try:
        secrets = [joined[start:end] for start, end in _secrets(joined)]
    except ValueError:  # not a location: any part may be a secret
        secrets = [uri]
    forms = {form for secret in secrets for form in (secret, unquote(secret), unquote_plus(secret)) if form}
    for secret in sorted(forms, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def check_no_password(uri: str) -> None:
    """Refuse a location with credentials, as command lines are visible to all users of the machine.

    Raises:
        UserError: It has some.
    """
    if shown(uri) != uri:
        raise UserError(
            "--tracking-uri must not hold a password or another credential, which every user of this machine could "
            "read; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN for a server, or "
            "MLFLOW_TRACKING_URI for a database"
        )


def refuse_memory(uri: str) -> None:
    """Refuse an in-memory database, which would be lost when the process ends.

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


def server_page(uri: str) -> str | None:
    """Return the URL of the server's page without user, password and query, or None without a server."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


REQUEST_SECONDS = 10
UPLOAD_SECONDS = 180
"""Timeout of requests with files in seconds; that of others would stop the mirror on a slow line."""
MESSAGE = 200
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 60.0
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_SETTINGS = {
    _RETRIES: "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a server may ask for an hour; the mirror has its own pauses
    _TIMEOUT: str(REQUEST_SECONDS),
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # MLflow logs every step of creating tables
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # MLflow prints a line for every run that ends
    "GIT_PYTHON_REFRESH": "quiet",
}


def configure() -> None:
    """Set short timeouts unless the user has set them: MLflow's own block for minutes.

    Where a user makes warnings errors, those of MLflow's own code about its libraries stay what they are.

    Raises:
        UserError: A variable of MLflow has a value that it cannot read.
    """
    ensure_home()
    if any(option.partition(":")[0] == "error" for option in sys.warnoptions):
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):  # MLflow gives some of its own
            warnings.simplefilter("ignore", kind)
    os.environ.update({key: os.environ.get(key) or value for key, value in _SETTINGS.items()})
    level = os.environ["MLFLOW_LOGGING_LEVEL"]
    if level.upper() not in logging.getLevelNamesMapping():  # which MLflow reads while it is imported
        raise UserError(f"MLFLOW_LOGGING_LEVEL={as_typed(level)} is no level; use WARNING, or unset it")
    from mlflow import environment_variables

    for variable in vars(environment_variables).values():
        if isinstance(variable, type) or not hasattr(variable, "get_raw"):
            continue
        try:
            variable.get()
        except ValueError:
            value = as_typed(str(variable.get_raw()))
            raise UserError(f"{variable.name}={value} cannot be read by MLflow; correct or unset it") from None
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what it logs is raised too, and handled
    logging.getLogger("alembic").setLevel(logging.WARNING)  # each step of making a database


def uploading() -> contextlib.AbstractContextManager[None]:
    """Raise the timeout of requests with files; for one thread, as MLflow reads it from the environment."""
    return _with(_TIMEOUT, str(max(UPLOAD_SECONDS, int(os.environ.get(_TIMEOUT) or 0))))


def sent_once() -> contextlib.AbstractContextManager[None]:
    """Disable retries: a request whose answer was lost would be executed twice."""
    return _with(_RETRIES, "0")


@contextlib.contextmanager
def _with(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class Backoff:
    """When to try again after failures: after 5, 10, 20, 40 seconds, then every minute."""

    def __init__(self) -> None:
        self._pause, self._not_before = 0.0, 0.0

    @property
    def due(self) -> bool:
        """True if it is time to try again."""
        return time.monotonic() >= self._not_before

    def failed(self) -> None:
        """Record a failure: wait longer than before."""
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        self._not_before = time.monotonic() + self._pause

    def succeeded(self) -> None:
        """Record a success: reset the waiting time."""
        self._pause = self._not_before = 0.0


def describe_error(error: Exception, uri: str) -> str:
    """Return an error in one short line, without credentials."""
    said = _cause(error) or f"{error}"
    text = " ".join(without_secrets(said, uri).split()) or type(error).__name__
    return text if len(text) <= MESSAGE else f"{text[: MESSAGE - 1]}…"


def _cause(error: BaseException | None) -> str:
    """Return urllib3's reason at the end of a long message, or an empty text."""
    while error is not None:
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        if isinstance(reason, Exception):
            inner = reason.args[-1] if reason.args else None
            return re.sub(r"^(<.*?>|\w+\(.*?\)): ", "", str(inner if isinstance(inner, Exception) else reason))
        error = error.__cause__ or error.__context__
    return ""


class UploadError(Exception):
    """MLflow refused files of a run; other content may be accepted."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(re.sub(r" for url: \S+", "", f"{cause}"))
        self.hint = hint(cause)


def is_refusal(error: Exception) -> bool:
    """True if MLflow refused a value or files, so that other runs may still succeed."""
    return isinstance(error, UploadError) or getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"


_HINTS = {
    "error code 413|413 Client Error|(Entity|Content) Too Large": (
        "the server limits the size of uploads: raise that limit (in nginx client_max_body_size) and sync again"
    ),
    "403 Client Error.*mlflow-artifacts": (
        "the server refuses files: ask its administrator for the right to write artifacts, and sync again"
    ),
    "error code 403|PERMISSION_DENIED": (
        "the server refuses to write: ask its administrator for the permission EDIT on the experiment"
    ),
    "filesystem tracking backend": (
        "this MLflow writes no folders of files: name a database, such as sqlite:///mlflow.db, or a server"
    ),
    "out-of-date database schema": (
        "copy the database, then upgrade it with `mlflow db upgrade URI`, or install the MLflow that made it; from an "
        "empty one gan-bench sync makes all of it again from the records"
    ),
    "disk is full|No space left": "free some space there",
    "unsupported URI": (
        "a server's address begins with http:// or https://, a database's with sqlite:/// or postgresql://"
    ),
    "error code 401|UNAUTHENTICATED|not authenticated": (
        "set or correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    ),
    r"error code (429|5\d\d)|5\d\d Server Error|too many (429|5\d\d) error responses": (
        "the server answers and fails: its log says why"
    ),
}
"""Messages of MLflow with remedies. Reading without writing is the default of its basic authentication."""


def hint(error: Exception) -> str:
    """Return the known remedy of an error, or an empty text."""
    if isinstance(error, UploadError):
        return error.hint
    text = f"{getattr(error, 'error_code', '')} {error} {_cause(error)}"
    return next((f"; {remedy}" for words, remedy in _HINTS.items() if re.search(words, text)), "")
