"""Digests of the code of parts that a running program registered itself, from functions and classes alone.

A function counts by its source, and so do the functions and classes that it names, also of modules that are not
installed; of what it names, numbers count by their values, and of default arguments, variables of the functions around
it and what it is bound to, texts as well. Everything else counts by its name or not at all. A lambda, and a function
without source as in ``python -c``, count by their bytecode, which every version of Python compiles anew.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import linecache
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from numbers import Number
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
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
    waiting, seen, digest = list(code), dict[int, object](), hashlib.sha256()
    has_bytecode = False
    while waiting:  # breadth first, so that functions that call each other are described once
        value = waiting.pop(0)
        if id(value) in seen:
            continue
        seen[id(value)] = value  # kept, as another object could have its id
        text, inner = _described(value)
        has_bytecode |= text.startswith(_BYTECODE)
        digest.update(f"{text}\n".encode("utf-8", "backslashreplace"))
        waiting += inner
    version = f"bytecode of Python {sys.version_info.major}.{sys.version_info.minor}" if has_bytecode else ""
    return digest.hexdigest(), version


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


_BYTECODE = "bytecode "


def _described(value: Any) -> tuple[str, list[object]]:  # noqa: ANN401 - whatever code names
    """Return what is written of a value, and what it stands on, in an order that is the same in every process."""
    if (text := _written(value)) is not None:
        return text, []
    inner = list(_inner(value))
    if isinstance(value, FunctionType) and _is_own(value):
        return _text_of(value.__code__), [*inner, *_used(value)]
    if isinstance(value, type) and _is_own(value):
        members = {name: each for name, each in sorted(vars(value).items()) if _is_code(each) or _is_number(each)}
        return f"class {value.__qualname__} {list(members)}", [*inner, *value.__bases__, *members.values()]
    if _is_own(type(value)) and not isinstance(value, type):
        kept = getattr(value, "__dict__", {})  # an object with slots has none
        simple = {name: each for name, each in sorted(kept.items()) if _written(each) is not None}
        return f"object {list(simple)}", [*inner, type(value), *simple.values()]
    return _name(value) if callable(value) else "", inner


def _inner(value: Any) -> Iterator[object]:  # noqa: ANN401 - whatever code names
    """Yield what wrappers of functions wrap."""
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *_values(value.keywords))
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, (staticmethod, classmethod)):
        yield value.__func__
    elif isinstance(value, property):
        yield from (each for each in (value.fget, value.fset, value.fdel) if each)
    elif isinstance(value, functools.cached_property):
        yield value.func
    elif not isinstance(value, type) and callable(wrapped := _wrapped(value)):
        yield wrapped


def _wrapped(value: object) -> object:
    """Return what a wrapper says that it wraps; objects that have every name one asks for say nothing."""
    return inspect.getattr_static(value, "__wrapped__", None)


def _used(function: FunctionType) -> Iterator[object]:
    """Yield what a function stands on: defaults, variables around it, and what it names in modules."""
    yield from function.__defaults__ or ()
    yield from _values(function.__kwdefaults__ or {})
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    names = _names(function.__code__)
    for name in sorted(names & function.__globals__.keys()):
        value = function.__globals__[name]
        if isinstance(value, ModuleType) and _is_own(value):
            yield from (each for used in sorted(names & vars(value).keys()) if _counts(each := vars(value)[used]))
        elif _counts(value):
            yield value


def _names(code: CodeType) -> set[str]:
    """Return the names of variables and attributes in code and in the functions in it, but for what these set."""
    inside = [each for each in code.co_consts if isinstance(each, CodeType)]
    set_here = {str(step.argval) for step in dis.get_instructions(code) if step.opname == "STORE_GLOBAL"}
    return {*code.co_names}.union(*map(_names, inside)) - set_here


def _values(named: Mapping[str, object]) -> Iterator[object]:
    for name in sorted(named):
        yield name
        yield named[name]


def _is_code(value: object) -> bool:
    wraps = (functools.partial, staticmethod, classmethod, property, functools.cached_property)
    return isinstance(value, (FunctionType, type, *wraps)) or callable(_wrapped(value))


def _counts(value: object) -> bool:
    """True for what counts of a module's variables: texts are often paths, devices or dates."""
    return _is_code(value) or _is_number(value) or _is_own(type(value))


def _is_number(value: object) -> bool:
    return isinstance(value, Number) or (isinstance(value, tuple) and all(map(_is_number, value)))


def _written(value: object) -> str | None:
    """Return the text of a value that nothing can change, the same in every process; None for all others."""
    if isinstance(value, (tuple, frozenset)):
        texts = [_written(each) for each in value]
        if None in texts:
            return None
        inside = sorted(map(str, texts)) if isinstance(value, frozenset) else map(str, texts)
        return f"{'set' if isinstance(value, frozenset) else 'tuple'} {', '.join(inside)}"
    if isinstance(value, Number) and hasattr(value, "item"):  # NumPy's say their type, another in other versions
        value = value.item()
    return repr(value) if value is None or isinstance(value, (Number, str, bytes)) else None


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
    constants = [_bytecode(each) if isinstance(each, CodeType) else _written(each) for each in code.co_consts]
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return f"{code.co_code.hex()} {counts} {names} [{', '.join(map(str, constants))}]"


def _name(value: object) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _is_own(value: Any) -> bool:  # noqa: ANN401 - whatever code names
    """True for what neither Python, nor an installed package, nor gan_bench brings; a decorator's is its package's."""
    module = value.__globals__ if isinstance(value, FunctionType) else {}
    called = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    name = str(module.get("__name__") or called or "builtins")
    if name == PROGRAM:
        return True
    if name.partition(".")[0] in {*sys.stdlib_module_names, "gan_bench"}:
        return False
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return not {"site-packages", "dist-packages"} & set(Path(file).parts)
