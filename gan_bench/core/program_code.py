"""Digests of the code of parts that a running program registered itself, from functions and classes alone.

What a part stands on is a graph: functions, classes and objects that name others. Each counts once, by a line that has
its own text and, under their names, the values it stands on. What counts:

- A function: its source, default arguments, variables of the functions around it, and what it names of its module and
  of modules that are not installed. A lambda, and a function without source as in ``python -c``, count by their
  bytecode, which every version of Python compiles anew.
- A class: its bases and members. An object of such a class: its class and attributes.
- A constant: its value. Texts of a module are no such constants, as they are often paths, devices or dates.
- What an installed package brings: its name; an object of its classes, that of its class.

Lists, dictionaries and arrays do not count: they change while code runs.
"""

from __future__ import annotations

import argparse
import dis
import enum
import functools
import hashlib
import inspect
import linecache
import sys
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    EllipsisType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
    SimpleNamespace,
)
from typing import Any

PROGRAM = "__main__"
"""Name of what a part is of that the running program registered itself."""
_RULE = "rule 2"
"""Of what counts; digests by another one say nothing. The first had no name."""


def program_digest(code: Iterable[object]) -> tuple[str, str]:
    """Return the SHA-256 of functions and classes with all that they stand on, and by which rule it is made.

    Args:
        code: Functions, classes, and objects that can be called.

    Returns:
        The digest, the same in every process; and the rule, outside which it says nothing: with bytecode in it also
        that of a version of Python, as ``rule 2, bytecode of Python 3.12``.
    """
    graph = _Graph()
    digest = hashlib.sha256(" ".join(map(graph.token, code)).encode())
    for line in graph.lines():
        digest.update(f"\n{line}".encode("utf-8", "backslashreplace"))
    python = f", bytecode of Python {sys.version_info.major}.{sys.version_info.minor}" if graph.has_bytecode else ""
    return digest.hexdigest(), _RULE + python


def is_of_source(part: Mapping[str, Any]) -> bool:
    """True if the digest of a program's part is of source alone, by the present rule, so that it says something."""
    return bool(part["version"] == _RULE)


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


# ------------------------------------------------------------------------------------------- the graph

_Parts = Iterable[tuple[str, object]]
"""Values that something stands on, each under its name, in an order that is the same in every process."""
_SIMPLE = (NoneType, EllipsisType, bool, int, float, complex, str, bytes, range)
_CONSTANT = (bool, int, float, complex, range, tuple, frozenset)
_WRAPPERS = (functools.partial, functools.partialmethod, staticmethod, classmethod, property, functools.cached_property)


class _Graph:
    """Numbers what code stands on, breadth first: functions that name each other are met once."""

    def __init__(self) -> None:
        self.has_bytecode = False
        self._known: dict[int, tuple[object, str]] = {}  # with the values, as other ones could have their ids
        self._waiting: deque[object] = deque()
        self._count = 0

    def token(self, value: object) -> str:
        """Return what stands for a value where it is named: a constant itself, or a number."""
        kind = type(value)
        if kind in _SIMPLE:
            return _text_of_simple(value)
        if id(value) in self._known:
            return self._known[id(value)][1]
        try:
            token = self._token_of_constant(value)
        except Exception:  # of classes of users anything, of deep tuples a RecursionError: counted by its class
            token = None
        if token is None:
            token = f"#{self._count}"
            self._count += 1
            self._waiting.append(value)
        self._known[id(value)] = value, token
        return token

    def _token_of_constant(self, value: Any) -> str | None:  # noqa: ANN401 - whatever code names
        kind = type(value)
        if kind is tuple:
            # a digest, as tuples of tuples of the same tuples would double with each
            inside = repr(value) if all(type(each) in _SIMPLE for each in value) else " ".join(map(self.token, value))
            return f"tuple {hashlib.sha256(inside.encode('utf-8', 'backslashreplace')).hexdigest()}"
        if kind is frozenset and all(type(each) in _SIMPLE for each in value):
            return f"set {sorted(map(_text_of_simple, value))}"
        if kind.__module__ == "numpy" and hasattr(value, "item") and value.shape == ():
            return self.token(value.item())  # its own text says its type, another in other versions
        if issubclass(kind, enum.Enum) and not _is_own(kind):
            return f"{_name(kind)}.{value.name}"
        return str(value) if (kind.__module__, kind.__qualname__) == ("torch", "dtype") else None

    def lines(self) -> Iterator[str]:
        """Yield a line for everything that tokens number."""
        number = 0
        while self._waiting:
            value = self._waiting.popleft()
            try:
                text, parts = _described(value)
                named = [f"{name}={self.token(each)}" for name, each in parts]
            except Exception:  # of classes of users anything: counted by its class
                text, named = f"unreadable {type(value).__qualname__}", []
            self.has_bytecode |= text.startswith(_BYTECODE)
            yield f"#{number} {text} {' '.join(named)}"
            number += 1


