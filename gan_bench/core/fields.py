"""Checks values against their annotated types, and converts arguments to them."""

from __future__ import annotations

import contextlib
import functools
import operator
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gan_bench.core.errors import UserError


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
    """True unless a value clearly is not of an annotated type; ints count as floats, bools do not."""
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


# ---------------------------------------------------------------------------------------------- arguments


def checked_argument(
    name: str,
    value: Any,  # noqa: ANN401 - an argument of any type
    kind: Any,  # noqa: ANN401 - a type
    *,
    least: float | None = None,
    most: float | None = None,
) -> Any:  # noqa: ANN401 - of that type
    """Return an argument as a value of its type.

    Args:
        name: Its name.
        value: What was passed; numbers of NumPy count as Python's, and what can be gone over as a list.
        kind: Its type.
        least: The least number.
        most: The greatest.

    Raises:
        UserError: It is of another type, or outside these bounds.
    """
    kind = _iterables_as_sequences(kind)
    kinds = get_args(kind) if get_origin(kind) is UnionType else (kind,)
    if value is None and NoneType in kinds:
        return None
    try:
        value = _converted(name, value, kinds)
    except (TypeError, ValueError, OverflowError):  # an array without axes, a number beyond all bounds
        raise UserError(f"{name} must be {_described(kinds)}, not {short(value)}") from None
    is_choice = get_origin(kind) is Literal
    is_text = isinstance(value, (str, bytes))  # text is a sequence, too
    members = get_args(kind) if get_origin(kind) is Sequence else ()
    if (
        (is_choice and not is_text)
        or (is_text and not is_choice and str not in kinds)
        or not fits(value, kind)
        or (members and not all(fits(each, members[0]) for each in value))
    ):
        raise UserError(f"{name} must be {_described(kinds)}, not {short(value)}")
    if least is not None and not value >= least:  # NaN is not at least anything
        raise UserError(f"{name} must be at least {least}, not {value!r}")
    if most is not None and not value <= most:
        raise UserError(f"{name} must be at most {most}, not {value!r}")
    return value


def short(value: object) -> str:
    """Write an argument in one line, shortened."""
    return " ".join(repr(value).split())[:100]


def _iterables_as_sequences(kind: Any) -> Any:  # noqa: ANN401 - a type
    """Return a type with iterables replaced by sequences, which arguments are converted to."""
    if get_origin(kind) is UnionType:
        return functools.reduce(operator.or_, map(_iterables_as_sequences, get_args(kind)))
    return Sequence[get_args(kind)] if get_origin(kind) is Iterable else kind  # type: ignore[misc]


def _converted(name: str, value: Any, kinds: Sequence[Any]) -> Any:  # noqa: ANN401 - an argument of any type
    """Return a value in Python's own types: NumPy numbers converted, iterables as lists."""
    if int in kinds:
        return whole_number(name, value)
    if float in kinds and not isinstance(value, (bool, str)):
        return float(value)
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Sequence, Mapping)):
        value = list(value)  # a set, a generator, an array
    for kind in kinds:
        is_pair = get_origin(kind) is tuple and isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        if is_pair and len(value) == len(get_args(kind)):
            return tuple(map(float, value))
    return value


def _described(kinds: Sequence[Any]) -> str:
    """Write types for people."""
    words = {str: "text", Path: "a path", float: "a number", int: "a whole number", bool: "True or False"}
    found = [words[each] for each in kinds if each in words]
    for kind in kinds:
        if get_origin(kind) is Literal:
            return f"one of {', '.join(get_args(kind))}"
        if get_origin(kind) is tuple:
            found.append(f"{len(get_args(kind))} numbers")
        elif get_origin(kind) is Sequence:
            found.append("a list of names" if str in get_args(kind) else "a list of whole numbers")
    return " or ".join(found) or "names with values"


_FORMATS = {"float16": "e", "float32": "f"}
"""Floats that are narrower than Python's, by the letters of ``struct``."""


def as_python(value: Any) -> Any:  # noqa: ANN401 - an argument of any type
    """Return a number or array of NumPy or torch as Python numbers or lists; other values unchanged.

    Floats become the short decimals that they stand for: 2e-4 in float32, or 3 * 1e-4, would else be the number beside
    0.0002 or 0.0003, which is a setting of its own under the same name.
    """
    if isinstance(value, float) and not hasattr(value, "dtype"):
        return without_rounding_error(value)
    if not hasattr(value, "tolist"):
        return value
    form = _FORMATS.get(str(value.dtype).removeprefix("torch."))
    return _decimals(value.tolist(), form)


def _decimals(value: Any, form: str | None) -> Any:  # noqa: ANN401 - a number, or lists of them
    if isinstance(value, list):
        return [_decimals(each, form) for each in value]
    if not isinstance(value, float):
        return value
    return _shortest(value, form) if form else without_rounding_error(value)


def without_rounding_error(value: float) -> float:
    """Return the short decimal that differs from a float64 in the last digits only, or the value itself.

    A product such as 3 * 1e-4 = 0.00030000000000000003 is such a decimal to 15 digits; a value drawn at random has
    more than 9, and stays as it is.
    """
    digits = f"{value:.14e}"
    mantissa = digits.partition("e")[0].rstrip("0").lstrip("-")
    return float(digits) if len(mantissa) <= len("1.") + 8 else value


def _shortest(value: float, form: str) -> float:
    for digits in range(1, 10):
        short_one = float(f"{value:.{digits}g}")
        with contextlib.suppress(OverflowError):  # rounded up beyond the largest
            if struct.unpack(form, struct.pack(form, short_one))[0] == value:
                return short_one
    return value


def whole_number(name: str, value: Any) -> int:  # noqa: ANN401 - an argument of any type
    """Return an argument as a whole number.

    Raises:
        UserError: It is none; truth values are none to people.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise UserError(f"{name} must be a whole number, not {short(value)}") from None
