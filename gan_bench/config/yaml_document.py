"""YAML text -> plain values and the place of each: the core schema of YAML 1.2, with bounds on size and depth."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from gan_bench.core.errors import SuiteError
from gan_bench.core.fields import without_rounding_error
from gan_bench.core.text import clip

MAX_NODES = 20_000
MAX_DEPTH = 50
MAX_SCALAR = 10_000
MAX_MESSAGE = 500

Location = tuple[str | int, ...]
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

_TAG = "tag:yaml.org,2002:"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOO_LARGE = f"the suite is too large or too deep (at most {MAX_NODES:,} values, {MAX_DEPTH} levels); split it"


@dataclass(frozen=True)
class _Kind:
    """A kind of scalar: what its text looks like, and how the text becomes a value."""

    pattern: re.Pattern[str]
    value: Callable[[str], Plain]


def _float(text: str) -> float:
    return without_rounding_error(float(text.lower().replace(".inf", "inf").replace(".nan", "nan")))


_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_KINDS = {
    "null": _Kind(re.compile(r"(?:~|null|Null|NULL)?\Z"), lambda _: None),
    "bool": _Kind(re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), lambda text: text.lower() == "true"),
    "int": _Kind(re.compile(r"[-+]?[0-9]+\Z"), int),
    "float": _Kind(re.compile(rf"(?:{_FLOAT})\Z"), _float),
    "str": _Kind(re.compile(r"(?s:.*)\Z"), str),
}
"""Scalars of the core schema, in the order in which a plain one is tried."""


_PADDED = re.compile(r"([-+]?)0+(?=[0-9])([0-9]{1,20})\Z")
"""Numbers with leading zeros: octal in many programs, or the rest of a thousands comma: [1,024] is 1 and 24."""

_REMEDIES = {
    "found character '\\t'": "indent with blanks in place of tabs",
    "mapping values are not allowed": "quote a text that holds a colon, and indent the keys of one mapping alike",
    "unknown escape character": "put a path with backslashes in single quotes",
    "expected escape sequence": "put a path with backslashes in single quotes",
    "found undefined alias": "name a value with & before * refers to it, or write it out",
    "expected a single document": "keep one suite in a file, and remove ---",
    "could not find expected ':'": "put a colon and a blank behind the key",
    "found unexpected end of stream": "close the quote",
    "expected ',' or ']'": "close the bracket",
    "expected ',' or '}'": "close the brace",
    "parsing a block collection": "indent the items of one list alike",
    "'<block sequence start>'": "indent the items of one list alike",
    "expected <block end>": "indent the keys of one mapping alike",
}
"""PyYAML's messages for invalid YAML, with remedies."""


class _TooLargeError(yaml.MarkedYAMLError):
    """The document has more or deeper nodes than a suite may have; its mark is that of the first one too many."""


