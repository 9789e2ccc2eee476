"""Whether values are of the types that their annotations say, as far as that can be told without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def wrong_fields(entry: object) -> Iterator[tuple[str, str]]:
    """Yield the fields of a dataclass whose values are of another type than declared, as far as that can be told.

    Yields:
        Name of the field, and what is wrong.
    """
    if not is_dataclass(entry) or isinstance(entry, type):
        return
    hints = get_type_hints(type(entry))
    for each in fields(entry):
        value, wanted = getattr(entry, each.name), hints[each.name]
        if not fits(value, wanted):
            yield each.name, f"it must be {_spelled(wanted)}, not {value!r:.60}"


def _spelled(wanted: Any) -> str:  # noqa: ANN401 - any annotation
    return (
        wanted.__name__
        if isinstance(wanted, type)
        else str(wanted).replace("typing.", "").replace("collections.abc.", "")
    )


def fits(value: object, wanted: Any) -> bool:  # noqa: ANN401 - any annotation
    """True unless a value clearly is not of an annotated type; whole numbers count as floats, truth values not."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if wanted is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if wanted in (int, float):
        return isinstance(value, (int, wanted)) and not isinstance(value, bool)
    checked = origin or wanted
    if isinstance(checked, type) and not isinstance(value, checked):
        return False
    return _members_fit(value, origin, arguments)


def _members_fit(value: Any, origin: Any, arguments: tuple[Any, ...]) -> bool:  # noqa: ANN401 - any value and annotation
    if origin in (dict, Mapping):
        return all(fits(key, arguments[0]) and fits(item, arguments[1]) for key, item in value.items())
    if origin is tuple and arguments[-1] is not Ellipsis:
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    if origin in (frozenset, set, list, tuple):
        return all(fits(each, arguments[0]) for each in value)
    return True
