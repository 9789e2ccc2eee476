"""The rows of a board -> a static site: one page, a page for every setting's card, and the rows as CSV and Markdown."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from statistics import median

import pandas as pd

from gan_bench.config.measures import primary_measure
from gan_bench.core import __version__
from gan_bench.core.canonical import canonical_json
from gan_bench.core.errors import UserError
from gan_bench.core.text import markdown_cell, plain_markdown, plural, printable, slug, some_of
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.outputs import check_output, holds
from gan_bench.report.board.entries import Entry, Key, NotOnBoard, read_board
from gan_bench.report.board.tiers import tiers
from gan_bench.report.card.text import card_values
from gan_bench.report.files import WrittenFiles
from gan_bench.report.page.page import filled_template, own_text, shown_table
from gan_bench.report.page.samples import grid_uri
from gan_bench.report.study.frame import quick_text
from gan_bench.report.study.stats import Interval
from gan_bench.report.study.table import Column, Table, arrow, cells, median_of, put_interval, records, to_csv

NOTE = (
    "Ordered by the median over seeds, as reports rank, where a lost seed counts as the worst. In brackets: the "
    "lowest to the highest seed; from six seeds on, the median's 95 % interval. A group is its first setting and all "
    "that no test finds worse, so that many settings of few seeds are one: Welch's test of unpaired seeds, corrected "
    "over the table, for the choice of the best and for the looks of its study. The report of a single study compares "
    "equal seeds in pairs and may find otherwise: believe it about settings of that study, and this table about those "
    "of several. Where a group says why there is none, no test judges the setting: its place is that of its median "
    "alone. Seconds and energy are medians of one training. Audited: how many trials were trained or scored again, as "
    "the folder's audit.json says, which is not signed: everyone can repeat it. Every folder's digests were checked "
    "when this page was made."
)
MARK = "<title>gan_bench board</title>"
"""Marks the page of a board."""
CARDS = "cards"
LIST = "board-files.txt"
"""File that lists the files of a board, which the next one may replace; reports have their own list."""
NAMED = 3
"""Most publications that a sentence names."""
NARROW = ("grouped", "label", "median")
"""Columns on a narrow screen."""
_VALUES = (
    Column("median", f"median {arrow(primary_measure())}", "range", essential=True),
    Column("machine", "machine", vital=True),
    Column("from", "published in", vital=True),
    Column("seeds", "seeds", "count"),
    Column("lost", "lost", "count"),
    Column("epochs", "epochs", "count", vital=True),
    Column("seconds", "train s", "seconds"),
    Column("kilojoules", "kJ", "number"),
    Column("audits", "audited", vital=True),
    Column("remarks", "remarks", essential=True),
)
SHOWN = (Column("grouped", "group", essential=True), Column("label", "setting", essential=True), *_VALUES)
"""Columns of the page."""
WRITTEN = (
    *(Column("group", "group", "count"), Column("not_grouped", "not grouped")),
    *(Column("setting", "setting"), Column("label", "label")),
    *_VALUES,
)
"""Columns of the CSV file."""


@dataclass(frozen=True)
class BoardTable:
    """One table of a board.

    Attributes:
        table: Its rows, as they are written for people and programs.
        entries: The settings, row by row.
        said: Sentences about its groups.
        shared: What all settings of a suite have in common, suite by suite: names of settings leave it out.
    """

    table: Table
    entries: tuple[Entry, ...]
    said: tuple[str, ...]
    shared: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """A board that was written.

    Attributes:
        page: Its page.
        tables: Its tables.
        left: Folders that are not on it.
    """

    page: Path
    tables: tuple[BoardTable, ...]
    left: tuple[NotOnBoard, ...]


@quick_text()
def build_board(folders: Sequence[Path], out: Path) -> Board:
    """Read published folders and write the board of them.

    Args:
        folders: Results folders, or folders of such.
        out: Folder of the site; its own files are replaced, and removed where they are no longer made.

    Raises:
        UserError: A folder holds nothing that can be shown, or the site cannot be written.
    """
    check_output(out, ["index.html"], "board", lambda file: holds(file, MARK))
    rows, left = read_board(folders)
    keys = sorted({entry.key for entry in rows}, key=lambda key: (key.profile == "quick", key))
    several = [key for key in keys if any(other != key and replace(other, images=key.images) == key for other in keys)]
    made = tuple(_table(key, [entry for entry in rows if entry.key == key], named=key in several) for key in keys)
    files = WrittenFiles(out, rf"{CARDS}/\w[\w+.-]*\.html|\w[\w+.-]*\.csv", LIST)
    try:
        for entry in rows:
            files.add(f"{CARDS}/{card_name(entry)}.html", _card_page(entry))
        for each in made:
            files.add(f"{each.table.name}.csv", to_csv(replace(each.table, columns=WRITTEN)))
        text = "\n".join(
            [*(_markdown(each) for each in made), *(plain_markdown(f"left out: {x.folder}: {x.why}") for x in left)]
        )
        files.add("board.md", f"# Board\n\n{text}\n")
        files.add("index.html", _page(made, left))
        files.refuse_others("board")
        files.write()
    except OSError as error:
        raise UserError(f"the board cannot be written to {out} ({error.strerror}); choose another --out") from None
    return Board(out / "index.html", made, tuple(left))


def card_name(entry: Entry) -> str:
    """Return the file name of a setting's page, unique by the key of its row."""
    key, name = entry.key, entry.setting.name
    whole = (entry.folder, entry.setting.study.suite, name, entry.machine, key.dataset, key.image_size, key.profile)
    digest = hashlib.sha256(canonical_json([*whole, str(key.protocol), sorted(entry.records)]).encode()).hexdigest()
    return f"{slug(name, entry.machine)[:120]}-{digest[:8]}"


