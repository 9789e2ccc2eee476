"""Tables -> terminal, CSV and Markdown, from one source; ``latex`` writes the fourth form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from gan_bench.core.text import markdown_cell
from gan_bench.report.study.settings import value_text
from gan_bench.report.study.table import Column, Table


def number(value: float) -> str:
    """Write a number with four significant digits, without an exponent where people would not expect one."""
    if math.isfinite(value) and value == round(value) and abs(value) < 1e6:
        return str(round(value))
    return f"{value:.3e}" if abs(value) >= 1e6 or abs(value) < 1e-4 else f"{value:#.4g}".rstrip(".")


_WRITTEN: dict[str, Callable[[Any], str]] = {
    "text": str,
    "count": "{:.0f}".format,
    "seconds": "{:.1f}".format,
    "share": "{:.0%}".format,
    "value": value_text,
    "p": lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}",
}


def cell(row: Mapping[str, Any], column: Column) -> str:
    """Write one value for people; a missing one is an empty cell."""
    value = row.get(column.key)
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if column.kind in _WRITTEN:
        return _WRITTEN[column.kind](value)
    value = float(value)

    def write(x: float) -> str:
        if x == math.inf:
            return "∞"
        return number(x) if column.decimals is None else f"{x:.{column.decimals}f}"

    text = write(value)
    low, high = row.get(f"{column.key}_low"), row.get(f"{column.key}_high")
    if column.kind not in ("interval", "range") or low is None or high is None or pd.isna(low):
        return text
    low, high = float(low), float(high)
    if row.get(f"{column.key}_n") == 2:
        return f"{write(low)} to {write(high)}"
    half = (high - low) / 2
    if column.kind == "range" or abs((high + low) / 2 - value) > 1e-6 * half:
        return f"{text} ({write(low)} to {write(high)})"
    return f"{text} ± {_half(half, text) if column.decimals is None else write(half)}"


def _half(width: float, mean: str) -> str:
    """Write half an interval's width; below the mean's precision, a zero with the same decimals."""
    digits = len(mean.partition(".")[2])
    hidden = digits > 0 and "e" not in mean and 0 < width < 0.5 * 10.0**-digits
    return f"{0:.{digits}f}" if hidden else number(width)


def records(table: Table) -> list[dict[str, Any]]:
    """Return a table's rows as plain dicts."""
    rows: list[dict[str, object]] = table.rows.to_dict("records")  # type: ignore[assignment]
    return rows


def cells(table: Table) -> list[list[str]]:
    """Write a whole table for people, row by row."""
    return [[cell(row, column) for column in table.columns] for row in records(table)]


def filled(table: Table, rows: list[list[str]]) -> list[int]:
    """Return which columns hold anything; all where none does."""
    everything = range(len(table.columns))
    return [i for i in everything if any(row[i] for row in rows)] or list(everything)


def note_of(table: Table, shown: list[int]) -> str:
    """Return what is said below a table of which these columns are shown."""
    return " ".join(text for text in (table.note, *(table.columns[i].note for i in shown)) if text)


def table_markdown(table: Table) -> str:
    """Write a table as GitHub Markdown, empty columns left out; text cannot break out of its cell."""
    rows = cells(table)
    shown = filled(table, rows)
    titles = [markdown_cell(table.columns[i].title) for i in shown]
    frame = pd.DataFrame([[markdown_cell(row[i]) for i in shown] for row in rows], columns=titles)
    body = frame.to_markdown(index=False, disable_numparse=True)
    text = markdown_cell(note_of(table, shown))
    note = f"\n\n{text}" if text else ""
    return f"### {markdown_cell(table.title)}\n\n{body}{note}\n"


def to_csv(table: Table) -> str:
    """Write a table as CSV with all digits; a spreadsheet cannot mistake text for a formula."""
    keys: list[str] = []
    for column in table.columns:
        keys.append(column.key)
        if column.kind in ("interval", "range"):
            keys += [f"{column.key}_low", f"{column.key}_high", f"{column.key}_n"]
    frame = table.rows.reindex(columns=keys).map(lambda v: _no_formula(v) if isinstance(v, str) else v)
    frame = frame.convert_dtypes()  # counts with gaps stay whole numbers
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def _no_formula(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
