"""A results folder -> its report: records -> frames -> studies -> tables, plots, samples -> files."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gan_bench.core.atomic import remove_leftovers, write_atomically
from gan_bench.core.errors import UserError
from gan_bench.core.text import slug
from gan_bench.records.folders import existing, suite_folders
from gan_bench.records.shared import Designs, declare_foreign_measures, read_baselines, read_commands, read_designs
from gan_bench.records.summary import SettingSummary, is_outdated, state_of, write_summary
from gan_bench.report.findings.answer import Answer, answers, answers_markdown
from gan_bench.report.findings.reproduction import article_tables
from gan_bench.report.findings.summaries import summaries
from gan_bench.report.findings.tables import study_tables
from gan_bench.report.page.collect import Collected, collect, with_histories
from gan_bench.report.study.frame import Frames
from gan_bench.report.study.latex import check_columns, to_latex
from gan_bench.report.study.render import table_markdown, to_csv
from gan_bench.report.study.studies import Baselines, studies
from gan_bench.report.study.study import Study
from gan_bench.report.study.table import Table


@dataclass(frozen=True)
class ReportTables:
    """Every table that the records allow, suite by suite and profile by profile.

    Quick and full trials, and scores of different protocols, never share a ranking.

    Attributes:
        studies: Every study with its tables and its answers.
        articles: Tables about the articles.
    """

    studies: list[tuple[Study, list[Table], list[Answer]]]
    articles: list[Table]

    @classmethod
    def of(
        cls,
        frames: Frames,
        baselines: Baselines | None = None,
        commands: Mapping[str, str] | None = None,
        designs: Designs | None = None,
    ) -> ReportTables:
        """Make the tables.

        Args:
            frames: What ``build_frames`` made of the records.
            baselines: Scores of held-out real images, by suite.
            commands: What each suite was last run with.
            designs: Which seeds verdicts are made at.
        """
        return cls.of_studies(studies(frames, baselines, commands, designs), frames)

    @classmethod
    def of_studies(cls, found: list[Study], frames: Frames) -> ReportTables:
        """Make the tables of studies that are there."""
        made = []
        for study in found:
            tables = list(study_tables(study))
            made.append((study, tables, list(answers(study))))
        return cls(made, article_tables(frames))

    @property
    def all(self) -> list[Table]:
        """Return the tables in the order in which they are shown."""
        return [*(table for _, own, _ in self.studies for table in own), *self.articles]


@dataclass(frozen=True)
class Report:
    """What a report consists of.

    Attributes:
        tables: Its tables.
        answers: What its studies say, by suite.
        unreadable: One line for every record that was left out: damaged, unreadable or not what was saved.
        folder: Where it was written.
        page: Its page, or None when it was left out.
    """

    tables: list[Table]
    answers: list[tuple[str, Answer]]
    unreadable: list[str]
    folder: Path
    page: Path | None


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
    with _collector_off():
        return _build(results, out, html=html, columns=columns)


@contextmanager
def _collector_off() -> Iterator[None]:
    """Keep Python from looking for garbage in millions of rows again and again; a report makes none in cycles.

    It took 50 s instead of 57 s with 10,000 trials, and no more memory.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _build(results: Path, out: Path | None, *, html: bool, columns: Sequence[str] | None) -> Report:
    states = _states(results)
    collected = collect(results)
    if not collected.trials and not collected.unreadable:
        raise UserError(f"{results} holds no trial records; run a suite first, for example `make bench`")
    folder = out or results / "report"
    found = studies(collected.frames, read_baselines(results), read_commands(results), read_designs(results))
    collected = with_histories(collected, found)
    tables = ReportTables.of_studies(found, collected.frames)
    found_answers = [(study.suite, answer) for study, _, own in tables.studies for answer in own]
    if columns:
        check_columns(tables.all, columns)
    try:
        _write_tables(tables, folder, columns)
        write_atomically(folder / "answer.md", answers_markdown([answer for _, answer in found_answers]))
        _write_answers(tables, folder, states)
        page = _write_page(folder, tables, collected, results) if html else None
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {folder} ({error.strerror}); remove what stands there, or choose another "
            "folder with --out"
        ) from None
    return Report(tables.all, found_answers, collected.unreadable, folder, page)