# ------------------------------------------------------------------------------------------------ tables


def _table(key: Key, found: Sequence[Entry], *, named: bool) -> BoardTable:
    ordered = sorted(found, key=lambda entry: (*entry.standing.place, entry.setting.name))
    together = list(zip(tiers([entry.sample for entry in ordered]), ordered, strict=True))
    frame = pd.DataFrame([*(_row(group, entry) for group, entry in together), *_baseline_rows(found)])
    quick = " (QUICK profile, cut down)" if key.profile == "quick" else ""
    images = "+".join(each[:8] or "unknown" for each in key.images.split("+")) if named else ""
    title = f"{key.dataset}{f' (images {images})' * named}, {key.image_size}x{key.image_size}, {key.protocol}{quick}"
    name = slug(key.dataset, str(key.image_size), key.profile, str(key.protocol), *[images] * named)
    table = Table(name, title, SHOWN, frame, NOTE, kind="board")
    return BoardTable(table, tuple(ordered), tuple(_said(together)), tuple(_shared(ordered)))


def _row(group: int | None, entry: Entry) -> dict[str, object]:
    setting, score = entry.setting, entry.standing.median
    row: dict[str, object] = {
        "group": group,
        "not_grouped": entry.sample.why_not,
        "grouped": str(group) if group else f"not grouped: {entry.sample.why_not}",
        "setting": setting.name,
        "label": setting.label,
        "machine": entry.machine,
        "from": entry.published,
        "seeds": score.n,
        "lost": entry.standing.lost or None,
        "epochs": setting.epochs,
        "seconds": median_of(setting.done["train_seconds"]),
        "kilojoules": median_of(setting.done["kilojoules"]),
        "audits": entry.audits,
        "remarks": "; ".join([*entry.contradicted, *entry.standing.remarks()]),
    }
    put_interval(row, "median", score)
    return row


def _baseline_rows(rows: Sequence[Entry]) -> Iterator[dict[str, object]]:
    """Yield the baseline rows of real images and untrained generators: median over folders, with least and greatest."""
    known: dict[str, dict[str, float]] = {}
    for entry in rows:
        for row in entry.standing.scored.baseline_rows((primary_measure(),)):
            value = row.get(primary_measure())
            if value is not None and math.isfinite(float(value)):
                known.setdefault(str(row["setting"]), {}).setdefault(entry.published, float(value))
    for text, values in known.items():
        shown: dict[str, object] = {"setting": text, "label": text, "baseline": True}
        each = sorted(values.values())
        low, high = (each[0], each[-1]) if each[0] < each[-1] else (None, None)
        put_interval(shown, "median", Interval(median(each), low, high, len(each)))
        yield shown


