"""Where parts come from that gan_bench does not ship: installed packages and local files, and digests of their code."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from gan_bench.core.errors import UserError, brief


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a part was loaded from.

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

    def to_json(self) -> dict[str, str | None]:
        """Return the source as a JSON-able dict."""
        return asdict(self)


_loading: ContextVar[Source | None] = ContextVar("loading", default=None)


@contextmanager
def loading(source: Source) -> Iterator[None]:
    """Attribute what is registered meanwhile to a source."""
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


def load_point(point: EntryPoint, what: str) -> tuple[object, Source]:
    """Import what an entry point names.

    Args:
        point: The entry point.
        what: What it is, for errors: ``architecture "x"``.

    Raises:
        UserError: Its code cannot be imported.
    """
    name, version = distribution_of(point)
    try:
        found: object = point.load()
    except (Exception, SystemExit) as error:  # somebody else's code may raise anything
        raise UserError(
            f"the {what} of {name} {version} cannot be loaded ({brief(error)}); repair or uninstall {name}"
        ) from None
    return found, Source(name=name, version=version, sha256=code_digest(point.module))


def code_digest(module: str) -> str:
    """Return the SHA-256 of an imported module's file and of the files of its package that it imports, directly or not.

    Data files and what stands in other packages are not seen.
    """
    top, files, waiting = module.partition(".")[0], {}, [module]
    while waiting:
        name = waiting.pop()
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in files or file is None:
            continue
        content = Path(file).read_bytes()
        files[name] = content
        if file.endswith(".py"):
            package = name if Path(file).name == "__init__.py" else name.rpartition(".")[0]
            waiting += [each for each in _imports(content, package) if each.partition(".")[0] == top]
        waiting += [name.rpartition(".")[0]] if "." in name else []
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return digest.hexdigest()


def _imports(content: bytes, package: str) -> Iterator[str]:
    """Yield the names of modules that a module may import; some may be names of what stands in modules."""
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            base = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            start = ".".join(part for part in (base, node.module or "") if part)
            yield start
            yield from (f"{start}.{alias.name}" for alias in node.names)
