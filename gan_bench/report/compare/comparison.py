"""Compares two results folders by trial and by setting: what became better or worse beyond noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import pandas as pd

from gan_bench.config.design import MARGIN
from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.core.errors import UserError
from gan_bench.core.text import plain_markdown, plural, printable
from gan_bench.records.reader import StoredTrial
from gan_bench.report.compare.changes import SETTING_COLUMNS, CollapseChanges, setting_changes
from gan_bench.report.compare.equivalence import (
    AUTO,
    EXACT,
    SETTINGS,
    equivalence_table,
    same_settings,
)
from gan_bench.report.compare.folder import ComparedFolder, one_version_each
from gan_bench.report.compare.measured import Measured, collapses
from gan_bench.report.compare.scored_settings import UNMATCHED
from gan_bench.report.compare.trials import (
    MISSING,
    NOT_PLANNED,
    count_with_names,
    ended_worse,
    suites_gone,
    trial_changes,
)
from gan_bench.report.study.frame import quick_text
from gan_bench.report.study.table import Column, Table, table_markdown

MARK = "gan_bench comparison"
"""Marks the file of a comparison."""
_UNCHANGED = ("identical", "within tolerance")

TRIAL_COLUMNS = (
    Column("study", "study"),
    Column("name", "trial", essential=True),
    Column("old_status", "old", vital=True, pair="status"),
    Column("new_status", "new", vital=True, pair="status"),
    Column("verdict", "verdict", essential=True),
)


@dataclass(frozen=True, repr=False)
class Comparison:
    """The comparison of an older results folder with a newer one.

    Attributes:
        tables: Trials whose end changed, and settings that changed.
        worse: One sentence for everything that got worse beyond noise or is gone.
        unsure: One sentence for everything that cannot be judged, records that are left out included.
        better: One sentence for everything that got better beyond noise.
        differences: One sentence for each condition in which the folders differ: libraries, code, data, networks.
        tests: Comparisons of the primary score that were tested; p values are corrected for so many.
        unchanged: How many comparisons were identical, and how many within the tolerance.
        settings: Where settings were compared and not trials: how many comparisons came to which verdict.
        in_common: Of how many settings these are: one may be in several suites, or scored under several protocols.
    """

    tables: list[Table]
    worse: list[str]
    unsure: list[str]
    better: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    tests: int = 0
    unchanged: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, int] | None = None
    in_common: int = 0

    @property
    def exit_code(self) -> int:
        """1 when something got worse, 3 when something cannot be judged, else 0."""
        return 1 if self.worse else 3 if self.unsure else 0

    def to_json(self) -> dict[str, object]:
        """Return all of it as plain data; tables as rows of all digits."""
        plain = {f.name: getattr(self, f.name) for f in dataclass_fields(self) if f.name != "tables"}
        tables = {table.name: table.rows.astype(object).where(table.rows.notna(), None).to_dict("records")
                  for table in self.tables}  # fmt: skip
        counts = {"unchanged": dict(self.unchanged), "settings": self.settings and dict(self.settings)}
        return {**plain, **counts, "exit_code": self.exit_code, "tables": tables}

    def to_markdown(self, old: Path | None = None) -> str:
        """Return sentences and tables as Markdown, which a notebook shows; ``old`` names the older folder in it."""
        with_what = f" with {plain_markdown(str(old))}" if old else ""
        lines = [
            f"- **{word}**: {plain_markdown(sentence)}" if word else f"- {plain_markdown(sentence)}"
            for word, sentence in self.sentences()
        ]
        return "\n".join([f"## {MARK}{with_what}", "", *lines, "", *map(table_markdown, self.tables)])

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def __repr__(self) -> str:
        """Return the sentences."""
        return "\n".join(f"{word}: {text}" if word else text for word, text in self.sentences())

    def sentences(self) -> Iterator[tuple[str, str]]:
        """Yield the results as (label, sentence), what is worse first.

        What sums it up comes last and has no word.
        """
        yield from (("worse", text) for text in self.worse)
        yield from (("cannot judge", text) for text in self.unsure)
        yield from (("better", text) for text in self.better)
        yield from (("differs", text) for text in self.differences)
        if self.settings is not None:
            found = ", ".join(f"{count} {verdict}" for verdict, count in self.settings.items())
            compared = sum(self.settings.values())
            times = f", in {plural(compared, 'comparison')}" if compared != self.in_common else ""
            yield "", f"{plural(self.in_common, 'setting')} in common{times}: {found or 'none'}"
            return
        same = ", ".join(f"{plural(count, 'setting')} {what}" for what, count in self.unchanged.items() if count)
        title = MEASURES[primary_measure()].title
        tested = (
            f"{plural(self.tests, 'test')} of {title}{', corrected for their number' * (self.tests > 1)}"
            if self.tests
            else "nothing to test"
        )
        yield "", f"{f'{same}; ' * bool(same)}{tested}"
        if self.worse:
            yield "", f"{plural(len(self.worse), 'regression')}, named first: exit code {self.exit_code}"
        else:
            yield "", "some changes cannot be judged" if self.unsure else "nothing got worse beyond noise"


@quick_text()
def compare(
    old: Path, new: Path, tolerance: float | None = None, match: str = AUTO, margin: float | None = None
) -> Comparison:
    """Compare two results folders.

    Args:
        old: The older folder.
        new: The folder that may be worse.
        tolerance: Relative change of the primary score that is tolerated where seeds are too few for a test; by default
            what the spread over seeds says.
        match: ``trials``, ``settings``, or fields of trials with commas between them, in which settings must be
            equal; ``auto`` compares trials where the folders have any in common, else settings.
        margin: Of settings: largest relative difference of the primary score that counts as none; None for ``MARGIN``.

    Raises:
        UserError: One of them is no results folder, or they have nothing in common.
    """
    read = ComparedFolder.read(old), ComparedFolder.read(new)
    if match in (EXACT, AUTO):
        found = _compare_trials(*one_version_each(*read, ("suite_version",)), tolerance)
        if found:
            return found
        if match == EXACT:
            raise UserError(f"{old} and {new} have no trial in common; compare results of the same suites")
    fields = () if match in (AUTO, SETTINGS) else tuple(name.strip() for name in match.split(","))
    before, after = one_version_each(*read, UNMATCHED)
    compared = _compare_settings(before, after, MARGIN if margin is None else margin, fields)
    if not compared.tables and not compared.unsure:
        aside = "".join(f" ({each})" for each in compared.differences)
        raise UserError(
            f"{old} and {new} have no finished setting in common that was scored at the same epoch by the same "
            f"extractor, split and number of images{aside}; train one again as in the other (--epochs, --samples, "
            "--extractor), or name fewer fields that must be equal with --match, such as recipe,lr"
        )
    if match != AUTO:
        return compared
    said = "no trial is in both folders, so settings were compared, of which none can be called worse"
    return replace(compared, unsure=[said, *compared.unsure])


def _compare_trials(before: ComparedFolder, after: ComparedFolder, tolerance: float | None) -> Comparison | None:
    """Compare the trials that two folders have in common; None where there are none.

    Trials are the same by suite, profile, and config without the suite's version. A setting got worse

    - when the paired test of its primary score over equal seeds decides so, corrected for all such tests;
    - when seeds are too few for a decision, and the change exceeds the tolerance;
    - when it no longer beats its untrained generators;
    - when more of its runs collapsed or diverged than chance explains, by itself or together with all others
      (``gan_bench.report.compare.collapses``).

    A change beyond the tolerance that no test decides cannot be judged. A trial got worse when it was done and now is
    anything else but diverged; one that the newer folder's plan does not have, as after a run with ``--only``, is named
    and is not worse, and so is a suite that it does not have.

    Args:
        before: The older folder.
        after: The folder that may be worse.
        tolerance: Relative change of the primary score that is tolerated where seeds are too few for a test. By
            default what chance exceeds in 5 % of comparisons, from the spread over seeds in the older folder and the
            noise of scoring, at least ``TOLERANCE``; where no setting has two seeds, changes up to a factor of two
            cannot be judged.
    """
    left_out = [*before.faults.values(), *after.faults.values()]
    before, after = before.without(after.faults), after.without(before.faults)
    aside = before.aside + after.aside
    old_studies, new_studies = before.studies, after.studies
    trials = list(trial_changes(old_studies, new_studies, after))
    common = sum(trial.new_status not in (MISSING, NOT_PLANNED) for trial in trials)
    if not common:
        return Comparison([], worse=[], unsure=left_out, differences=aside) if left_out else None
    settings = setting_changes(old_studies, new_studies, tolerance)
    counted = list(collapses(old_studies, new_studies))
    runs = CollapseChanges.of(counted)
    ended = [trial for trial in trials if trial.verdict]
    settings.sort(key=lambda each: each.verdict in _UNCHANGED)  # stable: what changed comes first
    tables = []
    if ended:
        note, rows = f"{common} of {len(trials)} trials are planned in both.", pd.DataFrame(map(asdict, ended))
        tables.append(Table("changes", "trials that ended otherwise", TRIAL_COLUMNS, rows, note))
    if settings:
        note = "Paired over equal seeds; beside a ratio, means are geometric."
        measured = [each.of for each in settings if isinstance(each.of, Measured)]
        if any(each.left_out for each in measured):
            note += " Seeds that collapsed in either folder are left out: their runs are counted."
        if any(each.is_all_left_out for each in measured):
            note += " Where all did, their scores are shown and not judged."
        rows = pd.DataFrame([each.row() for each in settings])
        tables.append(Table("settings", "settings, old and new", SETTING_COLUMNS, rows, note))
    old_trials, new_trials = before.by_trial, after.by_trial
    added = [trial.trial["name"] for key, trial in new_trials.items() if key not in old_trials and trial.record]
    said = {kind: [each.sentence() for each in settings if each.verdict == kind]
            for kind in ("worse", "better", "cannot judge")}  # fmt: skip
    told = {kind: {(each.of.subject.study, each.of.subject.setting) for each in settings if each.verdict == kind}
            for kind in said}  # fmt: skip
    lost = runs.without_scores(told["worse"])
    elsewhere = set[tuple[str, str]]().union(*told.values(), lost)
    are_judged = bool(settings) or any(each.old + each.new for each in counted)
    nothing = [] if are_judged else ["no trial has a score in both folders"]
    return Comparison(
        tables,
        worse=[*ended_worse(ended), *said["worse"], *runs.worse_beside(told["worse"])],
        unsure=[*left_out, *nothing, *said["cannot judge"], *lost.values(), *runs.maybe_chance(elsewhere, hardly=True)],
        better=[*said["better"], *runs.better_beside(elsewhere)],
        differences=[
            *aside,
            *suites_gone(old_studies, after),
            *count_with_names(
                [t.name for t in ended if t.new_status == NOT_PLANNED], "not planned in the newer folder"
            ),
            *count_with_names(added, "only in the newer folder, not compared"),
            *runs.maybe_chance(elsewhere, hardly=False),
            *differences_of(old_trials, new_trials),
        ],
        tests=sum(each.corrected is not None for each in settings),
        unchanged=Counter(each.verdict for each in settings if each.verdict in _UNCHANGED),
    )


def _compare_settings(
    before: ComparedFolder, after: ComparedFolder, margin: float, fields: tuple[str, ...]
) -> Comparison:
    """Compare the settings that two folders of any suites and machines have in common.

    It asks another question than ``_compare_trials``: not what became worse of the same trials, but whether another
    machine, or another suite, comes to the same. Nothing is worse then; what differs is listed.

    Args:
        before: One folder.
        after: The other.
        margin: Largest relative difference of the primary score that counts as none.
        fields: In which settings must be equal; none for all that matter.

    Raises:
        UserError: A field is unknown, or does not tell settings apart.
    """
    left_out = [*before.faults.values(), *after.faults.values()]
    rows = same_settings(before.trials, after.trials, margin, fields)
    counted = Counter(str(row["verdict"]) for row in rows)
    tables = [equivalence_table(rows, margin, fields)] if rows else []
    number = len({row["number"] for row in rows})
    images = Counter(str(row["images"]) for row in rows if row["images"])
    unjudged = [f"{images}, so {plural(count, 'row')} cannot be judged" for images, count in images.items()]
    differences = [*before.aside, *after.aside, *unjudged]
    return Comparison(tables, worse=[], unsure=left_out, differences=differences, settings=counted, in_common=number)


_WATCHED = ("gan_bench", "git_commit", "python", "device_name", "engine", "threads")

_DIGESTS: tuple[tuple[Callable[[StoredTrial], str | None], str, str], ...] = (
    (lambda trial: trial.environment.get("data_sha256"), "training images", "dataset"),
    (lambda trial: trial.held_out_sha256, "held-out images", "dataset"),
    (lambda trial: trial.environment.get("networks_sha256"), "networks", "recipe"),
)
"""Digests of trials, None if not recorded, with their subject and its field."""


def differences_of(before: Mapping[str, StoredTrial], after: Mapping[str, StoredTrial]) -> Iterator[str]:
    """List the conditions that differ between common trials.

    Args:
        before: Trials by what makes them the same trial.
        after: The newer ones.
    """
    shared = [(before[key], after[key]) for key in before if key in after]
    for key in _WATCHED:
        yield from _changed(key, [(o.environment.get(key), n.environment.get(key)) for o, n in shared])
    names = {name for pair in shared for item in pair for name in item.environment.get("libraries", {})}
    for name in sorted(names):
        found = [tuple(item.environment.get("libraries", {}).get(name) for item in pair) for pair in shared]
        yield from _changed(name, found)
    for digest, what, field_ in _DIGESTS:
        of = {
            str(o.trial["config"][field_]) for o, n in shared if None not in (a := digest(o), b := digest(n)) and a != b
        }
        for name in sorted(of):
            yield f"{what} of {printable(name)} differ"


def _changed(what: str, pairs: list[tuple[Any, ...]]) -> Iterator[str]:
    changes = Counter((str(a), str(b)) for a, b in pairs if a != b and None not in (a, b))
    for (a, b), count in changes.most_common(1):
        others = len(changes) - 1
        more = f" and {plural(others, 'other change')}" if others else ""
        yield f"{what}: {printable(a)[:40]} -> {printable(b)[:40]} in {count} of {plural(len(pairs), 'trial')}{more}"