def _said(together: Sequence[tuple[int | None, Entry]]) -> Iterator[str]:
    """Yield a sentence for every group of several settings."""
    for group in sorted({group for group, _ in together if group is not None}):
        members = [entry for each, entry in together if each == group]
        if len(members) > 1:
            best, others = members[0], plural(len(members) - 1, "setting")
            where = f"{best.setting.label} on {best.machine} ({best.published})"
            yield f"Group {group}: {where}, and {others} that no test finds worse."


def _shared(rows: Sequence[Entry]) -> Iterator[str]:
    """Yield the common values of a suite's settings, with their recipe if it is common."""
    found: dict[str, dict[str, None]] = {}
    for entry in sorted(rows, key=lambda entry: entry.published):
        values = entry.setting.study.values
        recipes = dict.fromkeys(values.recipes.values())
        text = ", ".join([*(recipes if len(recipes) == 1 else ()), values.shared])
        found.setdefault(printable(text), {})[entry.published] = None
    for text, places in found.items():
        yield f"All settings of {some_of([*places], NAMED)} in this table: {text}."


def _markdown(made: BoardTable) -> str:
    """Return a table in Markdown whose lines change only with their setting: all columns, unpadded."""
    columns = made.table.columns
    lines = [[c.title for c in columns], ["--:" if c.kind != "text" else ":--" for c in columns], *cells(made.table)]
    rows = [f"| {' | '.join(markdown_cell(text) for text in line)} |" for line in lines]
    return "\n".join(
        [f"## {markdown_cell(made.table.title)}", "", *rows, "", *map(plain_markdown, (*made.said, *made.shared)), ""]
    )


# ------------------------------------------------------------------------------------------------- pages


def _page(made: Sequence[BoardTable], left: Sequence[NotOnBoard]) -> str:
    settings = [entry for each in made for entry in each.entries]
    return filled_template(
        "gan_bench.report.board",
        "board.html",
        version=__version__,
        css=own_text("page.css"),
        script=own_text("tables.js"),
        tables=[_shown(each) for each in made],
        left=left,
        settings=len(settings),
        folders=sorted({entry.folder for entry in settings}),
        note=NOTE,
    )


def _shown(made: BoardTable) -> dict[str, object]:
    """Return a table in the form of its template."""
    shown = shown_table(made.table, NARROW)
    for row, record, entry in zip_longest(shown["rows"], records(made.table), made.entries):  # baselines come last
        row["cells"][0]["sort"] = "" if pd.isna(record["group"]) else str(record["group"])  # those without come last
        row |= {
            "card": f"{CARDS}/{card_name(entry)}.html" if entry else None,
            "image": grid_uri(_last_grid(entry) if entry else None),
            "label": record["label"],
            "place": f"{plural(int(record['epochs']), 'epoch')}, {entry.published}" if entry else "",
            "folded": record["remarks"] if entry and record["remarks"] != entry.sample.why_not else "",
            "against": bool(entry and entry.contradicted),
        }
    return {**shown, "said": made.said, "shared": made.shared}


def _last_grid(entry: Entry) -> Path | None:
    """Return the last sample grid of the lowest seed that has one, as publications keep those."""
    done = entry.setting.done.sort_values("seed")
    grids = (list(RecordDirectory(Path(path)).grids.values()) for path in done["path"])
    return next((files[-1] for files in grids if files), None)


def _card_page(entry: Entry) -> str:
    card = entry.card
    return filled_template(
        "gan_bench.report.board",
        "card.html",
        css=own_text("page.css"),
        entry=entry,
        card=card,
        scores=[row.texts for row in card.scores],
        values=list(card_values(card)),
        samples=grid_uri(_last_grid(entry), whole=True),
    )
