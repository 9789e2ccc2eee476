"""A results folder as a comparison reads it, and the version of each suite of it that counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gan_bench.core.errors import CopiedError, PutAsideError, RecordError, UserError
from gan_bench.core.text import plural, printable
from gan_bench.records.folders import existing, folders_by_suite, scan
from gan_bench.records.json_files import is_regular, without_remedy
from gan_bench.records.layout import PLAN
from gan_bench.records.plan import Suites, declare_foreign_measures, read_suites
from gan_bench.records.reader import StoredTrial
from gan_bench.report.compare.measured import Studies, same_setting
from gan_bench.report.compare.scored_settings import Version, version_of
from gan_bench.report.study.frame import FAULTY, build_frames
from gan_bench.report.study.studies import studies

SettingOfSuite = tuple[str, str]
"""A suite, and one of its settings in whatever version."""


def setting_of(config: Mapping[str, Any]) -> SettingOfSuite:
    """Return what the settings of two folders are matched by."""
    return str(config["suite"]), same_setting(config)


@dataclass(frozen=True)
class ComparedFolder:
    """A results folder as read.

    Attributes:
        trials: Trials that can be believed.
        faulty: Those that were planned or can be read, and whose records cannot be believed.
        faults: A sentence for each record that cannot be believed, by name of its directory, or of its suite's folder.
        known: Names of the suites that it has a folder or a trial of.
        planned: Those of them whose plan is there.
        suites: What is known of its suites besides.
        aside: One sentence for every folder with records that count nowhere, as their suite has one of its name.
    """

    trials: list[StoredTrial]
    faulty: list[StoredTrial]
    faults: dict[str, str]
    known: frozenset[str]
    planned: frozenset[str]
    suites: Suites
    aside: list[str]

    @classmethod
    def read(cls, results: Path) -> ComparedFolder:
        """Read a results folder.

        Raises:
            UserError: It holds no trial records, or is none.
        """
        declare_foreign_measures(existing(results))
        trials, faulty = list[StoredTrial](), list[StoredTrial]()
        faults, aside = dict[str, str](), list[PutAsideError]()
        for item in scan(results, steps=False):
            if isinstance(item, CopiedError):
                aside += [item] if isinstance(item, PutAsideError) else []
            elif isinstance(item, RecordError):
                faults.setdefault(item.folder or str(item), _left_out(item))
            elif item.fault:
                faults[item.path.name] = _left_out(item.fault)
                faulty.append(item)
            else:
                trials.append(item)
        if not trials and not faults:
            raise UserError(f"{results} holds no trial records; name the results folder of an earlier run")
        suites = folders_by_suite(results).items()
        planned = frozenset(name for name, each in suites if any(is_regular(folder / PLAN) for folder in each.read))
        known = {name for name, _ in suites} | {str(each.trial["config"]["suite"]) for each in (*trials, *faulty)}
        return cls(trials, faulty, faults, frozenset(known), planned, read_suites(results), list(_put_aside(aside)))

    def without(self, faults: Collection[str]) -> ComparedFolder:
        """Return the folder without the trials whose records are faulty in the other one."""
        kept = [t for t in self.trials if t.path.name not in faults and t.path.parent.name not in faults]
        return replace(self, trials=kept)

    @property
    def by_trial(self) -> dict[str, StoredTrial]:
        """Its trials by what makes them the same trial in both folders."""
        return {same_setting(t.trial["config"]) + str(t.trial["config"]["seed"]): t for t in self.trials}

    @property
    def has_versions(self) -> bool:
        """Whether any of its suites is there in several versions."""
        configs = [trial.trial["config"] for trial in self.trials]
        versions = {(config["suite"], config["suite_version"]) for config in configs}
        return len(versions) > len({suite for suite, _ in versions})

    @property
    def versions(self) -> dict[SettingOfSuite, list[Version]]:
        """Of each of its settings the versions of the suite that it has trials of, and how far they have come."""
        trials = build_frames([*self.trials, *self.faulty]).trials  # both say how far one has come
        found = dict[SettingOfSuite, list[Version]]()
        for _, rows in trials.groupby([trials["config"].map(same_setting), "suite_version"]):
            if not rows["status"].isin(FAULTY).all():
                found.setdefault(setting_of(rows["config"].iloc[0]), []).append(version_of(rows, self.suites))
        return found

    def of_versions(self, versions: Mapping[SettingOfSuite, Version]) -> ComparedFolder:
        """Return the folder with the trials alone that are of one version for each setting."""
        configs = [(trial, trial.trial["config"]) for trial in self.trials]
        kept = [trial for trial, config in configs if versions[setting_of(config)].number == config["suite_version"]]
        return replace(self, trials=kept)

    @property
    def studies(self) -> Studies:
        """The studies of its trials."""
        found = studies(build_frames(self.trials), self.suites, versions_apart=False)
        return {(s.suite, s.profile, s.dataset, str(s.image_size)): s for s in found}


def _left_out(fault: RecordError) -> str:
    return f"left out, {fault.status}: {without_remedy(fault)}"


def _put_aside(errors: Iterable[PutAsideError]) -> Iterator[str]:
    """Yield of every folder that it holds records which count nowhere; a report says what to do with them."""
    for (folder, home), count in Counter((each.path.parent, each.home) for each in errors).items():
        yield (
            f"{plural(count, 'record')} in {folder} {'is' if count == 1 else 'are'} of a suite that has a folder of "
            f"its name, {home}, and not compared"
        )


def one_version_each(before: ComparedFolder, after: ComparedFolder) -> tuple[ComparedFolder, ComparedFolder, list[str]]:
    """Return both folders with one version of each setting, and a sentence for each version that is passed over.

    It is that which counts, and in the newer folder none below that of the older: what was done of a version and now
    waits to be trained is worse, however well the version before it ended.
    """
    if not before.has_versions and not after.has_versions:
        return before, after, []
    first, second = before.versions, after.versions
    olds = {setting: _counted(found, 0) for setting, found in first.items()}
    least = {setting: each.number for setting, each in olds.items()}
    news = {setting: _counted(found, least.get(setting, 0)) for setting, found in second.items()}
    said = [*_passed_over(first, olds, "older"), *_passed_over(second, news, "newer")]
    return before.of_versions(olds), after.of_versions(news), said


def _counted(found: list[Version], least: int) -> Version:
    return max([each for each in found if each.number >= least] or found, key=lambda each: each.rank)


def _passed_over(
    found: Mapping[SettingOfSuite, list[Version]], counted: Mapping[SettingOfSuite, Version], which: str
) -> Iterator[str]:
    """Yield which versions are the newest and not compared, and in how many settings."""
    newest = {setting: max(each.number for each in versions) for setting, versions in found.items()}
    passed = Counter((suite, counted[suite, key].number, number) for (suite, key), number in newest.items())
    for (suite, number, other), count in passed.items():
        if number < other:
            where, older = plural(count, "setting"), f"version {number} of the {which} folder"
            yield f"{printable(suite)}: {older} is compared in {where}, as version {other} has not come as far"