class _Loader(yaml.BaseLoader):
    """A loader that stops at the bounds while it parses, before anything large is composed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._depth = 0

    def get_event(self) -> yaml.Event:
        """Return the next event and count it."""
        event: yaml.Event = super().get_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.NodeEvent):
            self._nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            self._depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
        if self._nodes > MAX_NODES or self._depth > MAX_DEPTH:
            raise _TooLargeError(problem_mark=event.start_mark)  # type: ignore[arg-type]  # stubs have two classes
        return event


for _name, _kind in _KINDS.items():
    if _name != "str":
        _Loader.add_implicit_resolver(_TAG + _name, _kind.pattern, None)


class YamlDocument:
    """A YAML document as plain values, with the place of every key and value.

    Args:
        path: Named in errors.
        text: YAML.
        is_file: Whether the text stands in that file, so that errors name line and column.

    Raises:
        SuiteError: The text is not YAML, is too large, or holds what the core schema does not have.
    """

    def __init__(self, path: Path, text: str, *, is_file: bool = True) -> None:
        self.path, self.text, self._is_file = path, text, is_file
        self.keys: dict[Location, yaml.Mark] = {}
        self.values: dict[Location, yaml.Mark] = {}
        self._nodes = 0
        self._open: set[yaml.Node] = set()
        node = self._compose(text)
        if node is None:
            raise SuiteError(f"{path}: the suite is empty; `gan-bench new suite NAME` writes one that runs")
        self.content = self._value_of(node, ())

    def at(self, mark: yaml.Mark | None) -> str:
        """Return ``file:line:column`` of a mark."""
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark and self._is_file else str(self.path)

    def nearest(self, place: Location, *, key: bool) -> str:
        """Return ``file:line:column`` of a location, or of the closest enclosing one in the file."""
        while place:
            mark = (self.keys if key else self.values).get(place) or self.values.get(place)
            if mark:
                return self.at(mark)
            place = place[:-1]
        return self.at(self.values.get(()))

    def _compose(self, text: str) -> yaml.Node | None:
        loader: _Loader | None = None
        try:
            loader = _Loader(text)
            node: yaml.Node | None = loader.get_single_node()
        except _TooLargeError as error:
            raise self._refusal(error.problem_mark, (), _TOO_LARGE) from None
        except yaml.MarkedYAMLError as error:
            said = ", ".join(part for part in (error.context, error.problem) if part)
            remedy = next((f"; {remedy}" for words, remedy in _REMEDIES.items() if words in said), "")
            raise self._refusal(error.problem_mark or error.context_mark, (), f"not YAML: {said}{remedy}") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            column = error.position - text.rfind("\n", 0, error.position)
            said = f"not YAML: the character U+{error.character:04X} is not allowed; remove it"
            raise SuiteError(f"{self.path}:{line}:{column}: {said}") from None
        except Exception as error:  # PyYAML lets those of int() and chr() through
            mark = loader.get_mark() if loader else None
            raise self._refusal(mark, (), f"not YAML: {error or type(error).__name__}") from None
        return node

    def _refusal(self, mark: yaml.Mark | None, place: Location, said: str) -> SuiteError:
        field = f"{dotted(place)}: " if place else ""
        return SuiteError(f"{self.at(mark)}: {clip(field + said, MAX_MESSAGE)}")

    def _value_of(self, node: yaml.Node, place: Location) -> Plain:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(place) > MAX_DEPTH:
            raise self._refusal(node.start_mark, (), _TOO_LARGE)
        if node in self._open:
            raise self._refusal(
                node.start_mark, place, "an alias refers to the value that contains it; write the value out"
            )
        self.values[place] = node.start_mark
        if isinstance(node, yaml.ScalarNode):
            if node.tag == _TAG + "int" and (whole := _PADDED.match(node.value)):
                said = f'a number begins with 0; write {whole[1]}{whole[2]}, or "{node.value}" for a text'
                raise self._refusal(node.start_mark, place, said)
            return self._scalar(node, place)
        self._open.add(node)
        plain = self._collection(node, place)
        self._open.remove(node)
        return plain

    def _collection(self, node: yaml.Node, place: Location) -> Plain:
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self._value_of(item, (*place, i)) for i, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode) or node.tag != _TAG + "map":
            raise self._refusal(node.start_mark, place, f"the tag {_short_tag(node)} is not supported; remove it")
        content: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, place)
            if key in content:
                raise self._refusal(key_node.start_mark, (), f"{dotted((key,))} is given twice; keep one")
            self.keys[(*place, key)] = key_node.start_mark
            content[key] = self._value_of(value_node, (*place, key))
        return content

    def _key(self, node: yaml.Node, place: Location) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._refusal(node.start_mark, place, "a key must be plain text")
        self._scalar(node, place)
        if node.value == "<<":
            raise self._refusal(node.start_mark, place, "a merge key (<<) is not supported; write the values out")
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode, place: Location) -> Plain:
        text: str = node.value
        kind = _KINDS.get(node.tag.removeprefix(_TAG))
        if kind is None or not node.tag.startswith(_TAG):
            said = f"the tag {_short_tag(node)} is not supported; remove it"
        elif not kind.pattern.match(text):
            said = f"{quoted(text)} does not fit the tag {_short_tag(node)}; remove the tag"
        elif len(text) > MAX_SCALAR:
            said = f"a text of {len(text):,} characters is too long; at most {MAX_SCALAR:,}"
        elif found := _UNPRINTABLE.search(text):
            said = f"the character U+{ord(found.group()):04X} is not allowed; remove it"
        else:
            try:
                return kind.value(text)
            except ValueError:  # Python converts no more than 4,300 digits
                said = f"a number of {len(text):,} characters is too long; write a smaller one"
        raise self._refusal(node.start_mark, place, said)


def _short_tag(node: yaml.Node) -> str:
    tag = str(node.tag)
    return quoted(f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag).strip("'\"")


_OLD_BREAKS = frozenset("\x85\u2028\u2029")
"""Characters that end a line in YAML 1.1 but not in 1.2; PyYAML writes them bare unless the text is quoted."""


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes texts which the core schema would read as something else, such as ``1e-4``."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    kind = next(name for name, kind in _KINDS.items() if kind.pattern.match(text))
    is_plain = kind == "str" and not set(text) & _OLD_BREAKS
    return dumper.represent_scalar(_TAG + "str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _represent_text)


def as_yaml(content: Plain, width: int = 110) -> str:
    """Write plain values as YAML that ``YamlDocument`` reads back, in lines of about a width."""
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width))


def scalar(text: str) -> str:
    """Write a text as a YAML value, quoted if it would be read as something else."""
    return as_yaml(text, 1 << 20).removesuffix("...\n").strip()


def dotted(place: Location) -> str:
    """Return a place as ``trials[0].sweep.lr``; a key that is not one word is quoted and shortened."""
    parts = (
        f"[{part}]" if isinstance(part, int) else f".{part}" if _WORD.fullmatch(part) else f".{quoted(part)}"
        for part in place
    )
    return clip("".join(parts).removeprefix("."), MAX_MESSAGE // 2)


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 60


def quoted(value: object) -> str:
    """Return a value as an error quotes it, at most 60 characters long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return clip(_REPR.repr(value), 60)
