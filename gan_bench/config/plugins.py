"""Local files of a user's own parts: Python that registers them, run only when that was allowed."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Base64Bytes

from gan_bench.core.errors import UserError, brief, is_stop
from gan_bench.core.registry import REGISTRIES
from gan_bench.core.sources import Source, loading
from gan_bench.core.torch_settings import torch_settings_kept

_PREFIX = "gan_bench_plugin_"
_loaded: dict[str, bytes] = {}
"""The code that ran, by the file's path."""


@dataclass(frozen=True)
class PluginCode:
    """A plug-in as it was loaded, for other processes: they run this code even if the file has changed by then.

    Attributes:
        path: The file, absolute.
        code: Its content.
    """

    path: Path
    code: Base64Bytes

    @classmethod
    def of(cls, source: Source) -> PluginCode:
        """Return the code of a plug-in that this process has loaded.

        Raises:
            UserError: It has loaded another since.
        """
        code = _loaded.get(str(source.path), b"")
        if hashlib.sha256(code).hexdigest() != source.sha256:
            raise UserError(f"the plug-in {source.path} is not what it was; run the suite again")
        return cls(Path(str(source.path)), code)


def read_plugin(path: Path) -> bytes:
    """Return the content of a file of parts, without running it.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the plug-in {path} cannot be read ({error.strerror}); correct its path") from None


def load_plugin(path: Path, sha256: str | None = None) -> Source:
    """Run a file that registers parts; one that ran before runs again only when it has changed.

    Args:
        path: The file. The caller has been allowed to run it.
        sha256: Digest that the file must have to be run, or None.

    Returns:
        What its parts are attributed to.

    Raises:
        UserError: It cannot be read, fails, or registers a name that is taken; then none of its parts is registered.
    """
    content = read_plugin(path)
    if sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise UserError(f"the plug-in {path} is not what it was; restore it, or run the suite again")
    return run_plugin(path, content)


def run_plugin(path: Path, content: bytes) -> Source:
    """Run the content of a file of parts, as ``load_plugin`` does; the file itself is not read."""
    place = str(path.resolve())
    source = Source(name=path.name, version="", sha256=hashlib.sha256(content).hexdigest(), path=place)
    if _loaded.get(place) == content:
        return source
    forget_plugin(place)
    name = f"{_PREFIX}{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise UserError(f"the plug-in {path} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of its classes look there
    try:
        with loading(source), torch_settings_kept():
            exec(compile(content, place, "exec"), module.__dict__)  # noqa: S102 - its owner allowed it
    except BaseException as error:  # third-party code may raise anything
        if is_stop(error):
            raise
        forget_plugin(place)
        line = next(
            (f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == place), None
        )
        where = f", line {line}" if line else ""
        remedy = "repair it"
        if isinstance(error, ModuleNotFoundError):
            remedy = "a plug-in imports installed packages alone: install it, or name its folder in PYTHONPATH"
        elif isinstance(error, ImportError) and "relative" in str(error):
            remedy = "a plug-in is of no package: import the module by its name, and name its folder in PYTHONPATH"
        raise UserError(f"the plug-in {path} cannot be loaded ({brief(error)}{where}); {remedy}") from None
    _loaded[place] = content
    return source


def keep_plugins(paths: Iterable[Path]) -> None:
    """Forget the parts of all files but these: they were allowed for another suite."""
    kept = {str(path.resolve()) for path in paths}
    for place in [place for place in _loaded if place not in kept]:
        forget_plugin(place)


def forget_plugin(place: str) -> None:
    """Remove the parts of a file that ran."""
    _loaded.pop(place, None)
    for registry in REGISTRIES.values():
        registry.forget(place)