def _text_of_simple(value: Any) -> str:  # noqa: ANN401 - one of the types above
    if type(value) is int:
        return hex(value)  # decimal digits are limited
    return f"bytes {hashlib.sha256(value).hexdigest()}" if type(value) is bytes else repr(value)


def _described(value: Any) -> tuple[str, _Parts]:  # noqa: ANN401 - whatever code names
    """Return the text of a function, class or object, and what it stands on."""
    kind = type(value)
    if kind is FunctionType and _is_own(value):
        return _text_of(value.__code__), _used(value)
    if issubclass(kind, _WRAPPERS) or kind is MethodType:
        return _name(kind), _wrapped(value)
    if issubclass(kind, type) and _is_own(value):
        bases = [*enumerate(value.__bases__), ("metaclass", kind)]
        members = ((name, each) for name, each in sorted(vars(value).items()) if _is_member(name, each))
        return f"class {value.__qualname__}", [*((f"{name}", each) for name, each in bases), *members]
    if callable(inner := inspect.getattr_static(value, "__wrapped__", None)) and not issubclass(kind, type):
        return _name(kind), [("", inner)]  # of functools.cache and the like
    return (_name(value), []) if issubclass(kind, type) else _described_object(value)


def _described_object(value: Any) -> tuple[str, _Parts]:  # noqa: ANN401 - whatever code names
    """Return the text of what is neither a class, nor a wrapper, nor a function of the user's."""
    kind = type(value)
    if _is_own(kind):
        kept = [*(_numbered(value) if issubclass(kind, tuple) else ()), *sorted(_attributes(value).items())]
        return "object", [("class", kind), *((name, each) for name, each in kept if _counts(each, texts=True))]
    if kind is BuiltinFunctionType and not issubclass(type(value.__self__), ModuleType):
        return _name(value), [("self", value.__self__)]
    return _name(value if callable(value) and hasattr(value, "__qualname__") else kind), []


def _wrapped(value: Any) -> _Parts:  # noqa: ANN401 - one of Python's own wrappers
    kind = type(value)
    if issubclass(kind, (functools.partial, functools.partialmethod)):
        return [("", value.func), *_numbered(value.args), *sorted(value.keywords.items())]
    if kind is MethodType:
        return [("", value.__func__), ("self", value.__self__)]
    if issubclass(kind, property):
        return [("get", value.fget), ("set", value.fset), ("del", value.fdel)]
    return [("", value.func if issubclass(kind, functools.cached_property) else value.__func__)]


def _numbered(values: Iterable[object]) -> _Parts:
    return ((str(number), each) for number, each in enumerate(values))


def _is_member(name: str, value: object) -> bool:
    """True for what a class's own body gives it: Python adds names of its own, of numbers those of lines."""
    is_python_s = name.startswith("__") and name.endswith("__")
    return issubclass(type(value), (FunctionType, *_WRAPPERS)) or (not is_python_s and _counts(value, texts=True))


def _attributes(value: object) -> dict[str, object]:
    """Return what an object keeps, in slots too; without asking it, as that may run its code."""
    found = dict(_dict_of(value))
    for cls in type(value).__mro__:
        for name, slot in vars(cls).items():
            if type(slot) is MemberDescriptorType and _is_own(cls):
                try:
                    found[name] = slot.__get__(value)
                except AttributeError:  # it has no value yet
                    continue
    found.pop("training", None)  # networks are told when they train
    return found


def _dict_of(value: object) -> dict[str, object]:
    """Return the variables of a module or object, or none; a module that is lazy stays so."""
    try:
        return dict(object.__getattribute__(value, "__dict__"))
    except Exception:  # it has none, or one that is computed
        return {}


def _counts(value: object, *, texts: bool) -> bool:
    """True for constants, code and own objects; of texts only where they are not those of a module."""
    kind = type(value)
    if kind in (str, bytes, NoneType, EllipsisType):
        return texts
    is_number = kind in _CONSTANT or issubclass(kind, enum.Enum) or kind.__module__ == "numpy"
    return is_number or callable(value) or _is_own(kind) or kind.__qualname__ == "dtype"


# ------------------------------------------------------------------------------------------- functions


