"""A table as data, and as text for the terminal, CSV and Markdown; ``latex`` writes the fourth format."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from gan_bench.config.measures import MEASURES
from gan_bench.config.naming import value_text
from gan_bench.core.text import markdown_cell, rounded, slug
from gan_bench.report.study.stats import FEW, Interval, mean_interval

RANKED = "median"
"""Column of a ranking with the rank's value: the median of the primary measure."""
Kind = Literal["text", "count", "number", "seconds", "rate", "share", "p", "interval", "range", "value"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: Column of the frame; an ``interval`` (mean ± half) and a ``range`` (mean, low to high) also read
            ``key_low``, ``key_high`` and ``key_n``.
        title: What people read.
        kind: How a value is written.
        note: A sentence that explains it, shown below the table with the column.
        vital: Whether a narrow terminal leaves out other columns first.
        decimals: Fixed decimals of its numbers, or None for four significant digits.
        detail: Whether a terminal shows it only where everything is asked for.
        essential: Whether it is never left out: without it the table says nothing.
        pair: Columns of the same pair are left out together; nothing for one that stands alone.
    """

    key: str
    title: str
    kind: Kind = "text"
    note: str = ""
    vital: bool = False
    decimals: int | None = None
    detail: bool = False
    essential: bool = False
    pair: str = ""


@dataclass(frozen=True)
class Table:
    """A table as data.

    Attributes:
        name: Name of its files.
        title: One line above it.
        columns: What is shown, in order.
        rows: The frame; it may hold more columns than are shown. ``baseline`` marks rows that are no setting.
        note: What is said below it, or nothing.
        brief: What of the note is said where only its first columns are shown, or nothing: then the note is.
        suite: The suite it is about, or nothing.
        kind: What sort of table it is: ``settings``, ``factor``, ``cost`` and so on.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: pd.DataFrame
    note: str = ""
    suite: str = ""
    kind: str = ""
    brief: str = ""

    @property
    def ranking(self) -> bool:
        """True if it ranks the settings of a study; rows may be flagged ``best``, or as ``to_latex`` marks them."""
        return self.kind == "settings"

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        """Its rows as plain dicts, from which every format is written."""
        rows: list[dict[str, Any]] = self.rows.to_dict("records")  # type: ignore[assignment]
        return rows

    @cached_property
    def _cells(self) -> list[list[str]]:
        return [[cell(row, column) for column in self.columns] for row in self._records]


def arrow(metric: str) -> str:
    """Title of a metric with an arrow towards better."""
    measure = MEASURES[metric]
    return f"{measure.title} {'↓' if measure.lower_is_better else '↑'}"


def score_column(metric: str) -> Column:
    """Return the column of a measure's means over seeds; fractions have fixed decimals, to compare 0 and 0.0001."""
    share = MEASURES[metric].bounds == (0, 1)
    return Column(metric, arrow(metric), "interval", decimals=3 if share else None)


def put_interval(row: dict[str, object], key: str, interval: Interval | None) -> None:
    """Put an interval into a row, in the columns that an ``interval`` column reads."""
    row[key] = interval.estimate if interval else None
    row[f"{key}_low"] = interval.low if interval else None
    row[f"{key}_high"] = interval.high if interval else None
    row[f"{key}_n"] = interval.n if interval else 0


def median_of(values: pd.Series[Any]) -> float | None:
    """Median of the known values, or None without any."""
    known = values.dropna().astype(float)
    return float(known.median()) if len(known) else None


def interval_of(values: pd.Series[Any], bounds: tuple[float | None, float | None] = (None, None)) -> Interval | None:
    """Mean and interval of the known values, or None without any.

    Of two values the ends are the values: Student's interval of two is so wide that it says nothing.

    Args:
        values: One per seed.
        bounds: Lowest and highest value that there can be, which the interval keeps.
    """
    known = values.dropna().astype(float)
    if not len(known):
        return None
    found = mean_interval(known)
    if 1 < found.n < FEW:
        return Interval(found.estimate, float(known.min()), float(known.max()), found.n)
    return found.within(*bounds)


def profile_mark(profile: str) -> str:
    """Return a profile's name for titles."""
    return "QUICK profile, cut down" if profile == "quick" else "full profile"


def name_table(
    names: tuple[str, ...], kind: str, title: str, columns: list[Column], rows: pd.DataFrame, note: str, *about: str
) -> Table:
    """Name a table after its suite, profile and dataset, and mark quick ones."""
    suite, profile, *rest = names
    return Table(
        slug(*names, kind, *about),
        f"{', '.join([suite, *rest])}: {title} ({profile_mark(profile)})",
        tuple(columns),
        rows,
        note,
        suite,
        kind,
    )


def number(value: float) -> str:
    """Write a number with four significant digits, without an exponent unless it is extreme."""
    if math.isfinite(value) and value == round(value) and abs(value) < 1e6:
        return str(round(value))
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.3e}"
    return f"{value:.0f}" if abs(value) >= 9999.5 else f"{value:#.4g}".rstrip(".")


