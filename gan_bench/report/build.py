"""A results folder -> its report: records -> frames -> studies -> tables, plots, samples -> files."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gan_bench.core.errors import CLOSED, FULL, UserError
from gan_bench.core.text import slug
from gan_bench.records.folders import existing, folders_by_suite, suite_folders
from gan_bench.records.layout import LOCKS
from gan_bench.records.lock import Lock
from gan_bench.records.plan import declare_foreign_measures, read_suites
from gan_bench.records.summary import is_outdated, state_of, summary_text
from gan_bench.report.files import WrittenFiles
from gan_bench.report.findings.answer import Answer, answers_markdown
from gan_bench.report.findings.reproduction import article_tables
from gan_bench.report.findings.summaries import summaries
from gan_bench.report.page.collect import Collected, collect, with_histories
from gan_bench.report.page.drawing import standalone
from gan_bench.report.page.page import Chapter, page
from gan_bench.report.study.frame import quick_text
from gan_bench.report.study.latex import left_out, to_latex
from gan_bench.report.study.studies import studies
from gan_bench.report.study.table import Table, table_markdown, to_csv

PAGE = "report.html"


@dataclass(frozen=True)
class Report:
    """The content of a report.

    Attributes:
        tables: Its tables, study by study: quick and full trials, and scores of different protocols, never share a
            ranking.
        answers: What its studies say, by suite.
        unreadable: One line for every record that was left out: damaged, unreadable or not what was saved.
        folder: Where it was written.
        page: Its page, or None when it was left out.
        lacking: One line for every ranking that lacks a column that was asked for in LaTeX.
    """

    tables: list[Table]
    answers: list[tuple[str, Answer]]
    unreadable: list[str]
    folder: Path
    page: Path | None
    lacking: list[str] = field(default_factory=list)


def build_report(
    results: Path, out: Path | None = None, *, html: bool = True, columns: Sequence[str] | None = None
) -> Report:
    """Read the records under a folder and write their tables, plots and page.

    Args:
        results: A results folder.
        out: Where the report goes; ``RESULTS/report`` when None.
        html: Whether plots and the page are made, which takes some seconds.
        columns: Keys of the columns that rankings have in LaTeX; None takes those that fit a page.

    Raises:
        UserError: There are no records, or the report cannot be written.
    """
    declare_foreign_measures(existing(results))
    with _one_at_a_time(results, out), _collector_off(), quick_text():
        states = {}  # taken before records are read: one that ends meanwhile makes the report outdated
        for suite, folders in folders_by_suite(results).items():
            with suppress(UserError):
                states[suite] = state_of(folders.read)
        collected = collect(results)
        found = studies(collected.frames, read_suites(results))
        collected = with_histories(collected, found)
        if not collected.trials and not collected.unreadable:
            raise UserError(
                f"{results} holds no trial records; run a suite first, for example `gan-bench run quickstart`"
            )
        folder = out or results / "report"
        chapters, articles = [Chapter(study, found) for study in found], list(article_tables(collected.frames))
        tables = [*(table for chapter in chapters for table in chapter.tables), *articles]
        answers = [(chapter.study.suite, answer) for chapter in chapters for answer in chapter.answers]
        lacking = left_out(tables, columns) if columns else []
        files = WrittenFiles(folder, r"(tables|plots)/\w[\w+.-]*")
        try:
            _add_tables(tables, files, columns)
            files.add("answer.md", answers_markdown([answer for _, answer in answers]))
            is_whole = html or not (folder / PAGE).exists()
            _add_answers(chapters, files, states if is_whole else {})
            made = _add_page(files, chapters, articles, collected, results) if html else None
            if out is not None:  # the default folder belongs to reports
                files.refuse_others("report")
            files.write(*([] if made else ["plots/"]))  # without a page, earlier plots are kept
        except OSError as error:
            remedy = "free some space, or " if error.errno in FULL else "remove what stands there, or "
            remedy = "" if error.errno in CLOSED else remedy
            said = (
                f"the report cannot be written to {folder} ({error.strerror}); {remedy}choose another folder with --out"
            )
            raise UserError(said) from None
        return Report(tables, answers, collected.unreadable, folder, made, lacking)


@contextmanager
def _one_at_a_time(results: Path, out: Path | None = None) -> Iterator[None]:
    """Lock a report, so that of runs that end together the last to read also writes last.

    Results whose report goes elsewhere are only read, and where there are none, nothing is left behind.
    """
    if out or not any(suite_folders(results)):
        yield
        return
    with Lock(results / LOCKS, "report") as lock:
        with suppress(UserError):  # if locking is impossible, writing reports the reason
            lock.wait()
        yield


@contextmanager
def _collector_off() -> Iterator[None]:
    """Disable garbage collection, which would scan millions of rows repeatedly; reports make no cycles.

    It took 50 s instead of 57 s with 10,000 trials, and no more memory.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def refresh_report(results: Path) -> list[str]:
    """Rebuild a report if a trial has ended since, or the plan has changed.

    Args:
        results: A results folder.

    Returns:
        Why that was not possible, as a sentence, or nothing.
    """
    if any(_outdated(results)):
        try:
            build_report(results)
        except UserError as error:
            # a sync has no --out
            said = str(error).replace("choose another folder", "make it with `gan-bench report` in another folder")
            return [f"{said}; MLflow shows settings as the last report has them"]
    return []


def _outdated(results: Path) -> Iterator[str]:
    for suite, folders in folders_by_suite(results).items():
        with suppress(UserError):  # inaccessible folders are reported by the mirror
            if is_outdated(results, suite, folders.read):
                yield suite


def _add_answers(chapters: list[Chapter], files: WrittenFiles, states: Mapping[str, str]) -> None:
    """Add the answers of each suite: sentences for readers, numbers for the tracking mirror.

    Args:
        chapters: The studies.
        files: Where they go.
        states: What ``state_of`` said of the suites' records; nothing of those of which an earlier page stays.
    """
    for suite in dict.fromkeys([*(chapter.study.suite for chapter in chapters), *states]):  # some suites have no study
        mine = [chapter for chapter in chapters if chapter.study.suite == suite]
        settings = [each for chapter in mine for each in summaries(chapter.study)]
        files.add(f"answers/{slug(suite)}.md", answers_markdown([answer for each in mine for answer in each.answers]))
        files.add(f"answers/{slug(suite)}.json", summary_text(suite, settings, states.get(suite, "")))


def _add_tables(tables: list[Table], files: WrittenFiles, columns: Sequence[str] | None) -> None:
    for table in tables:
        files.add(f"tables/{table.name}.csv", to_csv(table))
        files.add(f"tables/{table.name}.md", table_markdown(table))
        files.add(f"tables/{table.name}.tex", to_latex(table, columns if table.ranking else None))


def _add_page(
    files: WrittenFiles, chapters: list[Chapter], articles: list[Table], collected: Collected, results: Path
) -> Path:
    for chapter in chapters:
        for plot in chapter.plots:
            files.add(f"plots/{plot.name}.svg", standalone(plot.svg))
        for strip in chapter.strips:
            files.add(f"plots/{strip.name}.gif", strip.animation())
    return files.add(PAGE, page(chapters, articles, collected, results))
