"""Text from files and exceptions, made safe to show."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from gan_bench.core.errors import UserError


def printable(text: str) -> str:
    """Escape control characters and lone surrogates, which could control a terminal or break a file.

    Args:
        text: Any text; line breaks become blanks.

    Returns:
        One line that encodes as UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == " " else " " if c in "\n\r\t" else _escape(c) for c in text)


def is_utf8(text: str) -> bool:
    """False for a path with bytes that are not UTF-8, which Python holds as lone surrogates."""
    return text.isascii() or text.encode(errors="ignore").decode() == text


def clip(text: str, limit: int) -> str:
    """Return a text as one line of a bounded length."""
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def as_typed(text: object) -> str:
    """Return a user's text as errors quote it: on one line and shortened."""
    return clip(printable(str(text)), 60)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


_COMMAND = re.compile(r"`((?:gan-bench|make) [^`\n]*)`")
"""A gan_bench command in a sentence; all other backticks are a user's text."""


def plain_markdown(text: str) -> str:
    """Escape Markdown and HTML in a text, except gan_bench commands as code."""
    parts = _COMMAND.split(one_line(text))
    return "".join(f"`{p}`" if i % 2 else re.sub(r"([\\`*_<\[\]|#])", r"\\\1", p) for i, p in enumerate(parts))


def markdown_cell(text: str) -> str:
    """Escape a text for a cell or heading of a Markdown document."""
    return re.sub(r"([\\`*\[\]|])", r"\\\1", one_line(text)).replace("<", "&lt;")


def one_line(text: str) -> str:
    """Return a text with single blanks for all its blanks and line breaks."""
    return " ".join(text.split())


def matches(name: str, pattern: str) -> bool:
    """True if a name matches a glob, or contains a plain text as a whole or as some of its parts."""
    return _matches(name, pattern) or set(pattern.split(",")) <= set(name.split(","))


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or (not set(pattern) & set("*?[") and pattern in name)


_ALWAYS = ("architecture=", "dataset=")
"""Beginnings of values that shortened names keep, as the recipe's name alone would imply another network or dataset."""


def trained_parts(setting: str) -> str:
    """Return a setting's name without the values that distinguish it from others of the same networks and images."""
    recipe, *values = setting.split(",")
    return ",".join([recipe, *(value for value in values if value.startswith(_ALWAYS))])


def shortened(names: Sequence[str], always: tuple[str, ...] = _ALWAYS) -> list[str]:
    """Return names of trials without their common values.

    Recipe and seed always stay, and so do networks and images that are not the recipe's: what begins so.
    """
    split = [name.split(",") for name in names]
    shared = set.intersection(*map(set, split)) if len(split) > 1 else set[str]()

    def stays(part: str, place: int, count: int) -> bool:
        return place in (0, count - 1) or part not in shared or part.startswith(always)

    return [",".join(part for i, part in enumerate(parts) if stays(part, i, len(parts))) for parts in split]


def names_meant(names: Iterable[str], pattern: str) -> frozenset[str]:
    """Return the names that a user means, who may have read their shortened forms.

    Args:
        names: All names there are.
        pattern: A glob, a part of names, or a name as ``shortened`` writes it, of these or of some of them, also
            without their networks and images. The first of these that fits a name decides: a whole name does not mean
            those that have further values.
    """
    known = sorted(set(names))
    found = [name for name in known if _matches(name, pattern)]
    shorter = zip(known, shortened(known), shortened(known, ()), strict=True)
    found = found or [name for name, *short in shorter if pattern in short]
    return frozenset(found or [name for name in known if matches(name, pattern)])


MOST_NAMES = 5
"""Names that an error lists."""


def names_instead(names: Iterable[str]) -> str:
    """Return the available settings for the error that a pattern matches none."""
    settings = list(dict.fromkeys(name.rpartition(",seed=")[0] or name for name in shortened(list(names))))
    return f"there {'are' if len(settings) > 1 else 'is'} {some_of(settings, MOST_NAMES, '; ', '; and {} more')}"


