"""A typed registry that refuses duplicates and suggests similar names.

Its entries are those that gan_bench ships, those that installed packages offer as entry points, and those that local
files or a running program register. Packages are imported at the first lookup of a name of theirs, so that a broken
one fails only those who use it.
"""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from gan_bench.core.errors import UserError
from gan_bench.core.fields import wrong_fields
from gan_bench.core.program_code import PROGRAM, program_digest
from gan_bench.core.sources import Source, current_source, distribution_of, load_point, points_of
from gan_bench.core.text import as_typed, with_article

T = TypeVar("T")


NEAR = 0.7
"""Share of equal letters from which a name is near: "only" to "onyl" has 0.75, "hinge" to "nothing" 0.67."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the known names that are close to a wrong one.

    Args:
        name: The name that was not found.
        known: Every name that would have been.

    Returns:
        ``did you mean "x"?`` when something is close, else ``known: a, b, c``.
    """
    names = sorted(known)
    lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=NEAR)
    beginning = name.lower()[: max(3, len(name) - 1)]  # "hinj"
    near = near or [each for each in lower if len(name) > 2 and each.startswith(beginning)][:1]
    return f'did you mean "{lower[near[0]]}"?' if near else f"known: {', '.join(names)}"


_LONGEST = 100
_IN_SCORES = re.compile(rf"\w[\w.-]{{0,{_LONGEST - 1}}}")

REGISTRIES: dict[str, Registry[Any]] = {}
"""Every registry by the plural that entry points use, such as ``architectures``; filled as modules are imported."""


