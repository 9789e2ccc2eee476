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
import sysconfig
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
"""Source name of parts that the running program registered itself."""
_RULE = "rule 2"
"""Version of the rule for what is digested; digests by another rule are not comparable. The first had no name."""


def program_digest(code: Iterable[object]) -> tuple[str, str]:
    """Return the SHA-256 of functions and classes with everything that they depend on, and the rule's version.

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
    """True if the digest of a program's part is comparable: of source only, by the present rule."""
    return bool(part["version"] == _RULE)


def is_other_code(recorded: Mapping[str, Any], now: Mapping[str, Any], in_program: Mapping[str, Any]) -> bool:
    """True if a part is known to have other code than a record names.

    Args:
        recorded: What it was of: name, version and sha256, as in ``environment.json``.
        now: What it is of now.
        in_program: The same, had the running program registered it: a part may have moved into a file since.
    """
    if recorded["name"] != PROGRAM:  # a file or package, whose digest is not that of single functions
        return bool(now["name"] != PROGRAM and recorded["sha256"] != now["sha256"])
    # bytecode differs between versions of Python
    return bool(recorded["version"] == in_program["version"] and recorded["sha256"] != in_program["sha256"])


# ------------------------------------------------------------------------------------------- the graph

_Parts = Iterable[tuple[str, object]]
"""Dependencies of a value by name, in an order that is the same in every process."""
_SIMPLE = (NoneType, EllipsisType, bool, int, float, complex, str, bytes, range)
_CONSTANT = (bool, int, float, complex, range, tuple, frozenset)
_BY_TEXT = (("torch", "dtype"), ("fractions", "Fraction"), ("decimal", "Decimal"), ("builtins", "slice"))
"""Further immutable classes, by module and name, whose text identifies their objects."""
_OPTIONS = (SimpleNamespace, argparse.Namespace)
_WRAPPERS = (functools.partial, functools.partialmethod, staticmethod, classmethod, property, functools.cached_property)


class _Graph:
    """Numbers the dependencies of code, breadth first; functions that refer to each other are visited once."""

    def __init__(self) -> None:
        self.has_bytecode = False
        self._known: dict[int, tuple[object, str]] = {}  # keeps the values alive, as ids are reused
        self._waiting: deque[object] = deque()
        self._count = 0

    def token(self, value: object) -> str:
        """Return the token of a value: a constant itself, or a number."""
        kind = type(value)
        if kind in _SIMPLE:
            return _text_of_simple(value)
        if id(value) in self._known:
            return self._known[id(value)][1]
        try:
            token = self._token_of_constant(value)
        except Exception:  # users' classes may raise anything, deep tuples a RecursionError: use the class
            token = None
        if token is None:
            token = f"#{self._count}"
            self._count += 1
            self._waiting.append(value)
        self._known[id(value)] = value, token
        return token

    def _token_of_constant(self, value: Any) -> str | None:  # noqa: ANN401 - any object that code refers to
        kind = type(value)
        if kind is tuple:
            # a digest, as tuples of tuples of the same tuples would double with each
            inside = repr(value) if all(type(each) in _SIMPLE for each in value) else " ".join(map(self.token, value))
            return f"tuple {hashlib.sha256(inside.encode('utf-8', 'backslashreplace')).hexdigest()}"
        if kind is frozenset and all(type(each) in _SIMPLE for each in value):
            return f"set {sorted(map(_text_of_simple, value))}"
        if kind.__module__ == "numpy" and hasattr(value, "item") and value.shape == ():
            return self.token(value.item())  # its repr depends on the version of Python
        if issubclass(kind, enum.Enum) and not _is_own(kind):
            return f"{_name(kind)}.{value.name}"
        return repr(value) if (kind.__module__, kind.__qualname__) in _BY_TEXT else None

    def lines(self) -> Iterator[str]:
        """Yield a line for everything that tokens number."""
        number = 0
        while self._waiting:
            value = self._waiting.popleft()
            try:
                text, parts = _described(value)
                named = [f"{name}={self.token(each)}" for name, each in parts]
            except Exception:  # users' classes may raise anything: use the class
                text, named = f"unreadable {type(value).__qualname__}", []
            self.has_bytecode |= text.startswith(_BYTECODE)
            yield f"#{number} {text} {' '.join(named)}"
            number += 1


