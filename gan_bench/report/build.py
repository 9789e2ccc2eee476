"""A results folder -> its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from gan_bench.errors import RecordError, UserError
from gan_bench.report.frame import build_frames
from gan_bench.report.render import print_table, write_tables
from gan_bench.report.table import Table
from gan_bench.report.tables import all_tables
from gan_bench.store import StoredTrial, read_anchors, scan


@dataclass(frozen=True)
class Report:
    """What a report consists of.

    Attributes:
        tables: Its tables.
        unreadable: One sentence for every record that could not be read.
        folder: Where it was written.
    """

    tables: list[Table]
    unreadable: list[str]
    folder: Path


def build_report(results: Path, out: Path | None = None, suite: str | None = None) -> Report:
    """Read the records under a folder and write their tables.

    Args:
        results: A results folder.
        out: Where the report goes; ``RESULTS/report`` when None.
        suite: Only this suite's records.

    Raises:
        UserError: There are no records, or the report cannot be written.
    """
    if not results.is_dir():
        raise UserError(f"{results} is no folder; name the results folder of an earlier run")
    found = list(scan(results / suite if suite else results))
    trials = [item for item in found if isinstance(item, StoredTrial)]
    unreadable = [str(item) for item in found if isinstance(item, RecordError)]
    if not trials and not unreadable:
        raise UserError(f"{results} holds no trial records; run a suite first, for example `make bench`")
    tables = all_tables(build_frames(trials), read_anchors(results))
    folder = out or results / "report"
    try:
        write_tables(tables, folder)
    except OSError as error:
        raise UserError(f"the report cannot be written to {folder} ({error.strerror}); choose another --out") from None
    return Report(tables, unreadable, folder)


def print_report(report: Report, console: Console) -> None:
    """Print the tables and what could not be read."""
    for table in report.tables:
        print_table(table, console)
    for message in report.unreadable:
        console.print(f"unreadable: {message}", style="yellow", markup=False)
    console.print(f"Tables: {report.folder / 'tables'}", markup=False, soft_wrap=True)
