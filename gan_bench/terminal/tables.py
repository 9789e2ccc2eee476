"""Tables and answers in a terminal: what fits its width, and where to find the rest."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gan_bench.core.text import plural, printable, shortened
from gan_bench.report.build import Report
from gan_bench.report.study.table import Column, Table, cells, filled, note_of, records
from gan_bench.terminal.console import PlainConsole, spelled, wrapped

PRINTED = 100
"""Rows of a table that are printed."""
_INTERVAL = re.compile(r"\s(?=\()")
_BREAK = re.compile(r"(?<=,)(?!\d)|\s")
_PART = re.compile(r"(?:[^,\s]|,(?=\d))*[,\s]?")
_DESCRIBE = ("text", "count", "value")
"""Kinds of columns that describe a setting rather than its scores."""
TEXT = 24
"""Width to which a column of text may shrink in a terminal."""


def print_table(
    table: Table,
    console: Console,
    *,
    filed: bool = True,
    details: bool = True,
    most: int = PRINTED,
    adding: str = "--tables all",
) -> None:
    """Print a table: non-empty columns that fit, and the first rows.

    Numbers are never broken; their intervals go to a line of their own. Text breaks where it has commas or blanks, and
    when that is not enough columns are left out, pairs together, vital ones after all others: first those that are
    equal in all rows (of baselines in a ranking, scores alone count), whose value stands below the table, then from the
    last to the first. Where not even the essential ones fit, every row is an entry of lines with all that it has. Of a
    long table, rows that are no settings are kept.

    Args:
        table: The table.
        console: Where to.
        filed: Whether the whole table lies in the report's files, which is said where something is left out.
        details: Whether columns of details are shown too.
        most: Rows that are printed.
        adding: What shows the columns of details, where they are left out.
    """

    def spell(text: str) -> str:
        return printable(spelled(text, console.encoding))

    baselines = [row.get("baseline") is True for row in records(table)]
    named = _labelled(table, cells(table), baselines)
    _shorten_names(table, named)
    everything = [[spell(text) for text in row] for row in named]
    table = replace(table, columns=tuple(replace(column, title=spell(column.title)) for column in table.columns))
    rows, known = _beginning(everything, baselines, most), filled(table, everything)
    wanted = [i for i in known if details or not table.columns[i].detail]
    if len(wanted) < 2:
        return
    widths = {i: _widths(table.columns[i], [row[i] for row in rows]) for i in wanted}
    equal = _equal(table, rows, wanted, sum(baselines))
    fitted = _fit(widths, table, console.width, set(equal))
    shown = list(fitted or wanted)
    more = "; all are in the files" if filed else ""
    all_of = "settings" if any(baselines) else "rows"
    notes = list(_notes(table, (len(rows), len(everything)), (wanted, shown), equal, more, all_of))
    left = len(known) - len(wanted)
    notes.append((left and table.brief) or note_of(table, shown))
    notes.append(f"{adding} adds up to {plural(left, 'column')}." if left else "")
    caption = spell(" ".join(filter(None, notes)))
    console.print(Text(spell(table.title), style="italic"))
    if fitted:
        rich = RichTable()
        for i, width in fitted.items():
            numeric = table.columns[i].kind != "text"
            title = Text("\n".join(broken(table.columns[i].title, width)))
            rich.add_column(title, justify="right" if numeric else "left", no_wrap=True, width=width)
        for row in rows:
            rich.add_row(*[Text("\n".join(_lines(table.columns[i], row[i], width))) for i, width in fitted.items()])
        console.print(rich)
    else:
        for row in rows:
            for line in wrapped(_row_as_text(table, row, wanted), console.width):
                console.print(Text(line))
    for line in wrapped(caption, console.width) if caption else ():  # a command in it stays whole
        console.print(Text(line.strip(), style="dim italic"))
    console.print()


def _notes(
    table: Table,
    rows: tuple[int, int],
    columns: tuple[list[int], list[int]],
    equal: dict[int, str],
    more: str,
    all_of: str,
) -> Iterator[str]:
    """Yield which rows and columns of a table are hidden because the terminal is too small."""
    titles = [column.title for column in table.columns]
    wanted, shown = columns
    if rows[0] < rows[1]:
        yield f"The first {rows[0]} of {rows[1]} rows{more}."
    hidden = [i for i in wanted if i not in shown]
    told = {i: f"{titles[i]} {equal[i]}" for i in hidden if i in equal and cell_len(equal[i]) <= TEXT}
    if told:
        yield f"In all {all_of}: {', '.join(told.values())}."
    if left := [titles[i] for i in hidden if i not in told]:
        yield f"Hidden columns (narrow terminal{more}): {', '.join(left)}."


def _beginning(rows: list[list[str]], baselines: list[bool], most: int) -> list[list[str]]:
    settings = [i for i, is_baseline in enumerate(baselines) if not is_baseline]
    left_out = set(settings[max(0, most - sum(baselines)) :])
    return [row for i, row in enumerate(rows) if i not in left_out]


def _labelled(table: Table, rows: list[list[str]], baselines: list[bool]) -> list[list[str]]:
    """Name baseline rows in the remarks if the column that names them is hidden."""
    places = {column.key: i for i, column in enumerate(table.columns)}
    recipe, remarks = places.get("recipe"), places.get("remarks")
    if recipe is None or remarks is None or not table.columns[recipe].detail or "setting" in places:
        return rows
    for row, is_baseline in zip(rows, baselines, strict=True):
        if is_baseline:
            row[remarks], row[recipe] = row[recipe], ""
    return rows


def _shorten_names(table: Table, rows: list[list[str]]) -> None:
    """Shorten the names of trials to their differences."""
    places = [i for i, column in enumerate(table.columns) if column.key == "name"] if table.kind == "trials" else []
    for i in places:
        for row, name in zip(rows, shortened([row[i] for row in rows], ()), strict=True):
            row[i] = name


def _equal(table: Table, rows: list[list[str]], wanted: list[int], baselines: int) -> dict[int, str]:
    """Return columns that are equal in all rows, with their text; of the last rows, baselines, only scores count."""
    settings = rows[: len(rows) - baselines]
    asked = {i: settings if table.columns[i].kind in _DESCRIBE else rows for i in wanted}
    return {i: of[0][i] for i, of in asked.items() if len(of) > 1 and len({row[i] for row in of}) == 1}


def _widths(column: Column, texts: list[str]) -> tuple[int, int]:
    """Return the least and the greatest useful width of a column."""
    head = max((cell_len(word) for word in column.title.split()), default=1)
    most = max([cell_len(text) for text in texts] + [head])
    if column.kind != "text":
        parts = [part for text in texts for part in re.split(_INTERVAL, text)]
        return max([cell_len(part) for part in parts] + [head]), most
    word = max((cell_len(part) for text in texts for part in re.split(_BREAK, text)), default=1)
    return max(head, min(word, TEXT)), most


def _fit(widths: dict[int, tuple[int, int]], table: Table, console: int, equal: set[int]) -> dict[int, int]:
    """Return the printed widths of columns by index; hidden columns are left out.

    Args:
        widths: The least and the most width that each can use.
        table: The table.
        console: Width of the terminal.
        equal: The columns with one value in all rows.

    Returns:
        Widths; none where not even the essential columns fit, or two.
    """
    found = {i: least for i, (least, _) in widths.items()}
    essential = {i for i in found if table.columns[i].essential}

    def spare() -> int:
        return console - sum(found.values()) - 3 * len(found) - 1

    def pair_of(i: int) -> list[int]:
        name = table.columns[i].pair
        return [each for each in found if each == i or (name and table.columns[each].pair == name)]

    same = {i for i in found if equal.issuperset(pair_of(i))}
    while spare() < 0:
        others = [i for i in found if i not in essential]
        if not others or len(found) <= 2:
            return {}
        last = max(others, key=lambda i: (not table.columns[i].vital, i in same, -i if i in same else i))
        for i in pair_of(last):
            del found[i]
    for i in [i for i in found if table.columns[i].kind != "text"]:
        if (lacking := widths[i][1] - found[i]) <= spare():  # an interval's column is whole, or broken before it
            found[i] += lacking
    while spare() > 0 and (short := [i for i in found if table.columns[i].kind == "text" and found[i] < widths[i][1]]):
        found[max(short, key=lambda i: widths[i][1] / found[i])] += 1  # where most lines are saved
    return found


def _row_as_text(table: Table, row: list[str], wanted: list[int]) -> str:
    """Return a row as text: every value with its title, except rank and remarks."""
    named = [(table.columns[i], row[i]) for i in wanted if row[i]]
    plain = [text if column.key in ("rank", "remarks") else f"{column.title} {text}" for column, text in named]
    return "- " + "; ".join(plain)


def _lines(column: Column, text: str, width: int) -> list[str]:
    if column.kind == "text":
        return broken(text, width)
    return re.split(_INTERVAL, text) if cell_len(text) > width else [text]


def broken(text: str, width: int) -> list[str]:
    """Wrap text after blanks and commas, not within numbers; longer words anywhere."""
    lines = [""]
    for part in _PART.findall(text):
        left = part
        if lines[-1] and cell_len(lines[-1] + left.rstrip()) > width:
            lines.append("")
        while cell_len(left.rstrip()) > width:
            head, left = chop_cells(left, width)[0], "".join(chop_cells(left, width)[1:])
            lines[-1:] = [head, ""]
        lines[-1] += left
    return [line.rstrip() for line in lines if line.strip()] or [""]


def print_tables(
    report: Report,
    console: Console,
    suite: str | None = None,
    *,
    everything: bool = False,
    adding: str = "--tables all",
) -> None:
    """Print the rankings, or every table, of one suite or all. ``adding`` is the option that shows every table."""
    for table in report.tables:
        if suite in (None, table.suite) and (everything or table.ranking):
            print_table(table, console, details=everything, adding=adding)


LOOK = "A look is a number of seeds, declared in advance, at which verdicts are made."
"""Explanation of the word look, printed once with answers that use it."""


def print_answers(report: Report, console: PlainConsole, suite: str | None = None) -> None:
    """Print unreadable records, the report's path, and last the answers.

    Args:
        report: The report.
        console: Where it is printed.
        suite: The suite whose answers are printed, or None for all.
    """
    for message in report.unreadable:
        console.say(message, style="yellow")
    shown = [answer for name, answer in report.answers if suite in (None, name)]
    for answer in shown:
        console.say(answer.title, style="bold")
        for sentence in answer.sentences:
            console.say(f"  {sentence}")
    if any(re.search(r"\blooks?\b", sentence) for answer in shown for sentence in answer.sentences):
        console.say(LOOK)
    tables = report.folder / "tables"
    console.say(f"Page: {report.page} (tables: {tables})" if report.page else f"Tables: {tables}")
    if hint := how_to_call():
        console.say(hint)


def how_to_call() -> str:
    """Return how to make the shell find ``gan-bench``, or an empty text if it does.

    ``make bench`` calls gan_bench inside its environment, which the shell of who types it knows nothing of.
    """
    scripts = Path(sys.executable).parent
    if shutil.which("gan-bench") or not all((scripts / name).is_file() for name in ("activate", "gan-bench")):
        return ""
    activate = scripts / "activate"
    with contextlib.suppress(ValueError):
        activate = activate.relative_to(Path.cwd())
    return f"The shell finds `gan-bench` after `. {shlex.quote(str(activate))}`."
