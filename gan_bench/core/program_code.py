"""Digests of the code of parts that a running program registered itself, from functions and classes alone.

A function counts by its source and by what that names: default arguments, variables of the functions around it and of
its module. Of these, numbers, texts and tuples of them count by their values, functions and classes that are not
installed by their own code, and everything else by its name. A lambda, and a function without source as in
``python -c``, count by their bytecode, which every version of Python compiles anew.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

PROGRAM = "__main__"
"""Name of what a part is of that the running program registered itself."""


def program_digest(code: Iterable[object]) -> tuple[str, str]:
    """Return the SHA-256 of functions and classes with all that they stand on, and the Python that it depends on.

    Args:
        code: Functions, classes, and objects that can be called.

    Returns:
        The digest, the same in every process; and the version of Python outside which it says nothing, as
        ``bytecode of Python 3.12``, or an empty text.
    """
    reader = _Reader()
    text = "\n".join(reader.describe(each) for each in code)
    version = f"bytecode of Python {sys.version_info.major}.{sys.version_info.minor}" if reader.has_bytecode else ""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest(), version


def is_other_code(recorded: Mapping[str, Any], now: Mapping[str, Any], in_program: Mapping[str, Any]) -> bool:
    """True if a part has other code than a record says, as far as that can be told.

    Args:
        recorded: What it was of: name, version and sha256, as in ``environment.json``.
        now: What it is of now.
        in_program: The same, had the running program registered it: a part may have moved into a file since.
    """
    if recorded["name"] != PROGRAM:  # of a file or package, whose digest says nothing of single functions
        return bool(now["name"] != PROGRAM and recorded["sha256"] != now["sha256"])
    # one Python's bytecode says nothing of another's
    return bool(recorded["version"] == in_program["version"] and recorded["sha256"] != in_program["sha256"])


class _Reader:
    """Describes code as text; functions and classes that refer to each other are described once."""

    def __init__(self) -> None:
        self.has_bytecode = False
        self._seen: dict[int, int] = {}

    def describe(self, value: Any) -> str:  # noqa: ANN401 - whatever code names
        """Return the same text for the same code."""
        if isinstance(value, (FunctionType, type)):
            return self._defined(value)
        if (inner := _inner(value)) is not None:
            return self._joined(type(value).__name__, *inner)
        if _is_own(type(value)):
            simple = {name: each for name, each in getattr(value, "__dict__", {}).items() if _is_simple(each)}
            return self._joined("object", type(value), *_pairs(simple))
        if _is_simple(value):
            return _written(value)
        return _name(value) if callable(value) else ""

    def _joined(self, kind: str, *values: object) -> str:
        return f"{kind}({', '.join(map(self.describe, values))})"

    def _defined(self, value: FunctionType | type) -> str:
        if not _is_own(value):
            return _name(value)
        if id(value) in self._seen:
            return f"again {self._seen[id(value)]}"
        self._seen[id(value)] = len(self._seen)
        return self._class(value) if isinstance(value, type) else self._function(value)

    def _class(self, value: type) -> str:
        members = {
            name: each
            for name, each in vars(value).items()
            if isinstance(each, (FunctionType, staticmethod, classmethod, property)) or not name.startswith("__")
        }
        return self._joined("class", *value.__bases__, *_pairs(members))

    def _function(self, value: FunctionType) -> str:
        code = value.__code__
        text = source_text(code, code.co_filename)
        if text is None:
            self.has_bytecode = True
            text = _bytecode(code)
        used = _names(code, "LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL")
        named = {name: value.__globals__[name] for name in used if name in value.__globals__}
        defaults = (*(value.__defaults__ or ()), *_pairs(value.__kwdefaults__ or {}))
        return self._joined("function", text, *defaults, *_pairs(_around(value)), *_pairs(named))


def _inner(value: object) -> Iterable[object] | None:
    """Return what Python's own wrappers of functions wrap; None for what is none."""
    if isinstance(value, functools.partial):
        return value.func, *value.args, *_pairs(value.keywords)
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    if isinstance(value, (staticmethod, classmethod)):
        return (value.__func__,)
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    return None


def _pairs(values: Mapping[str, object]) -> Iterator[object]:
    for name in sorted(values):
        yield name
        yield values[name]


def _around(function: FunctionType) -> dict[str, object]:
    """Return the variables of the functions around a function that it reads and does not set itself."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    read = _names(function.__code__, "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF", "STORE_DEREF")
    found = {}
    for name, cell in cells:
        try:
            found[name] = cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    return {name: value for name, value in found.items() if name in read}


def _names(code: CodeType, *operations: str) -> set[str]:
    """Return the variables of some operations in code and in the functions in it, without those that it sets."""
    found, stored = set[str](), set[str]()
    waiting = [code]
    while waiting:
        each = waiting.pop()
        for step in dis.get_instructions(each):
            if step.opname in operations and isinstance(step.argval, str):
                (stored if step.opname.startswith("STORE") else found).add(step.argval)
        waiting += [const for const in each.co_consts if isinstance(const, CodeType)]
    return found - stored


@functools.cache
def source_text(code: CodeType, file: str) -> str | None:
    """Return the source of a function, or None where there is none.

    It is kept from when the function was registered: its file may be edited while the program runs.

    Args:
        code: What the function runs.
        file: Where it stands: code is equal wherever it stands.
    """
    if code.co_name == "<lambda>":  # its lines are those of the whole call around it
        return None
    try:
        return textwrap.dedent(inspect.getsource(code)).rstrip()
    except Exception:  # no file, or one that is no Python any more
        return None


def _bytecode(code: CodeType) -> str:
    """Return what a function runs as text, without where it stands."""
    constants = [_bytecode(each) if isinstance(each, CodeType) else _written(each) for each in code.co_consts]
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return f"{code.co_code.hex()} {counts} {names} [{', '.join(constants)}]"


def _is_simple(value: object) -> bool:
    """True for values that nothing can change, and whose text is the same in every process."""
    if isinstance(value, (tuple, frozenset)):
        return type(value) in (tuple, frozenset) and all(map(_is_simple, value))
    return type(value) in (bool, int, float, complex, str, bytes)


def _written(value: object) -> str:
    return f"{{{', '.join(sorted(map(repr, value)))}}}" if isinstance(value, frozenset) else repr(value)


def _name(value: object) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _is_own(value: object) -> bool:
    """True for what neither Python, nor an installed package, nor gan_bench brings."""
    name = str(getattr(value, "__module__", None) or "builtins")
    if name == PROGRAM:
        return True
    if name.partition(".")[0] in {*sys.stdlib_module_names, "gan_bench"}:
        return False
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return not {"site-packages", "dist-packages"} & set(Path(file).parts)