class Registry(Mapping[str, T], Generic[T]):
    """Entries of one kind by name, in the order of their registration; those of packages follow.

    Args:
        kind: What the entries are, in the singular; used in error messages.
        plural: Ends the name of the group of entry points, ``gan_bench.PLURAL``.
        form: The class of entries, which what an entry point names must be.
        shipped: The entries that come with gan_bench, by name.
        all_count: Whether every entry takes part without being named, as measures do; then a broken package's entries
            are left out with a warning.
        also: Names a module that an entry stands on without importing it, or None; its code counts too.
        reserved: Where given, names must be plain identifiers and none of these.
        in_scores: Whether names enter those of scores, and so keys of MLflow and files: commas and brackets would end
            them there.
        refuse: Says what is wrong with an entry that gan_bench does not ship, or None.

    Attributes:
        broken: What is wrong with entries that were left out, by name.
    """

    def __init__(
        self,
        kind: str,
        plural: str,
        form: type[T],
        shipped: Mapping[str, T] = MappingProxyType({}),
        *,
        all_count: bool = False,
        also: Callable[[Any], str | None] = lambda _: None,
        reserved: frozenset[str] | None = None,
        in_scores: bool = False,
        refuse: Callable[[Any], str | None] = lambda _: None,
    ) -> None:
        self._refuse, self.in_scores = refuse, in_scores
        self.kind, self.plural, self.form, self._also, self._reserved = kind, plural, form, also, reserved
        self._entries = dict(shipped)
        self._sources: dict[str, Source] = {}
        self._shipped = frozenset(shipped)
        self._provisional: set[str] = set()
        self._of_program: dict[str, str] = {}
        self._digests: dict[str, tuple[T, str, str]] = {}
        self._found: dict[str, list[EntryPoint]] | None = None
        self._all_count = all_count
        self.broken: dict[str, str] = {}
        REGISTRIES[plural] = self

    def register(self, name: str, entry: T) -> T:
        """Add an entry and return it; one that the main program registered takes the place of its own earlier one.

        That is what running a notebook's cell again does.

        Raises:
            TypeError: It is of another class, or a field of it of another type.
            ValueError: The name is taken, or no name.
        """
        if fault := self.fault_of_name(name):
            raise ValueError(fault)
        if not isinstance(entry, self.form):
            wanted = with_article(self.form.__name__)
            raise TypeError(f'the {self.kind} "{name}" must be {wanted}, not {with_article(type(entry).__name__)}')
        self._check_fields(name, entry)
        module = str(sys._getframe(1).f_globals.get("__name__"))
        is_again = module == PROGRAM and self._of_program.get(name) == PROGRAM
        if name in self._entries and name not in self._provisional and not is_again:
            owner = self._sources.get(name)
            of = f" by {owner.name}" if owner else " by gan_bench" if name in self._shipped else ""
            raise ValueError(f'the {self.kind} name "{name}" is taken{of}: it is registered twice')
        if name in self.points():
            owner_name = distribution_of(self.points()[name][0])[0]
            raise ValueError(f'the {self.kind} name "{name}" is taken by the package {owner_name}')
        self._provisional.discard(name)
        self._entries[name] = entry
        if source := current_source():
            self._sources[name] = source
        elif module.partition(".")[0] != "gan_bench":  # that module registers a suite's own images
            self._of_program[name] = module
            self.in_program(name)  # digests the sources now, as they may be edited later
        return entry

    def fault_of_name(self, name: object) -> str | None:
        """Return why an entry cannot have a name, or None."""
        what = with_article(self.kind)
        if not isinstance(name, str) or not name:
            return f"the name of {what} must be text, not {name!r:.40}"
        if self._reserved is not None and (name in self._reserved or not name.isidentifier()):
            return f'"{as_typed(name)}" cannot name {what}: it is a column of tables or no plain name'
        if self.in_scores and not _IN_SCORES.fullmatch(name):
            return (
                f'"{as_typed(name)}" cannot name {what}: it stands in the names of scores, of at most {_LONGEST} '
                "letters, digits, '.', '_' and '-', a letter or digit first"
            )
        return None

    def _check_fields(self, name: str, entry: T, of: str = "") -> None:
        """Refuse what would fail only where it is used, after hours.

        Args:
            name: Its name.
            entry: Of the right class.
            of: Whose it is, behind its name.

        Raises:
            TypeError: A field is of another type.
            ValueError: It cannot be.
        """
        what = f'the {self.kind} "{name}"{of}'
        for field_name, wrong in wrong_fields(entry):
            raise TypeError(f"{what} has a wrong {field_name}: {wrong}")
        if name not in self._shipped and (fault := self._refuse(entry)):
            raise ValueError(f"{what} cannot be: {fault}")

    def register_placeholder(self, name: str, entry: T) -> None:
        """Add an entry that stands in for one that is not there; the next registration of its name replaces it."""
        if name not in self or name in self._provisional:
            self._entries[name] = entry
            self._provisional.add(name)

    def shipped(self) -> dict[str, T]:
        """Return the entries that come with gan_bench."""
        return {name: entry for name, entry in self._entries.items() if name in self._shipped}

    def is_shipped(self, name: str) -> bool:
        """True if an entry is shipped with gan_bench."""
        return name in self._shipped

    def source(self, name: str) -> Source | None:
        """Return where an entry was loaded from; None for one that is shipped, or a suite's own images."""
        self[name]
        return self.in_program(name) if name in self._of_program else self._sources.get(name)

    def in_program(self, name: str) -> Source:
        """Return the source of an entry as one that this program registered itself, by its code when it did."""
        entry = self[name]
        if name not in self._digests or self._digests[name][0] is not entry:  # digest once, as later state is not code
            self._digests[name] = entry, *program_digest(self._code_of(entry))
        _, digest, version = self._digests[name]
        return Source(name=PROGRAM, version=version, sha256=digest)

    def is_of_program(self, name: str) -> bool:
        """True if this program registered an entry itself, so that other processes do not know it."""
        return name in self._entries and not (name in self._shipped or name in self._sources)

    def _code_of(self, entry: T) -> Iterator[object]:
        """Yield what an entry calls: its functions and classes, and the class that it names."""
        module = self._also(entry)
        for field in fields(entry) if is_dataclass(entry) else ():
            value = getattr(entry, field.name)
            if callable(value):
                yield value
            elif module and isinstance(value, str) and value.startswith(f"{module}:"):
                yield getattr(sys.modules.get(module), value.partition(":")[2], None)

    def of_file(self, path: str) -> list[str]:
        """Return the names that a local file registered."""
        return [name for name, source in self._sources.items() if source.path == path]

    def forget(self, path: str) -> None:
        """Remove the entries of a local file."""
        for name in self.of_file(path):
            del self._sources[name], self._entries[name]

    def drop(self, name: str) -> None:
        """Remove an entry that gan_bench does not ship; the name is free again."""
        if name not in self._shipped:
            self._entries.pop(name, None)
            self._sources.pop(name, None)
            self._of_program.pop(name, None)

    def points(self) -> Mapping[str, list[EntryPoint]]:
        """Return what installed packages offer, by name; nothing is imported."""
        if self._found is None:
            self._found = {}
            for point in points_of(f"gan_bench.{self.plural}"):
                self._found.setdefault(point.name, []).append(point)
        return self._found

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            return self._entries[name]
        if name in self.points():
            return self._load(name)
        raise UserError(
            self.broken.get(name) or f'unknown {self.kind} "{as_typed(name)}" ({self.hint(name)})'
        ) from None

    def get(self, name: str, default: T | None = None) -> T | None:  # type: ignore[override]
        """Return an entry, or a default, as mappings do."""
        if name not in self:
            return default
        return self[name]

    def hint(self, name: str) -> str:
        """Return the names that are close to a wrong one, or a hint that a package may be missing."""
        found = did_you_mean(name, self)
        return found if found.startswith("did") else f"{found}; others come with packages of parts"

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self.points()

    def __iter__(self) -> Iterator[str]:
        if self._all_count:
            self._load_all()
            return iter(list(self._entries))
        return iter([*self._entries, *(name for name in self.points() if name not in self._entries)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _load(self, name: str) -> T:
        """Import the entry that a package offers under a name."""
        point, *others = self.points()[name]
        what = f'{self.kind} "{name}"'
        if others:
            names = ", ".join(distribution_of(each)[0] for each in (point, *others))
            raise UserError(f"the {what} is offered by several packages ({names}); uninstall all but one")
        self._refuse_clashes(point)
        if fault := self.fault_of_name(name):
            raise UserError(f"the {what} of {distribution_of(point)[0]} cannot be: {fault}")
        entry, source = load_point(point, what, self._also)
        if not isinstance(entry, self.form):
            wanted = f"{point.value} must be {with_article(self.form.__name__)}"
            given = with_article(type(entry).__name__)
            raise UserError(f"the {what} of {source.name} {source.version} is {given}; {wanted}")
        try:
            self._check_fields(name, entry, f" of {source.name} {source.version}")
        except (TypeError, ValueError) as error:
            raise UserError(str(error)) from None
        self._entries[name] = entry
        self._sources[name] = source
        return entry

    def _refuse_clashes(self, point: EntryPoint) -> None:
        """Refuse a package that offers a name of gan_bench's own: users could not tell which they get."""
        owner, _ = distribution_of(point)
        for registry in REGISTRIES.values():
            for name in registry.shipped():
                if any(distribution_of(each)[0] == owner for each in registry.points().get(name, ())):
                    raise UserError(
                        f'{owner} offers the {registry.kind} "{name}", a name of gan_bench itself; rename it in the '
                        f"entry points of {owner}"
                    )

    def _load_all(self) -> None:
        for name in [name for name in self.points() if name not in self._entries]:
            try:
                self._load(name)
            except UserError as error:
                del self.points()[name]  # type: ignore[attr-defined]  # it is said once
                self.broken[name] = str(error)
                warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)


def foreign_sources(names: Iterable[tuple[str, str]]) -> dict[str, Source]:
    """Return the sources of parts that gan_bench does not ship.

    Args:
        names: Plurals of registries and names in them.

    Returns:
        Sources by ``PLURAL/NAME``; parts that are shipped are left out.
    """
    found = {f"{plural}/{name}": REGISTRIES[plural].source(name) for plural, name in names}
    return {key: source for key, source in found.items() if source is not None}
