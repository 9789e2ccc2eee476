"""JSON files that know when they are damaged: each carries the SHA-256 of its own content."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gan_bench.core.atomic import write_atomically
from gan_bench.core.canonical import canonical_json
from gan_bench.core.errors import RecordError

SEAL = "sha256"
"""Key of a JSON file's own digest; files of earlier versions have none."""
REMEDY = "run the suite again to replace it"


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


def read_known(path: Path, form: TypeAdapter[Any], keys: type) -> dict[str, Any]:
    """Read a JSON object of a documented form.

    Args:
        path: The file.
        form: What validates it.
        keys: The typed dict of the form, whose keys are documented.

    Raises:
        RecordError: It cannot be read, is not what was written, or is of another form.
    """
    return known(path, read_object(path), form, keys)


def known(path: Path, content: dict[str, Any], form: TypeAdapter[Any], keys: type) -> dict[str, Any]:
    """Validate an object that was read; without a digest of its own, it may hold no key that is not documented.

    Raises:
        RecordError: It is of another form.
    """
    unknown = set(content) - set(keys.__annotations__)
    if unknown and SEAL not in content:
        raise RecordError(f"{path} is damaged: unknown key {min(unknown)[:40]!r}; {REMEDY}")
    try:
        checked: dict[str, Any] = form.validate_python(content)
    except ValidationError as error:
        raise RecordError(f"{path} is damaged: {first_problem(error)}; {REMEDY}") from None
    return checked


def first_problem(error: ValidationError) -> str:
    """Return the first thing that a validation found, with its place."""
    detail = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, detail["loc"]))
    return f"{place}: {detail['msg']}" if place else detail["msg"]