def _used(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Yield what a function stands on: defaults, variables around it, and what it names in modules."""
    yield from _numbered(function.__defaults__ or ())
    yield from sorted((function.__kwdefaults__ or {}).items())
    names = _names(function.__code__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            around = cell.cell_contents
        except ValueError:  # it has no value yet
            continue
        if name not in names["STORE_DEREF"]:  # what it counts itself is no code
            yield name, around
    attributes = names["LOAD_ATTR"] | names["LOAD_METHOD"] | names["IMPORT_FROM"]
    found = {name: function.__globals__[name] for name in names["LOAD_GLOBAL"] | names["LOAD_NAME"]
             if name in function.__globals__ and name not in names["STORE_GLOBAL"]}  # fmt: skip
    imported = {name: sys.modules[name] for name in names["IMPORT_NAME"] if name in sys.modules}
    for name, value in sorted((imported | found).items()):
        yield from _named(name, value, attributes, set())


def _named(name: str, value: object, attributes: set[str], seen: set[int]) -> Iterator[tuple[str, object]]:
    """Yield what a name of a module stands for; of a module, and of what options are parsed to, what is asked of it."""
    is_module = issubclass(type(value), ModuleType)
    if not is_module and not issubclass(type(value), (SimpleNamespace, argparse.Namespace)):
        if _counts(value, texts=False):
            yield name, value
    elif id(value) not in seen and (not is_module or _is_own(value)):
        seen.add(id(value))
        for each, inner in sorted(_dict_of(value).items()):
            if each in attributes:
                yield from _named(f"{name}.{each}", inner, attributes, seen)


_NAMING = (
    *("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "LOAD_ATTR", "LOAD_METHOD", "STORE_DEREF"),
    *("IMPORT_NAME", "IMPORT_FROM"),
)


def _names(code: CodeType) -> dict[str, set[str]]:
    """Return the names in code, and in the functions in it, by the operations that take them."""
    found: dict[str, set[str]] = {operation: set() for operation in _NAMING}
    waiting = [code]
    while waiting:
        each = waiting.pop()
        for step in dis.get_instructions(each):
            if step.opname in found and isinstance(step.argval, str):
                found[step.opname].add(step.argval)
        waiting += [const for const in each.co_consts if isinstance(const, CodeType)]
    return found


_BYTECODE = "bytecode "


def _text_of(code: CodeType) -> str:
    """Return the source of a function, or what it runs where there is none."""
    found = source_text(code, code.co_filename)
    return _BYTECODE + _bytecode(code) if found is None else found


@functools.cache
def source_text(code: CodeType, file: str) -> str | None:
    """Return the source of a function, or None where there is none.

    It is kept from when the function was registered: its file may be edited while the program runs.

    Args:
        code: What the function runs.
        file: Where it stands: code is equal wherever it stands.
    """
    if code.co_name == "<lambda>" or (file.startswith("<") and file not in linecache.cache):
        return None  # the lines of a lambda are those of the whole call around it
    try:
        return textwrap.dedent(inspect.getsource(code)).rstrip()
    except Exception:  # no file, or one that is no Python any more
        return None


def _bytecode(code: CodeType) -> str:
    """Return what a function runs as text, without where it stands."""
    constants = [_bytecode(each) if isinstance(each, CodeType) else _constant(each) for each in code.co_consts]
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return f"{code.co_code.hex()} {counts} {names} [{', '.join(constants)}]"


def _constant(value: object) -> str:
    """Return the text of a constant that Python compiled: simple ones, and tuples and sets of them."""
    if isinstance(value, (tuple, frozenset)):
        texts = [_constant(each) for each in value]
        return f"set {sorted(texts)}" if isinstance(value, frozenset) else f"tuple {texts}"
    return _text_of_simple(value)


# -------------------------------------------------------------------------------------------- whose it is


def _name(value: Any) -> str:  # noqa: ANN401 - a class, or something with a name
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"


def _is_own(value: Any) -> bool:  # noqa: ANN401 - a function, class or module
    """True for what neither Python, nor an installed package, nor gan_bench brings; a decorator's is its package's."""
    if type(value) is FunctionType:
        name = value.__globals__.get("__name__", PROGRAM)
    elif issubclass(type(value), ModuleType):
        name = _dict_of(value).get("__name__")
    else:
        name = type.__getattribute__(value, "__module__")
    if name == PROGRAM:
        return True
    if str(name).partition(".")[0] in {*sys.stdlib_module_names, "gan_bench"}:
        return False
    file = _dict_of(sys.modules.get(str(name))).get("__file__") or ""
    return not {"site-packages", "dist-packages"} & set(Path(str(file)).parts)
