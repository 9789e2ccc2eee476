"""Text from files and exceptions, made safe to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """Write control characters and lone surrogates as escapes, so that text can command no terminal and break no file.

    Args:
        text: Any text; line breaks become blanks.

    Returns:
        One line that encodes as UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == " " else " " if c in "\n\r\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 trial``, ``2 trials``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
