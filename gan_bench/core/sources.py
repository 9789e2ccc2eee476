"""Sources of third-party parts: installed packages and local files, with digests of their code."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from gan_bench.core.errors import UserError, brief, is_out_of_memory, is_stop
from gan_bench.core.torch_settings import torch_settings_kept


@dataclass(frozen=True, kw_only=True)
class Source:
    """The source of a part.

    Attributes:
        name: Name of the distribution, or of the local file.
        version: Version of the distribution; empty for a file.
        sha256: Digest of the code: of the file, or of the part's module and what that imports of its own package.
        path: The local file, absolute; None for a distribution.
    """

    name: str
    version: str
    sha256: str
    path: str | None = None


_loading: ContextVar[Source | None] = ContextVar("loading", default=None)


@contextmanager
def loading(source: Source) -> Iterator[None]:
    """Attribute parts registered in the block to a source."""
    token = _loading.set(source)
    try:
        yield
    finally:
        _loading.reset(token)


def current_source() -> Source | None:
    """Return the source that is being loaded, or None."""
    return _loading.get()


def distribution_of(point: EntryPoint) -> tuple[str, str]:
    """Return name and version of the distribution that an entry point belongs to."""
    found = point.dist
    return (found.name, found.version) if found is not None else (point.value.partition(":")[0], "")


def points_of(group: str) -> list[EntryPoint]:
    """Return the installed entry points of a group; nothing is imported."""
    return sorted(entry_points(group=group), key=lambda point: (point.name, *distribution_of(point)))


def load_point(point: EntryPoint, what: str, also: Callable[[Any], str | None]) -> tuple[object, Source]:
    """Import what an entry point names.

    Args:
        point: The entry point.
        what: What it is, for errors: ``architecture "x"``.
        also: Names a module that what was found stands on without importing it, or None.

    Raises:
        UserError: Its code cannot be imported.
    """
    name, version = distribution_of(point)
    try:
        with torch_settings_kept():
            found: object = point.load()
    except BaseException as error:  # third-party code may raise anything
        if is_stop(error):
            raise
        raise UserError(
            f"the {what} of {name} {version} cannot be loaded ({brief(error)}); repair or uninstall {name}"
        ) from None
    modules = [module for module in (point.module, also(found)) if module]
    return found, Source(name=name, version=version, sha256=code_digest(*modules))


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Turn any exception of a third-party part into a sentence about it, and restore torch's settings.

    Args:
        what: The part, for the sentence: ``extractor "x"``.

    Raises:
        UserError: Its code raised anything, or tried to end the process.
    """
    try:
        with torch_settings_kept(random=False):
            yield
    except UserError:
        raise
    except BaseException as error:  # third-party code may raise anything
        if is_stop(error) or is_out_of_memory(error):
            raise
        raise UserError(f"the {what} fails ({brief(error)}); correct its code") from error


def code_digest(*modules: str) -> str:
    """Return the SHA-256 of modules' files and of the files of their packages that they import, directly or not.

    A module counts whether it was imported yet or not. Data files and what stands in other packages are not seen.
    """
    tops, files, waiting = {module.partition(".")[0] for module in modules}, {}, list(modules)
    while waiting:
        name = waiting.pop()
        file = None if name in files else _file_of(name)
        if file is None:
            continue
        content = Path(file).read_bytes()
        files[name] = content
        if file.endswith(".py"):
            package = name if Path(file).name == "__init__.py" else name.rpartition(".")[0]
            waiting += [each for each in _imports(content, package) if each.partition(".")[0] in tops]
        waiting += [name.rpartition(".")[0]] if "." in name else []
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return digest.hexdigest()


def package_digest(package: str) -> str:
    """Return the SHA-256 of all Python files of an installed package."""
    folder, digest = Path(str(_file_of(package))).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(
            f"{path.relative_to(folder).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return digest.hexdigest()


def _file_of(module: str) -> str | None:
    """Return the file of a module, or None where there is no such module."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):  # the name of something in a module
        return None
    return spec.origin if spec is not None and spec.has_location else None


def _imports(content: bytes, package: str) -> Iterator[str]:
    """Yield the names of modules that a module may import; some may be attributes of modules."""
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            base = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            start = ".".join(part for part in (base, node.module or "") if part)
            yield start
            yield from (f"{start}.{alias.name}" for alias in node.names)
