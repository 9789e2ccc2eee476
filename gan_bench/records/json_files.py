"""JSON files that know when they are damaged: each carries the SHA-256 of its own content."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from gan_bench.core.atomic import write_atomically
from gan_bench.core.canonical import canonical_json
from gan_bench.core.errors import RecordError

T = TypeVar("T")

SEAL = "sha256"
"""Key of a JSON file's own digest; files of earlier versions have none."""
REMEDY = "run the suite again to make it anew"


def finite(value: Any) -> Any:  # noqa: ANN401 - any JSON-able value
    """Replace NaN and infinities, which JSON does not have, by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON object without its own digest."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    return hashlib.sha256(canonical_json(rest).encode(errors="surrogatepass")).hexdigest()


def write_object(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with its digest.

    Raises:
        OSError: The file cannot be written; the old one stands.
    """
    plain: dict[str, Any] = json.loads(json.dumps(finite(content), allow_nan=False))
    write_atomically(path, json.dumps({**plain, SEAL: _digest(plain)}, indent=2) + "\n")


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RecordError: It cannot be read, is no JSON object, or is not what was written.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} cannot be read ({_why(error)}); {REMEDY}") from None
    if not isinstance(content, dict):
        raise RecordError(f"{path} does not hold a JSON object; {REMEDY}")
    try:
        whole = content.get(SEAL) in (None, _digest(content))
    except ValueError:  # NaN, or nested too deeply
        whole = False
    if not whole:
        raise RecordError(f"{path} is damaged: its content is not what its digest says; {REMEDY}")
    return content


def _why(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)[:200]


def validated(path: Path, content: Any, schema: TypeAdapter[T]) -> T:  # noqa: ANN401 - what a file held
    """Return a JSON value of the documented form.

    Args:
        path: Where it was read, named in errors.
        content: The value.
        schema: The form.

    Raises:
        RecordError: It is of another form.
    """
    try:
        return schema.validate_python(content)
    except ValidationError as error:
        raise RecordError(f"{path} is damaged: {first_problem(error)}; {REMEDY}") from None


def first_problem(error: ValidationError) -> str:
    """Return the first thing that a validation found, with its place."""
    detail = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, detail["loc"]))
    return f"{place}: {detail['msg']}" if place else detail["msg"]