def refresh_summaries(results: Path) -> list[str]:
    """Write again what the report says of suites where a trial has ended since, without tables, plots and page.

    Args:
        results: A results folder.

    Returns:
        Why that was not possible, as a sentence, or nothing.
    """
    outdated = list(_outdated(results))
    if not outdated:
        return []
    declare_foreign_measures(results)
    with _collector_off():
        states = _states(results)
        collected = collect(results)
        designs = read_designs(results)
        found = studies(collected.frames, read_baselines(results), read_commands(results), designs)
        collected = with_histories(collected, found)
        made = ReportTables.of_studies([study for study in found if study.suite in outdated], collected.frames)
    try:
        (results / "report").mkdir(exist_ok=True)
        _write_answers(made, results / "report", states)
    except OSError as error:
        why = f"the report in {results / 'report'} cannot be written ({error.strerror})"
        return [f"{why}; MLflow shows settings as the last report has them"]
    return []


def _outdated(results: Path) -> Iterator[str]:
    for folder in suite_folders(results):
        with suppress(UserError):  # a folder without rights is named where its runs are made
            if is_outdated(results, folder.name):
                yield folder.name


def _settings(made: ReportTables, suite: str) -> list[SettingSummary]:
    return [each for study, _, _ in made.studies if study.suite == suite for each in summaries(study)]


def _states(results: Path) -> dict[str, str]:
    """Return what tells, of every suite, whether its records have changed since."""
    found = {}
    for folder in suite_folders(results):
        with suppress(UserError):
            found[folder.resolve().name] = state_of(folder.resolve().parent, folder.resolve().name)
    return found


def _write_answers(made: ReportTables, folder: Path, states: Mapping[str, str]) -> None:
    """Write what the studies of each suite say: sentences for people, numbers for the tracking mirror."""
    for suite in dict.fromkeys(study.suite for study, _, _ in made.studies):
        path = folder / "answers" / f"{slug(suite)}.md"
        path.parent.mkdir(exist_ok=True)
        write_atomically(
            path, answers_markdown([a for study, _, own in made.studies if study.suite == suite for a in own])
        )
        write_summary(path.with_suffix(".json"), suite, _settings(made, suite), states.get(suite, ""))


def _remove_earlier(folder: Path, made: ReportTables, *kinds: str) -> None:
    """Remove what an earlier report wrote of the same studies: settings and factors may be called otherwise now."""
    names = tuple(f"{slug(study.suite, study.profile)}-" for study, _, _ in made.studies)
    for path in folder.glob("*"):
        if path.suffix in kinds and path.name.startswith(names):
            path.unlink()


def _write_tables(made: ReportTables, out: Path, columns: Sequence[str] | None) -> None:
    folder = out / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    _remove_earlier(folder, made, ".csv", ".md", ".tex")
    for table in made.all:
        write_atomically(folder / f"{table.name}.csv", to_csv(table))
        write_atomically(folder / f"{table.name}.md", table_markdown(table))
        write_atomically(folder / f"{table.name}.tex", to_latex(table, columns if table.ranking else None))


def _write_page(folder: Path, made: ReportTables, collected: Collected, results: Path) -> Path:
    from gan_bench.report.page.curves import best_first
    from gan_bench.report.page.page import Chapter, page
    from gan_bench.report.page.plots import standalone, study_plots
    from gan_bench.report.page.samples import strips

    images = folder / "plots"
    images.mkdir(parents=True, exist_ok=True)
    for each in (folder, images):
        remove_leftovers(each)
    _remove_earlier(images, made, ".svg", ".gif")
    chapters = []
    for study, tables, said in made.studies:
        chapter = Chapter(study, tables, said, list(study_plots(study)), list(strips(study, best_first(study))))
        for plot in chapter.plots:
            write_atomically(images / f"{plot.name}.svg", standalone(plot.svg))
        for strip in chapter.strips:
            write_atomically(images / f"{strip.name}.gif", strip.animation())
        chapters.append(chapter)
    path = folder / "report.html"
    write_atomically(path, page(chapters, made.articles, collected, results))
    return path
