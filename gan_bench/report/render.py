"""Tables -> terminal, CSV and Markdown, from one source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gan_bench.atomic import write_atomically
from gan_bench.report.table import Column, Table


def number(value: float) -> str:
    """Write a number with four significant digits, without an exponent where people would not expect one."""
    if value == 0:
        return "0"
    return f"{value:.3e}" if abs(value) >= 1e6 or abs(value) < 1e-4 else f"{value:#.4g}".rstrip(".")


def cell(row: pd.Series[Any], column: Column) -> str:
    """Write one value for people; a missing one is an empty cell."""
    value = row.get(column.key)
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if column.kind == "text":
        return str(value)
    if column.kind == "count":
        return f"{value:.0f}"
    if column.kind == "seconds":
        return f"{value:.1f}"
    text = number(float(value))
    low, high = row.get(f"{column.key}_low"), row.get(f"{column.key}_high")
    if column.kind == "interval" and low is not None and high is not None and not pd.isna(low):
        return f"{text} ± {number((float(high) - float(low)) / 2)}"
    return text


def cells(table: Table) -> list[list[str]]:
    """Write a whole table for people, row by row."""
    return [[cell(row, column) for column in table.columns] for _, row in table.rows.iterrows()]


def print_table(table: Table, console: Console) -> None:
    """Print a table to a terminal, without columns that are empty."""
    rows = cells(table)
    shown = [i for i in range(len(table.columns)) if any(row[i] for row in rows)]
    rich = RichTable(title=Text(table.title), caption=Text(table.note), caption_justify="left", title_justify="left")
    for i in shown:
        numeric = table.columns[i].kind != "text"
        rich.add_column(Text(table.columns[i].title), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        rich.add_row(*[Text(row[i]) for i in shown])
    console.print(rich)
    console.print()


def to_markdown(table: Table) -> str:
    """Write a table as GitHub Markdown; text cannot break out of its cell."""
    frame = pd.DataFrame(cells(table), columns=[column.title for column in table.columns])
    safe = frame.map(lambda text: _one_line(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;"))
    body = safe.to_markdown(index=False, disable_numparse=True)
    note = f"\n\n{table.note}" if table.note else ""
    return f"### {table.title}\n\n{body}{note}\n"


def to_csv(table: Table) -> str:
    """Write a table as CSV with all digits; a spreadsheet cannot mistake text for a formula."""
    keys: list[str] = []
    for column in table.columns:
        keys.append(column.key)
        if column.kind == "interval":
            keys += [f"{column.key}_low", f"{column.key}_high", f"{column.key}_n"]
    frame = table.rows.reindex(columns=keys).map(lambda v: _no_formula(v) if isinstance(v, str) else v)
    frame = frame.convert_dtypes()  # counts with gaps stay whole numbers
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _no_formula(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_tables(tables: list[Table], out: Path) -> None:
    """Write every table as ``OUT/tables/<name>.csv`` and ``.md``.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = out / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        write_atomically(folder / f"{table.name}.csv", to_csv(table))
        write_atomically(folder / f"{table.name}.md", to_markdown(table))