def some_of(texts: Sequence[str], most: int, joint: str = ", ", rest: str = " and {} more") -> str:
    """Join the first texts and count the others: ``a, b and 3 more``."""
    return joint.join(texts[:most]) + (rest.format(len(texts) - most) if len(texts) > most else "")


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 trial``, ``2 trials``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def some(names: Sequence[str], most: int = 3) -> str:
    """Join the first names on one line and count the others."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return "; ".join(map(printable, names[:most])) + more


_UNITS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str | float, what: str) -> float:
    """Read a duration: ``2h``, ``90min``, ``1h30m``, or seconds.

    Args:
        text: It, or seconds as a number.
        what: What it is, for the error.

    Raises:
        UserError: It is none, or not above zero.
    """
    said = str(text).strip().lower()
    number, unit = r"\d+(?:\.\d+)?", "sec|s|min|m|h|d"
    # a unit each but for the last: digits that may be one number or several take time without end
    is_one = re.fullmatch(rf"(?:{number}\s*(?:{unit})\s*)*(?:{number})?", said)
    found = re.findall(rf"({number})\s*({unit})?", said) if is_one else []
    seconds = sum(float(value) * _UNITS[named or "s"] for value, named in found)
    if not 0 < seconds < 1e9:
        raise UserError(f"{what} must be a time such as 2h, 90min or 3600, not {clip(repr(text), 80)}")
    return seconds


def duration(seconds: float) -> str:
    """Write seconds in a readable unit: ``0.4 s``, ``40 s``, ``12 min``, ``3.5 h``."""
    if 0.05 <= seconds < 0.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def rounded(value: float) -> str:
    """Write a measured number as a whole number, below ten with two digits: ``1,234``, ``12``, ``1.3``."""
    return f"{value:,.0f}" if abs(value) >= 9.95 or not abs(value) >= 1e-4 else f"{value:.2g}"


def at_home(text: str) -> str:
    """Expand a leading ``~`` that no shell has expanded: of ``--results=~/here``, an environment, a Python call.

    A folder of that name, ``./~``, becomes absolute: a Path leaves the dot out.
    """
    option, equals, value = text.partition("=") if text.startswith("--") else ("", "", text)
    if Path(value).parts[:1] != ("~",):
        return text
    is_home = value.startswith("~")
    return f"{option}{equals}{os.path.expanduser(value) if is_home else Path(value).absolute()}"  # noqa: PTH111 - text


def as_argument(path: object) -> str:
    """Return a path as an argument in a printed command; one with a leading dash would be an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def from_root(path: Path) -> Path:
    """Return a path from the root by the names that it was given by, without ``..``: links may differ on each node.

    The name of a link stays, but where ``..`` leads up from the folder that it stands for.
    """
    found = Path()
    for part in path.absolute().parts:
        if part == "..":
            found = Path(os.path.realpath(found) if found.is_symlink() else found).parent
        else:
            found /= part
    return found


_ODD_PATHS = {
    r"\w\w+:/": "download what is there, and name that",
    r"\$\w|%\w+%": "no shell has put in what its variable stands for",
    r"\\": "folders have / between them",
    r"[*?]": "name one folder, and no pattern of files",
}


def odd_path(text: str) -> str:
    """Return the remedy for a missing path that is an address, a pattern, or of another shell; else an empty text."""
    return next((remedy for form, remedy in _ODD_PATHS.items() if re.search(form, text)), "")


def with_article(noun: str) -> str:
    """Return a noun behind ``a`` or ``an``."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


MAX_SLUG = 150
_PLAIN = str.maketrans({"β": "beta", "₁": "1", "₂": "2", "·": "-"})


def slug(*parts: str) -> str:
    """Join names into a safe file name and link target; long ones are cut and marked."""
    text = "-".join(parts).translate(_PLAIN)
    # what is replaced becomes one hyphen; hyphens of a name itself tell it from others
    marked = "".join(c if c.isascii() and (c.isalnum() or c in "-._+") else "\0" for c in text)
    safe = re.sub(r"-*\0[-\0]*", "-", marked)
    if len(safe) <= MAX_SLUG:
        return safe
    return f"{safe[: MAX_SLUG - 9]}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"
