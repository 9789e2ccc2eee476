"""Tables -> terminal, CSV, Markdown and LaTeX, from one source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


PRINTED = 100
"""Rows of a table that are printed."""
_WRITTEN: dict[str, Callable[[Any], str]] = {
    "text": str,
    "count": "{:.0f}".format,
    "seconds": "{:.1f}".format,
    "share": "{:.0%}".format,
    "p": lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}",
}


def cell(row: Mapping[str, Any], column: Column) -> str:
    """Write one value for people; a missing one is an empty cell."""
    value = row.get(column.key)
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if column.kind in _WRITTEN:
        return _WRITTEN[column.kind](value)
    text = number(float(value))
    low, high = row.get(f"{column.key}_low"), row.get(f"{column.key}_high")
    if column.kind == "interval" and low is not None and high is not None and not pd.isna(low):
        return f"{text} ± {number((float(high) - float(low)) / 2)}"
    return text


def records(table: Table) -> list[dict[str, Any]]:
    """Return a table's rows as plain dicts."""
    rows: list[dict[str, Any]] = table.rows.to_dict("records")  # type: ignore[assignment]
    return rows


def cells(table: Table) -> list[list[str]]:
    """Write a whole table for people, row by row."""
    return [[cell(row, column) for column in table.columns] for row in records(table)]


def print_table(table: Table, console: Console) -> None:
    """Print a table to a terminal, without columns that are empty, and of a long one the beginning."""
    rows = cells(table)
    note = f"The first {PRINTED} of {len(rows)} rows; all are in the files. " if len(rows) > PRINTED else ""
    shown = [i for i in range(len(table.columns)) if any(row[i] for row in rows)]
    rich = RichTable(
        title=Text(table.title), caption=Text(note + table.note), caption_justify="left", title_justify="left"
    )
    for i in shown:
        numeric = table.columns[i].kind != "text"
        rich.add_column(Text(table.columns[i].title), justify="right" if numeric else "left", overflow="fold")
    for row in rows[:PRINTED]:
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


_LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "-": "{-}",
    "[": "{[}",  # after a line's end it would be a length
    "]": "{]}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "≤": r"$\leq$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "…": r"\ldots{}",
}


def escape_latex(text: str) -> str:
    """Write text so that LaTeX prints it and does nothing else; letters it may lack become their code points."""
    return "".join(_LATEX.get(c) or (c if " " <= c <= "~" or "\xc0" <= c <= "\xff" else _code(c)) for c in text)


def _code(character: str) -> str:
    return f"{{[}}U+{ord(character):04X}{{]}}"


def to_latex(table: Table) -> str:
    """Write a table for LaTeX with the package booktabs; columns that are empty are left out."""
    rows = cells(table)
    shown = [i for i in range(len(table.columns)) if any(row[i] for row in rows)] or list(range(len(table.columns)))
    form = "".join("l" if table.columns[i].kind == "text" else "r" for i in shown)

    def line(texts: list[str]) -> str:
        return f"{' & '.join(escape_latex(_one_line(texts[i])) for i in shown)} \\\\"

    body = [line([column.title for column in table.columns]), r"\midrule", *(line(row) for row in rows)]
    note = [rf"\par\footnotesize {escape_latex(table.note)}"] if table.note else []
    parts = [r"% needs \usepackage{booktabs}", rf"% {_one_line(table.title)}", rf"\begin{{tabular}}{{{form}}}"]
    return "\n".join([*parts, r"\toprule", *body, r"\bottomrule", r"\end{tabular}", *note, ""])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _no_formula(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_tables(tables: list[Table], out: Path) -> None:
    """Write every table as ``OUT/tables/<name>.csv``, ``.md`` and ``.tex``.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = out / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        write_atomically(folder / f"{table.name}.csv", to_csv(table))
        write_atomically(folder / f"{table.name}.md", to_markdown(table))
        write_atomically(folder / f"{table.name}.tex", to_latex(table))