def _p_text(p: float) -> str:
    """Write a p value; one near 0.05 has a further digit, to show on which side it is."""
    return "< 0.001" if p < 0.001 else f"{p:.4f}" if f"{p:.3f}" == "0.050" else f"{p:.3f}"


_WRITTEN: dict[str, Callable[[Any], str]] = {
    "text": str,
    "count": "{:.0f}".format,
    "seconds": "{:.1f}".format,
    "rate": lambda value: rounded(value).replace(",", ""),
    "share": "{:.0%}".format,
    "value": value_text,
    "p": _p_text,
}


def cell(row: Mapping[str, Any], column: Column) -> str:
    """Write one value as text; a missing one is empty."""
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


def interval_text(interval: Interval, column: Column) -> str:
    """Write an interval as in a column."""
    row: dict[str, object] = {}
    put_interval(row, column.key, interval)
    return cell(row, column)


def _half(width: float, mean: str) -> str:
    """Write half an interval's width; below the mean's precision, a zero with the same decimals."""
    digits = len(mean.partition(".")[2])
    hidden = digits > 0 and "e" not in mean and 0 < width < 0.5 * 10.0**-digits
    return f"{0:.{digits}f}" if hidden else number(width)


def records(table: Table) -> Sequence[Mapping[str, Any]]:
    """Return a table's rows as plain dicts."""
    return table._records


def cells(table: Table) -> list[list[str]]:
    """Write all cells of a table as text, row by row."""
    return [list(row) for row in table._cells]


def filled(table: Table, rows: list[list[str]]) -> list[int]:
    """Return which columns are not empty; all if every one is."""
    everything = range(len(table.columns))
    return [i for i in everything if any(row[i] for row in rows)] or list(everything)


def note_of(table: Table, shown: list[int]) -> str:
    """Return the note below a table with these columns; equal explanations are written once."""
    return " ".join(text for text in dict.fromkeys((table.note, *(table.columns[i].note for i in shown))) if text)


def table_markdown(table: Table) -> str:
    """Write a table as GitHub Markdown without empty columns; text is escaped."""
    rows = cells(table)
    shown = filled(table, rows)
    titles = [markdown_cell(table.columns[i].title) for i in shown]
    frame = pd.DataFrame([[markdown_cell(row[i]) for i in shown] for row in rows], columns=titles)
    body = frame.to_markdown(index=False, disable_numparse=True)
    text = markdown_cell(note_of(table, shown))
    note = f"\n\n{text}" if text else ""
    return f"### {markdown_cell(table.title)}\n\n{body}{note}\n"


def to_csv(table: Table) -> str:
    """Write a table as CSV with all digits; text is protected from being read as a formula."""
    parts = {"interval": ("", "_low", "_high", "_n"), "range": ("", "_low", "_high", "_n")}
    keys = [f"{column.key}{part}" for column in table.columns for part in parts.get(column.kind, ("",))]
    frame = table.rows.reindex(columns=keys).map(lambda v: _no_formula(v) if isinstance(v, str) else v)
    frame = frame.convert_dtypes()  # counts with gaps stay whole numbers
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def _no_formula(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
