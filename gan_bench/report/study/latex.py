"""Tables for a paper: LaTeX with booktabs and siunitx, a caption that names the protocol, and marks for the best."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gan_bench.config.naming import TITLES
from gan_bench.core.errors import UserError
from gan_bench.core.text import as_typed, one_line
from gan_bench.report.study.table import RANKED, Column, Table, cell, cells, filled, note_of, number, records

_DAGGER = r"$^{\dagger}$"
MARKS = {"tied": _DAGGER, "ahead": _DAGGER, "unequal": r"$^{\ddagger}$", "withdrawn": r"$^{\S}$", "unknown": r"$^{\P}$"}
"""Marks by the rank status of a row."""
_OF_ALL = "Best in bold; dagger: not decidedly worse (paired t test over seeds, corrected over all settings, 0.05)."
_OF_SOME = {
    "unequal": "Double dagger: not judged, as it collapsed or failed more or less often, or had other data or code.",
    "withdrawn": "Section sign: not judged, as it was taken out of the suite before its first look.",
    "unknown": "Paragraph sign: not judged, as too few seeds of it and of the best have ended.",
}
_LEFT_OUT = ("rank", "fid", "sd_seeds", "sd_draws", "train_seconds", "remarks", "fid_inf", "precision", "recall")
"""Columns of a ranking that papers seldom need; ``--columns`` restores them."""

_ESCAPES = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",  # in every font encoding
    "-": "{-}",
    "[": "{[}",  # after a line's end it would be a length
    "]": "{]}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "≤": r"$\leq$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "·": r"$\cdot$",
    "β": r"$\beta$",
    "ε": r"$\varepsilon$",
    "₁": r"$_1$",
    "₂": r"$_2$",
    "²": r"$^2$",
    "…": r"\ldots{}",
}


_LETTERS = frozenset(chr(code) for code in range(0xC0, 0x100)) - set("ÐðÞþ")
"""Letters beyond ASCII that LaTeX prints without a further package."""


def escape_latex(text: str) -> str:
    """Escape text for LaTeX; letters that it may lack become their code points."""
    codes = {ord(c): f"{{[}}U+{ord(c):04X}{{]}}" for c in text if not (" " <= c <= "~" or c in _LETTERS)}
    return text.translate(codes | {ord(c): written for c, written in _ESCAPES.items()})


def to_latex(table: Table, columns: Sequence[str] | None = None) -> str:
    """Write a table as a LaTeX ``table`` with the packages booktabs and siunitx; empty columns are left out.

    Numbers and means ± half-widths stand in ``S`` columns, aligned at their decimal points; what is neither, such as
    an asymmetric interval, stands in braces.

    Args:
        table: The table; the best row and those of one of ``MARKS`` are marked in the column that ranks them.
        columns: Keys of the columns to show, in order, those that the table lacks left out; where it has none of
            them, or for None, those that fit a page.
    """
    shown = _chosen(table, columns)
    rows = records(table)
    written = [[_latex_cell(row, column) for column in shown] for row in rows]
    _name_baselines(written, rows, shown)
    marked = (
        any(column.key == RANKED for column in shown)
        and any(row.get("rank_status") == "best" for row in rows)
        and any(row.get(f"{RANKED}_n", 0) > 1 for row in rows)
    )
    form = "".join(_alignment(column, [row[i] for row in written]) for i, column in enumerate(shown))
    head = " & ".join(f"{{{escape_latex(one_line(column.title))}}}" for column in shown)
    there = [words for status, words in _OF_SOME.items() if any(row.get("rank_status") == status for row in rows)]
    marks = [_OF_ALL, *there] if marked else []
    caption = " ".join([f"{table.title}.", note_of(table, [table.columns.index(c) for c in shown]), *marks])
    body = [f"{' & '.join(texts)} \\\\" for texts in written]
    if settings := next((i for i, row in enumerate(rows) if row.get("baseline") is True), 0):
        body.insert(settings, r"\midrule")  # baselines come last
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,siunitx}",
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{escape_latex(one_line(caption))}}}",
            rf"\label{{tab:{''.join(c if c.isascii() and (c.isalnum() or c in '-.') else '-' for c in table.name)}}}",
            rf"\begin{{tabular}}{{{form}}}",
            r"\toprule",
            f"{head} \\\\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def left_out(tables: Sequence[Table], columns: Sequence[str]) -> list[str]:
    """Return which of the requested columns a ranking lacks, such as one in which its settings do not differ.

    Raises:
        UserError: A column is of no ranking, nor a value in which settings may differ; or no ranking has any of them.
    """
    rankings = [table for table in tables if table.ranking]
    there = ", ".join(dict.fromkeys(name for table in rankings for name in _column_names(table)))
    for name in columns:
        if name.removeprefix("value_") not in TITLES and not any(_column(table, name) for table in rankings):
            raise UserError(f'--columns: no column "{as_typed(name)}"; there are {there}')
    lacking = [(table, [name for name in columns if not _column(table, name)]) for table in rankings]
    if rankings and all(len(names) == len(columns) for _, names in lacking):
        first, names = lacking[0]
        wanted = as_typed(", ".join(names))
        raise UserError(f"--columns: {first.title}: no column {wanted}; there are {', '.join(_column_names(first))}")
    return [
        f"{table.title}: LaTeX with its usual columns, as it has no {', '.join(names)}"
        if len(names) == len(columns)
        else f"{table.title}: LaTeX without {', '.join(names)}: the table has no such column"
        for table, names in lacking
        if names
    ]


def _chosen(table: Table, columns: Sequence[str] | None) -> list[Column]:
    asked = list(dict.fromkeys(found for name in columns or () if (found := _column(table, name))))
    if not asked:
        some = [table.columns[i] for i in filled(table, cells(table))]
        # of a ranking, without values of settings that stand elsewhere in other words
        aside = {*_LEFT_OUT, *(each.key for each in some if each.detail and each.key.startswith("value_"))}
        return [column for column in some if not table.ranking or column.key not in aside]
    return asked


def _column(table: Table, name: str) -> Column | None:
    """Return the column that is asked for by either of its names."""
    by_key = {column.key: column for column in table.columns}
    return _column_names(table).get(name) or by_key.get(name)


def _column_names(table: Table) -> dict[str, Column]:
    """Return further names of columns besides their CSV names: fields of values, unless a measure has the name."""
    keys = {column.key for column in table.columns}
    short = {column.key: column.key.removeprefix("value_") for column in table.columns}
    return {column.key if short[column.key] in keys else short[column.key]: column for column in table.columns}


def _latex_cell(row: Mapping[str, object], column: Column) -> str:
    """Write one cell: a number for an ``S`` column, or escaped text."""
    text = _number(row, column) if _is_numeric(column) else escape_latex(one_line(cell(row, column)))
    if column.key != RANKED or not text:
        return text
    if row.get("rank_status") == "best":
        return rf"\textbf{{{text}}}"
    mark = MARKS.get(str(row.get("rank_status")))
    return f"{text} {mark}" if mark else text


def _name_baselines(written: list[list[str]], rows: Sequence[Mapping[str, object]], shown: Sequence[Column]) -> None:
    """Put the names of baseline rows into their first column if no displayed column has them."""
    for texts, row in zip(written, rows, strict=True):
        if row.get("baseline") is True and not any(row.get(column.key) == row["setting"] for column in shown):
            name = escape_latex(one_line(str(row["setting"])))
            texts[0] = f"{{{name}: {texts[0]}}}" if texts[0] else f"{{{name}}}"


def _number(row: Mapping[str, Any], column: Column) -> str:
    value: Any = row.get(column.key)
    text = cell(row, column)
    if column.kind == "interval" and "±" in text:
        half = (float(row[f"{column.key}_high"]) - float(row[f"{column.key}_low"])) / 2
        mean = number(float(value))
        digits = max(0, 1 - math.floor(math.log10(half))) if half else 9 if "e" in mean else len(mean.partition(".")[2])
        if digits < 9:
            return f"{round(float(value), digits) + 0.0:.{digits}f} +- {half:.{digits}f}"  # no minus before a zero
    elif not isinstance(value, (bool, str)):
        plain = text.replace(",", "")
        with contextlib.suppress(ValueError):
            if math.isfinite(float(plain)):
                return plain
    return f"{{{escape_latex(one_line(text))}}}" if text else ""


def _is_numeric(column: Column) -> bool:
    return column.kind in ("number", "interval", "count", "seconds", "rate", "value", "p")


def _alignment(column: Column, texts: list[str]) -> str:
    """Return the column's form: ``S`` with the digits its numbers need, or text."""
    if not _is_numeric(column):
        return "l"
    before = after = uncertain = exponent = 0
    for text in texts:
        if not text or text.startswith("{"):
            continue
        mean, _, half = text.partition(" +- ")
        mantissa, _, power = mean.partition("e")
        whole, _, digits = mantissa.partition(".")
        before, after = max(before, len(whole.lstrip("-"))), max(after, len(digits))
        uncertain = max(uncertain, len(half.replace(".", "").lstrip("0")))
        exponent = max(exponent, len(power.lstrip("-+")))
    sign = "-" if any(t.startswith("-") for t in texts) else ""
    form = f"{sign}{max(before, 1)}.{after}{f'({uncertain})' if uncertain else ''}"
    form += f"e{'-' if any('e-' in t for t in texts) else ''}{exponent}" if exponent else ""
    return f"S[mode=text, separate-uncertainty, table-format={form}]"
