"""A results folder -> its report: records -> frames -> studies -> tables, plots, samples -> files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from gan_bench.core.atomic import remove_leftovers, write_atomically
from gan_bench.core.errors import RecordError, UserError
from gan_bench.records.reader import StoredTrial, existing, scan
from gan_bench.records.shared import read_baselines
from gan_bench.report.frame import Frames, build_frames
from gan_bench.report.render import print_table, write_tables
from gan_bench.report.reproduction import article_tables
from gan_bench.report.study import Baselines, Study, studies
from gan_bench.report.table import Table
from gan_bench.report.tables import study_tables


@dataclass(frozen=True)
class ReportTables:
    """Every table that the records allow, suite by suite and profile by profile.

    Quick and full trials, and scores of different protocols, never share a ranking.

    Attributes:
        studies: Every study with its tables.
        articles: Tables about the articles.
    """

    studies: list[tuple[Study, list[Table]]]
    articles: list[Table]

    @classmethod
    def of(cls, frames: Frames, baselines: Baselines | None = None) -> ReportTables:
        """Make the tables.

        Args:
            frames: What ``build_frames`` made of the records.
            baselines: Scores of held-out real images, by suite.
        """
        return cls([(study, list(study_tables(study))) for study in studies(frames, baselines)], article_tables(frames))

    @property
    def all(self) -> list[Table]:
        """Return the tables in the order in which they are shown."""
        return [*(table for _, own in self.studies for table in own), *self.articles]


@dataclass(frozen=True)
class Report:
    """What a report consists of.

    Attributes:
        tables: Its tables.
        unreadable: One sentence for every record that could not be read.
        folder: Where it was written.
        page: Its page, or None when it was left out.
    """

    tables: list[Table]
    unreadable: list[str]
    folder: Path
    page: Path | None


def build_report(results: Path, out: Path | None = None, *, html: bool = True) -> Report:
    """Read the records under a folder and write their tables, plots and page.

    Args:
        results: A results folder.
        out: Where the report goes; ``RESULTS/report`` when None.
        html: Whether plots and the page are made, which takes some seconds.

    Raises:
        UserError: There are no records, or the report cannot be written.
    """
    found = list(scan(existing(results), steps=False))
    trials = [item for item in found if isinstance(item, StoredTrial)]
    unreadable = [str(item) for item in found if isinstance(item, RecordError)]
    if not trials and not unreadable:
        raise UserError(f"{results} holds no trial records; run a suite first, for example `make bench`")
    frames = build_frames(trials)
    folder = out or results / "report"
    tables = ReportTables.of(frames, read_baselines(results))
    try:
        write_tables(tables.all, folder)
        page = _write_page(folder, tables, trials, unreadable) if html else None
    except OSError as error:
        raise UserError(f"the report cannot be written to {folder} ({error.strerror}); choose another --out") from None
    return Report(tables.all, unreadable, folder, page)


def _write_page(
    folder: Path,
    made: ReportTables,
    trials: list[StoredTrial],
    unreadable: list[str],
) -> Path:
    from gan_bench.report.page import Chapter, page
    from gan_bench.report.plots import best_first, standalone, study_plots
    from gan_bench.report.samples import strips

    images = folder / "plots"
    images.mkdir(parents=True, exist_ok=True)
    for each in (folder, images):
        remove_leftovers(each)
    chapters = []
    for study, tables in made.studies:
        chapter = Chapter(study, tables, list(study_plots(study, tables)), list(strips(study, best_first(study))))
        for plot in chapter.plots:
            write_atomically(images / f"{plot.name}.svg", standalone(plot.svg))
        for strip in chapter.strips:
            write_atomically(images / f"{strip.name}.gif", strip.animation())
        chapters.append(chapter)
    path = folder / "report.html"
    write_atomically(path, page(chapters, made.articles, trials, unreadable))
    return path


def print_report(report: Report, console: Console, suite: str | None = None) -> None:
    """Print the tables, all or those of one suite, and what could not be read."""
    for table in report.tables:
        if suite in (None, table.suite):
            print_table(table, console)
    for message in report.unreadable:
        console.print(f"unreadable: {message}", style="yellow", markup=False)
    console.print(f"Tables: {report.folder / 'tables'}", markup=False, soft_wrap=True)
    if report.page:
        console.print(f"Page: {report.page}", markup=False, soft_wrap=True)
