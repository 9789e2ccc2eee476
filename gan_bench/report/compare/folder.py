"""A results folder as a comparison reads it: one version of each suite, and no record that cannot be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gan_bench.core.errors import CopiedError, MisplacedError, RecordError, UserError
from gan_bench.core.text import plural, printable
from gan_bench.records.folders import existing, folders_by_suite, scan
from gan_bench.records.json_files import is_regular, without_remedy
from gan_bench.records.layout import PLAN
from gan_bench.records.plan import Suites, declare_foreign_measures, read_suites
from gan_bench.records.reader import StoredTrial
from gan_bench.report.compare.measured import Studies, same_setting
from gan_bench.report.study.frame import build_frames
from gan_bench.report.study.studies import studies


@dataclass(frozen=True)
class ComparedFolder:
    """A results folder as read.

    Attributes:
        trials: Trials that can be believed, of one version of each suite: the newest with a finished one.
        faults: A sentence for each record that cannot be believed, by name of its directory, or of its suite's folder.
        known: Names of the suites that it has a folder or a trial of.
        planned: Those of them whose plan is there.
        suites: What is known of its suites besides.
        aside: One sentence for every suite of which other versions are there, and for what lies in another folder
            than that which its suite is read from.
    """

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
        counted = _counted_versions(trials)
        said = [*_other_versions(results, trials, counted), *aside]
        trials = [each for each in trials if _version(each) == counted[_suite(each)]]
        return cls(trials, faults, known, planned, read_suites(results), said)

    def without(self, faults: Collection[str]) -> ComparedFolder:
        """Return the folder without the trials whose records are faulty in the other one."""
        kept = [t for t in self.trials if t.path.name not in faults and t.path.parent.name not in faults]
        return replace(self, trials=kept)

    @property
    def by_trial(self) -> dict[str, StoredTrial]:
        """Its trials by what makes them the same trial in both folders."""
        return {same_setting(t.trial["config"]) + str(t.trial["config"]["seed"]): t for t in self.trials}

    @property
    def studies(self) -> Studies:
        """The studies of its trials."""
        found = studies(build_frames(self.trials), self.suites)
        return {(s.suite, s.profile, s.dataset, str(s.image_size)): s for s in found}


def _suite(trial: StoredTrial) -> str:
    return str(trial.trial["config"]["suite"])


def _version(trial: StoredTrial) -> int:
    return int(trial.trial["config"]["suite_version"])


def _counted_versions(trials: Iterable[StoredTrial]) -> dict[str, int]:
    """Return of each suite the newest version with a finished trial; the newest of all where none is finished."""
    ranks = dict[str, tuple[bool, int]]()
    for each in trials:
        is_done = each.record is not None and each.record["status"] == "done"
        ranks[_suite(each)] = max(ranks.get(_suite(each), (False, 0)), (is_done, _version(each)))
    return {suite: version for suite, (_, version) in ranks.items()}


def _other_versions(results: Path, trials: Iterable[StoredTrial], counted: Mapping[str, int]) -> Iterator[str]:
    """Yield of each suite which versions of it are not compared, and in how many trials."""
    passed = Counter((_suite(each), _version(each)) for each in trials)
    for (suite, version), count in sorted(passed.items()):
        if version != counted[suite]:
            are = "is" if count == 1 else "are"
            yield (
                f"{printable(suite)}: {plural(count, 'trial')} of version {version} in {results} {are} not compared, "
                f"version {counted[suite]} counts"
            )


def _left_out(fault: RecordError) -> str:
    return f"left out, {fault.status}: {without_remedy(fault)}"