def _text_of_simple(value: Any) -> str:  # noqa: ANN401 - one of the types above
    if type(value) is int:
        return hex(value)  # decimal digits are limited
    return f"bytes {hashlib.sha256(value).hexdigest()}" if type(value) is bytes else repr(value)


def _described(value: Any) -> tuple[str, _Parts]:  # noqa: ANN401 - any object that code refers to
    """Return the text of a function, class or object, and its dependencies."""
    kind = type(value)
    if kind is FunctionType and _is_own(value):
        return _text_of(value.__code__), _used(value)
    if issubclass(kind, type):
        return (f"class {value.__qualname__}", _class_parts(value)) if _is_own(value) else (_name(value), [])
    inside = list(_wrapped(value))
    if _is_own(kind) or kind in _OPTIONS:
        kept = sorted(_attributes(value).items())
        return "object", [("class", kind), *inside, *((name, each) for name, each in kept if _counts(each, texts=True))]
    if inside:
        return _name(kind), inside
    return _name(value if callable(value) and hasattr(value, "__qualname__") else kind), []


def _class_parts(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the dependencies of a class: its bases and its own attributes."""
    yield from _numbered(cls.__bases__)
    yield "metaclass", type(cls)
    own = vars(cls)
    if issubclass(type(cls), enum.EnumMeta):  # its other attributes depend on the version of Python
        yield from ((name, each.value) for name, each in sorted(own["_member_map_"].items()))
    fields = own.get("__dataclass_fields__", {})
    for name, field in fields.items():  # whose order counts
        yield name, (field.default, field.default_factory)
    yield "fields", tuple(own.get("_fields", ()))
    is_generated = "__dataclass_fields__" in own or "_fields" in own
    for name, each in sorted(own.items()):
        function = getattr(each, "__func__", each) if issubclass(type(each), (*_WRAPPERS, FunctionType)) else None
        is_python_s = name.startswith("_") and name.endswith("_")
        if type(function) is FunctionType:
            is_own = _is_own(function) and not (is_generated and function.__code__.co_filename == "<string>")
            if is_own or not is_python_s:
                yield name, each
        elif not is_python_s and name not in own.get("_member_map_", {}) and (function or _counts(each, texts=True)):
            yield name, each


def _wrapped(value: Any) -> _Parts:  # noqa: ANN401 - any object that code refers to
    """Return the wrapped function of wrappers, the object of methods, and the content of own numbers and tuples."""
    kind = type(value)
    if issubclass(kind, (functools.partial, functools.partialmethod)):
        return [("", value.func), *_numbered(value.args), *sorted(value.keywords.items())]
    if kind is MethodType:
        return [("", value.__func__), ("self", value.__self__)]
    if kind is BuiltinFunctionType and not issubclass(type(value.__self__), ModuleType):
        return [("name", _name(value)), ("self", value.__self__)]
    if issubclass(kind, property):
        return [("get", value.fget), ("set", value.fset), ("del", value.fdel)]
    if issubclass(kind, tuple):
        return _numbered(value)
    plain = next((base for base in (int, float, str, bytes) if issubclass(kind, base)), None)
    inner = value.func if issubclass(kind, functools.cached_property) else None
    inner = value.__func__ if issubclass(kind, (staticmethod, classmethod)) else inner
    inner = plain.__repr__(value) if plain else inner
    inner = inner or inspect.getattr_static(value, "__wrapped__", None)  # functools.cache and the like
    return [("", inner)] if callable(inner) or type(inner) is str else []


def _numbered(values: Iterable[object]) -> _Parts:
    return ((str(number), each) for number, each in enumerate(values))


def _attributes(value: object) -> dict[str, object]:
    """Return the attributes of an object, slots included, without running its code."""
    found = dict(_dict_of(value))
    for cls in type(value).__mro__:
        for name, slot in vars(cls).items():
            if type(slot) is MemberDescriptorType and _is_own(cls):
                try:
                    found[name] = slot.__get__(value)
                except AttributeError:  # the variable has no value yet
                    continue
    if any(cls.__module__ == "torch.nn.modules.module" for cls in type(value).__mro__):
        found.pop("training", None)  # networks are told when they train
    return found


def _dict_of(value: object) -> dict[str, object]:
    """Return the variables of a module or object, or none; a lazy module is not loaded."""
    try:
        return dict(object.__getattribute__(value, "__dict__"))
    except Exception:  # no attribute, or a computed one
        return {}


def _counts(value: object, *, texts: bool) -> bool:
    """True for constants, code and own objects; of texts only where they are not those of a module."""
    kind = type(value)
    if kind in (str, bytes, NoneType, EllipsisType):
        return texts
    is_constant = kind in _CONSTANT or issubclass(kind, enum.Enum) or kind.__module__ == "numpy"
    is_constant |= (kind.__module__, kind.__qualname__) in _BY_TEXT
    return is_constant or callable(value) or _is_own(kind) or kind in _OPTIONS


# ------------------------------------------------------------------------------------------- functions


def _used(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Yield the dependencies of a function: defaults, closure variables and module attributes."""
    yield from _numbered(function.__defaults__ or ())
    yield from sorted((function.__kwdefaults__ or {}).items())
    names = _names(function.__code__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            around = cell.cell_contents
        except ValueError:  # the variable has no value yet
            continue
        if name not in names["STORE_DEREF"]:  # state of the function is not code
            yield name, around
    attributes = names["LOAD_ATTR"] | names["LOAD_METHOD"]
    found = {name: function.__globals__[name] for name in names["LOAD_GLOBAL"] | names["LOAD_NAME"]
             if name in function.__globals__ and name not in names["STORE_GLOBAL"]}  # fmt: skip
    for name, value in sorted(found.items()):
        yield from _named(name, value, attributes, set())


def _named(name: str, value: object, attributes: set[str], seen: set[int]) -> Iterator[tuple[str, object]]:
    """Yield what a name of a module stands for; of a module, and of what options are parsed to, what is asked of it."""
    is_module = issubclass(type(value), ModuleType)
    if not is_module and type(value) not in _OPTIONS:
        if _counts(value, texts=False):
            yield name, value
    elif id(value) not in seen and (not is_module or _is_own(value)):
        seen.add(id(value))
        for each, inner in sorted(_dict_of(value).items()):
            if each in attributes:
                yield from _named(f"{name}.{each}", inner, attributes, seen)


_NAMING = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "LOAD_ATTR", "LOAD_METHOD", "STORE_DEREF")


def _names(code: CodeType) -> dict[str, set[str]]:
    """Return the names in code, and in the functions in it, by the operations that take them."""
    found: dict[str, set[str]] = {operation: set() for operation in _NAMING}
    waiting = [code]
    while waiting:
        each = waiting.pop()
        for step in dis.get_instructions(each):
            is_inner = step.opname == "STORE_DEREF" and step.argval not in each.co_freevars  # a function's own variable
            if step.opname in found and not is_inner:
                found[step.opname].add(str(step.argval))
        waiting += [const for const in each.co_consts if isinstance(const, CodeType)]
    return found


_BYTECODE = "bytecode "


def _text_of(code: CodeType) -> str:
    """Return the source of a function, or its bytecode if there is none."""
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
    except Exception:  # no file, or one that is not Python any more
        return None


def _bytecode(code: CodeType) -> str:
    """Return the bytecode of a function as text, without positions."""
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
    found = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    return f"{found} {value.__name__}" if "<locals>" in found else found  # of several functions that one function made


_STDLIB = Path(sysconfig.get_path("stdlib"))


@functools.cache
def _is_installed(name: str, file: str) -> bool:
    """True for a module of Python, an installed package or gan_bench; a user's module may have the name of Python's."""
    if not file:
        return name.partition(".")[0] in sys.stdlib_module_names
    of_package = {"site-packages", "dist-packages"} & set(Path(file).parts)
    return bool(of_package) or name.partition(".")[0] == "gan_bench" or Path(file).is_relative_to(_STDLIB)


def _is_own(value: Any) -> bool:  # noqa: ANN401 - a function, class or module
    """True for objects not defined in an installed module; a decorator's wrapper belongs to its package."""
    if type(value) is FunctionType:
        name = value.__globals__.get("__name__", PROGRAM)
    elif issubclass(type(value), ModuleType):
        name = _dict_of(value).get("__name__")
    else:
        name = type.__getattribute__(value, "__module__")
    places = (_dict_of(sys.modules.get(each)).get("__file__") for each in (str(name), str(name).partition(".")[0]))
    return name == PROGRAM or not _is_installed(str(name), str(next(filter(None, places), "")))
