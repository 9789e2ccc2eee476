"""A results folder as read by a comparison: valid records, one version of each study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gan_bench.config.trial import setting_key
from gan_bench.core.errors import CopiedError, MisplacedError, RecordError, UserError
from gan_bench.core.text import plural, printable
from gan_bench.records.folders import existing, folders_by_suite, scan
from gan_bench.records.json_files import is_regular, without_remedy
from gan_bench.records.layout import PLAN
from gan_bench.records.plan import Suites, declare_foreign_measures, read_suites
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import Status
from gan_bench.report.compare.measured import Studies, same_setting
from gan_bench.report.study.frame import build_frames
from gan_bench.report.study.studies import studies

WAITS = "waits"


@dataclass(frozen=True)
class ComparedFolder:
    """A results folder as read.

    Attributes:
        path: Where it is.
        trials: Trials that can be believed.
        faults: A sentence for each record that cannot be believed, by name of its directory, or of its suite's folder.
        known: Names of the suites that it has a folder or a trial of.
        planned: Those of them whose plan is there.
        suites: What is known of its suites besides.
        aside: One sentence for what lies in another folder than that which its suite is read from, and for every
            version of a suite that is not compared.
    """

    path: Path
    trials: list[StoredTrial]
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
        trials, suites = list[StoredTrial](), set[str]()
        faults, aside = dict[str, str](), list[str]()
        for item in scan(results, steps=False):
            if isinstance(item, MisplacedError):
                aside.append(without_remedy(item))
            elif isinstance(item, CopiedError):
                continue
            elif isinstance(item, RecordError):
                faults.setdefault(item.folder or str(item), _left_out(item))
            elif item.fault:
                faults[item.path.name] = _left_out(item.fault)
                suites.add(_suite(item))
            else:
                trials.append(item)
        if not trials and not faults:
            raise UserError(f"{results} holds no trial records; name the results folder of an earlier run")
        folders = folders_by_suite(results).items()
        planned = frozenset(name for name, each in folders if is_regular(each.read / PLAN))
        known = frozenset({name for name, _ in folders} | suites | set(map(_suite, trials)))
        return cls(results, trials, faults, known, planned, read_suites(results), aside)

    def without(self, faults: Collection[str]) -> ComparedFolder:
        """Return the folder without trials whose records are faulty in the other folder."""
        kept = [t for t in self.trials if t.path.name not in faults and t.path.parent.name not in faults]
        return replace(self, trials=kept)

    def of_versions(self, counted: Mapping[StudyKey, int]) -> ComparedFolder:
        """Return the folder with one version of each study; the omitted versions become a remark."""
        others = Counter[tuple[str, str, int, int]]()
        kept = list[StoredTrial]()
        for trial in self.trials:
            study, version = _study(trial), _version(trial)
            if version == counted[study]:
                kept.append(trial)
            else:
                others[study[0], study[1], version, counted[study]] += 1
        said = []
        for (suite, profile, version, counts), count in sorted(others.items()):
            trials = plural(count, "trial" if profile == "full" else f"{profile} trial")
            where = f"of version {version} in {self.path}"
            are = "is" if count == 1 else "are"
            said.append(f"{printable(suite)}: {trials} {where} {are} not compared, version {counts} counts")
        return replace(self, trials=kept, aside=[*self.aside, *said])

    @property
    def by_trial(self) -> dict[str, StoredTrial]:
        """Its trials by the key that identifies them in both folders."""
        return {same_setting(t.trial["config"]) + str(t.trial["config"]["seed"]): t for t in self.trials}

    @property
    def studies(self) -> Studies:
        """The studies of its trials."""
        found = studies(build_frames(self.trials), self.suites)
        return {(s.suite, s.profile, s.dataset, str(s.image_size)): s for s in found}


StudyKey = tuple[str, str, str, str]
"""Suite, profile, dataset and image size: the key of a study without its version."""


def _study(trial: StoredTrial) -> StudyKey:
    config = trial.trial["config"]
    return _suite(trial), str(config["profile"]), str(config["dataset"]), str(config["image_size"])


def _suite(trial: StoredTrial) -> str:
    return str(trial.trial["config"]["suite"])


def _version(trial: StoredTrial) -> int:
    return int(trial.trial["config"]["suite_version"])


def one_version_each(
    before: ComparedFolder, after: ComparedFolder, unmatched: Collection[str]
) -> tuple[ComparedFolder, ComparedFolder]:
    """Return both folders with one version of each study: the newest without waiting trials.

    Versions with a setting in common go first. If some trials of every version wait, it is the newest with a finished
    trial. In the newer folder none below that of the older one counts, if there is another: what was done there and
    waits here is worse. There a version counts also if all of its trials failed, unless they are in the older folder.

    Args:
        before: The older folder.
        after: The newer one.
        unmatched: Fields that equal settings may differ in.
    """
    had_ended = {(_study(each), _version(each)) for each in before.trials if each.record}
    olds = _counted_versions(before.trials, {}, after.trials, unmatched, None)
    kept = before.of_versions(olds)
    return kept, after.of_versions(_counted_versions(after.trials, olds, kept.trials, unmatched, had_ended))


def _counted_versions(
    trials: Iterable[StoredTrial],
    least: Mapping[StudyKey, int],
    others: Iterable[StoredTrial],
    unmatched: Collection[str],
    had_ended: Collection[tuple[StudyKey, int]] | None,
) -> dict[StudyKey, int]:
    """Return the version of each study that is compared, not below given least versions if possible.

    A version without any finished trial counts only if it had not ended in the older folder, which has None.
    """
    found: dict[tuple[StudyKey, int], list[StoredTrial]] = {}
    for each in trials:
        found.setdefault((_study(each), _version(each)), []).append(each)
    known = {setting_key(each.trial["config"], unmatched) for each in others}
    ranks = dict[StudyKey, tuple[bool, bool, bool, bool, int]]()
    for (study, version), members in found.items():
        ends = [each.record["status"] if each.record else WAITS for each in members if not each.withdrawn]
        is_done, waits = "done" in ends, not {WAITS, Status.INTERRUPTED}.isdisjoint(ends)
        is_new = had_ended is not None and (study, version) not in had_ended
        is_over = not waits and (is_done or (bool(ends) and is_new))
        is_common = any(setting_key(each.trial["config"], unmatched) in known for each in members)
        rank = version >= least.get(study, 0), is_common, is_over, is_over or is_done, version
        ranks[study] = max(rank, ranks.get(study, rank))
    return {study: version for study, (*_, version) in ranks.items()}


def _left_out(fault: RecordError) -> str:
    return f"left out, {fault.status}: {without_remedy(fault)}"
