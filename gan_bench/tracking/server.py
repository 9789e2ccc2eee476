"""How long a tracking server is waited for: short for its answers, longer for files, and again after a while."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator

from gan_bench.core.cache import ensure_home
from gan_bench.tracking.uri import without_secrets

REQUEST_SECONDS = 10
UPLOAD_SECONDS = 180
"""Seconds that one request with a file may take; the limit of the others would silence the mirror on a slow line."""
MESSAGE = 200
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 60.0
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    _TIMEOUT: str(REQUEST_SECONDS),
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # how it makes its tables is its own affair
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a line for every run that ends
    "GIT_PYTHON_REFRESH": "quiet",
}


def configure() -> None:
    """Set short timeouts unless the user has set them: MLflow's own block for minutes."""
    ensure_home()
    os.environ.update({key: os.environ.get(key, value) for key, value in _SETTINGS.items()})
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what it logs is raised too, and handled


@contextlib.contextmanager
def uploading() -> Iterator[None]:
    """Give requests that carry files more time; for one thread, as MLflow reads its limits from the environment."""
    before = os.environ.get(_TIMEOUT)
    os.environ[_TIMEOUT] = str(max(UPLOAD_SECONDS, int(before or 0)))
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TIMEOUT]
        else:
            os.environ[_TIMEOUT] = before


class Backoff:
    """When to try again after failures: after 5, 10, 20, 40 seconds, then every minute."""

    def __init__(self) -> None:
        self._pause, self._not_before = 0.0, 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to try."""
        return time.monotonic() >= self._not_before

    def failed(self) -> None:
        """Wait longer than before."""
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        self._not_before = time.monotonic() + self._pause

    def succeeded(self) -> None:
        """Begin anew."""
        self._pause = self._not_before = 0.0


def describe_error(error: Exception, uri: str) -> str:
    """Return what went wrong in one short line, without the credentials that a location may hold."""
    text = " ".join(without_secrets(f"{error}", uri).split()) or type(error).__name__
    return text if len(text) <= MESSAGE else f"{text[: MESSAGE - 1]}…"


def hint(error: Exception) -> str:
    """Return the remedy where a server permits reading but not writing, the default of its basic authentication."""
    text = f"{getattr(error, 'error_code', '')} {error}"
    if "error code 403" in text or "PERMISSION_DENIED" in text:
        return "; the server refuses to write: ask its administrator for the permission EDIT on the experiment"
    if "error code 401" in text or "UNAUTHENTICATED" in text or "not authenticated" in text:
        return "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    return ""
