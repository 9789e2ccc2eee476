"""Changes of settings between two results folders: better, worse, or not judged."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from gan_bench.config.measures import primary_measure
from gan_bench.core.text import plural, some_of
from gan_bench.report.compare.collapses import Collapses, better_settings, tests_of, worse_settings, worse_together
from gan_bench.report.compare.measured import Gone, Measured, Studies, collapses, measured
from gan_bench.report.findings.pairs import Paired
from gan_bench.report.study.looks import can_decide, repeated_p
from gan_bench.report.study.stats import ALPHA, FARTHEST, holm
from gan_bench.report.study.table import Column, arrow, number, put_interval

TOLERANCE = 0.2
"""Relative change of the primary score that is always tolerated if no test can decide."""
_BY_FEW = "beyond the tolerance, but half of the seeds changed by less than half of it"
_ALL_COLLAPSED = "every seed collapsed in one of the folders"
MAY_BE_CHANCE = "may be chance"
HARDLY = 0.1
"""Chance of more collapsed runs, such as 3 of 5 instead of none, times the settings that can reach it, below which it
is not judged: equal code reaches it in at most this share of comparisons."""
_NAMED = 2
"""Settings that a sentence names."""
CollapseVerdict = Literal["worse", "better", "more", ""]
"""Verdicts on collapses: ``more`` may be chance; fewer that may be chance are not reported."""
GROSS = 1.0
"""Relative change that is judged even if the spread over seeds is unknown: a factor of two."""
SETTING_COLUMNS = (
    Column("study", "study", vital=True),
    Column("setting", "setting", essential=True),
    Column("metric", "score", vital=True),
    Column("protocol", "protocol"),
    Column("old", "old mean", "number", vital=True, pair="mean"),
    Column("new", "new mean", "number", vital=True, pair="mean"),
    Column("ratio", "new / old", "range", vital=True),
    Column("difference", "new - old", "interval"),
    Column("seeds", "seeds", "count"),
    Column("corrected", "p (Holm)", "p"),
    Column("tolerance", "tolerance", "share"),
    Column("verdict", "verdict", essential=True),
    Column("why", "why"),
)


@dataclass(frozen=True)
class SettingChange:
    """How the primary scores of a setting that both folders have changed, and the verdict on it.

    Attributes:
        of: What was measured, or which scores are gone.
        verdict: identical, within tolerance, better, worse or cannot judge.
        why: What the verdict rests on.
        tolerance: Relative change that is tolerated where no test decides; None where none is judged by it.
        corrected: The p value, corrected for all tests, or None without one.
    """

    of: Measured | Gone
    verdict: str
    why: str
    tolerance: float | None = None
    corrected: float | None = None

    def row(self) -> dict[str, object]:
        """Return it as a row for ``SETTING_COLUMNS``."""
        of, pair, subject = self.of, self.of.pair, self.of.subject
        row: dict[str, object] = {
            "study": subject.study, "setting": subject.setting, "protocol": subject.protocol,
            "metric": arrow(primary_measure()), "old": pair and pair.first, "new": pair and pair.second,
            "seeds": of.seeds, "corrected": self.corrected, "tolerance": self.tolerance,
            "verdict": self.verdict, "why": self.why,
        }  # fmt: skip
        put_interval(row, "ratio", pair.shown if pair and pair.ratio else None)
        put_interval(row, "difference", pair.shown if pair and not pair.ratio else None)
        return row

    def sentence(self) -> str:
        """Return the verdict as a sentence."""
        subject, pair, measure = self.of.subject, self.of.pair, arrow(primary_measure())
        change = f" {number(pair.first)} -> {number(pair.second)} ({plural(self.of.seeds, 'seed')}, " if pair else " ("
        return f"{subject.study}: {subject.setting}: {measure}{change}{subject.protocol}): {self.why}"


def setting_changes(before: Studies, after: Studies, tolerance: float | None) -> list[SettingChange]:
    """Compare every setting that both folders have primary scores of.

    Args:
        before: The older folder's studies.
        after: The newer folder's.
        tolerance: As in ``gan_bench.report.compare.comparison.compare``.

    Returns:
        The changes, judged.
    """
    found, of = list(measured(before, after)), CollapseChanges.of(collapses(before, after))
    tested = [each for each in found if isinstance(each, Measured) and each.is_tested]
    p_values = holm([repeated_p(each.design.looks, each.look.number, each.pair.p) for each in tested])
    corrected = dict(zip(tested, p_values, strict=True))
    differing = sum(isinstance(each, Measured) and each.differs for each in found)
    return [_change(each, corrected, tolerance, differing, of) for each in found]


@dataclass(frozen=True)
class CollapseChanges:
    """How many more runs collapsed or diverged in the newer folder.

    Attributes:
        worse: Settings in which more did than chance explains.
        better: Settings in which fewer did than chance explains.
        chance: Settings in which more did, which may be chance.
        unpaired: Settings without a seed that has a score in both folders, which are not worse by that.
        hardly: Those of them of which that is hard to believe, by ``HARDLY``.
        together: All settings together, where these are worse and no single one is; or nothing.
    """

    worse: Sequence[Collapses]
    better: Sequence[Collapses]
    chance: Sequence[Collapses]
    unpaired: Sequence[Collapses]
    hardly: Sequence[Collapses]
    together: str

    @classmethod
    def of(cls, settings: Iterable[Collapses]) -> CollapseChanges:
        """Judge the settings that two folders have."""
        every = list(settings)
        worse = worse_settings(every)
        chance = [each for each in every if each.are_more and each not in worse]
        hardly = [each for each in chance if each.p * tests_of(every, HARDLY) <= HARDLY]
        together = "" if worse else worse_together(every)
        unpaired = [each for each in every if each.is_unpaired and each not in worse and not together]
        return cls(worse, better_settings(every), chance, unpaired, hardly, together)

    def find(self, study: str, setting: str) -> tuple[str, CollapseVerdict]:
        """Return the sentence about a setting, or an empty text, and its verdict."""
        chance = "" if self.together else f": {MAY_BE_CHANCE}"
        kinds: tuple[tuple[CollapseVerdict, Sequence[Collapses], str], ...] = (
            ("worse", self.worse, ""), ("better", self.better, ""), ("more", self.chance, chance)
        )  # fmt: skip
        for verdict, settings, more in kinds:
            for each in settings:
                if (each.study, each.setting) == (study, setting):
                    return f"{each}{more}", verdict
        return "", ""

    def worse_beside(self, told: Collection[tuple[str, str]]) -> Iterator[str]:
        """Yield sentences about what is worse, except given settings, by study and label."""
        yield from _sentences(self.worse, told)
        if self.together:
            yield self.together

    def better_beside(self, told: Collection[tuple[str, str]]) -> Iterator[str]:
        """Yield sentences about what is better, except given settings, by study and label."""
        yield from _sentences(self.better, told)

    def without_scores(self, told: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return sentences about settings whose diverged runs leave no score to compare, by study and label."""
        said = {(each.study, each.setting): f"{each}, and no seed has a score in both" for each in self.unpaired}
        return {key: f"{': '.join(key)}: {text}" for key, text in said.items() if key not in told}

    def maybe_chance(self, told: Collection[tuple[str, str]], *, hardly: bool) -> Iterator[str]:
        """Yield what may be chance, except given settings; nothing if all are worse.

        Args:
            told: Settings, as study and label.
            hardly: Whether those of which that is hard to believe are meant, or the others.
        """
        left = [each for each in self.chance if (each.study, each.setting) not in told and not self.together]
        named = [f"{each.study}: {each.setting}: {each}" for each in left if (each in self.hardly) == hardly]
        if named:
            yield f"{some_of(named, _NAMED, '; ')}: {MAY_BE_CHANCE}"


def _sentences(settings: Iterable[Collapses], told: Collection[tuple[str, str]]) -> Iterator[str]:
    for each in settings:
        if (each.study, each.setting) not in told:
            yield f"{each.study}: {each.setting}: {each}"


def _change(
    each: Measured | Gone,
    corrected: Mapping[Measured, float],
    asked: float | None,
    differing: int,
    of: CollapseChanges,
) -> SettingChange:
    if isinstance(each, Gone):
        return SettingChange(each, "worse", each.always)
    tolerance, certain = tolerated(asked, each.error, each.degrees, differing)
    tests, found = max(len(corrected), 1), of.find(each.subject.study, each.subject.setting)
    verdict, why = judge_change(
        each, corrected.get(each, 1.0), tolerance, certain=certain, tests=tests, collapses=found
    )
    return SettingChange(each, verdict, why, tolerance, corrected.get(each))


def judge_change(
    change: Measured,
    p: float,
    tolerance: float,
    *,
    certain: bool,
    tests: int,
    collapses: tuple[str, CollapseVerdict] = ("", ""),
) -> tuple[str, str]:
    """Return the verdict on a primary score and its reason, by the first rule that holds.

    Args:
        change: What was measured.
        p: What the test says, corrected for all tests; 1 where none may decide.
        tolerance: Relative change that is tolerated where no test decides.
        certain: Whether what exceeds it is certainly no chance.
        tests: How many tests there are, at least 1.
        collapses: What is said of more collapses in the newer folder or fewer, and the verdict on that.
    """
    size, untested, (said, counts) = size_of(change.pair), change.untested, collapses
    is_tolerated = not change.differs or size <= tolerance
    is_no_worse = is_tolerated or change.direction == "better"
    # Asked of the seeds that are left, where findings ask of all of a look: if too few are, the tolerance judges.
    could_decide = can_decide(change.design, change.look, change.seeds, tests)
    rules = (
        (change.is_identical and counts not in ("worse", "better"), "identical", ""),
        (bool(change.apart), "cannot judge", change.apart),
        (bool(change.always), "worse", change.always),
        (counts == "worse", "worse", said),
        (change.is_decided(p), change.direction, "decided by the test"),
        (counts == "better" and (is_no_worse or change.is_all_left_out), "better", said),
        (change.is_all_left_out and (counts == "more" or not is_tolerated), "cannot judge", _ALL_COLLAPSED),
        (change.is_all_left_out, "within tolerance", _ALL_COLLAPSED),
        (is_tolerated, "within tolerance", ""),
        (could_decide, "cannot judge", "beyond the tolerance, and the test does not decide"),
        (median_size_of(change.pair) <= tolerance / 2, "cannot judge", _BY_FEW),
        (counts == "better", "cannot judge", f"beyond the tolerance; {untested}"),
        (certain or size > GROSS, change.direction, f"beyond the tolerance of {tolerance:.0%}; {untested}"),
        (True, "cannot judge", f"{untested}, and nothing is known of the spread over seeds"),
    )
    verdict, why = next((verdict, why) for holds, verdict, why in rules if holds)
    return verdict, "; ".join(dict.fromkeys(part for part in (why, said) if part))


def tolerated(asked: float | None, error: float, degrees: int, differing: int) -> tuple[float, bool]:
    """Return the relative change that is tolerated if no test decides, and whether a larger one is beyond chance.

    By default what chance exceeds for the worse in ``ALPHA`` of comparisons in any of their settings that differ: the
    quantile of Student's t for a share of that, in standard errors. Of equal settings one is called worse in 1 to 6 %
    of comparisons (1 to 40 settings, 2 to 8 seeds), where their spreads lie threefold apart in 1 to 15 %, most of 40
    settings over three seeds; two standard errors each would do so in 2 to 60 % (10,000 simulated comparisons each).
    These are numbers of values without outliers: of 13 settings whose values have a t distribution of three degrees of
    freedom one is worse in 5 to 9 %, where the median seed must have changed by half of the tolerance, else in 7 to 12.

    Args:
        asked: A tolerance that was asked for.
        error: Standard error of the difference of logarithms.
        degrees: Its degrees of freedom, 0 where nothing is known of it.
        differing: How many settings differ.
    """
    if asked is not None:
        return asked, True
    if not degrees:
        return TOLERANCE, False
    quantile = float(special.stdtrit(degrees, 1 - ALPHA / max(differing, 1)))
    return max(TOLERANCE, math.expm1(min(quantile * error, FARTHEST))), True


def size_of(pair: Paired) -> float:
    """Return the size of a change as a share of the older mean."""
    return _share(abs(pair.interval.estimate), pair)


def median_size_of(pair: Paired) -> float:
    """Return the change of the median seed in the direction of the mean, as a share of the older mean."""
    return _share(float(np.median(pair.values)) * math.copysign(1.0, pair.interval.estimate), pair)


def _share(change: float, pair: Paired) -> float:
    return math.expm1(min(change, FARTHEST)) if pair.ratio else change / max(abs(pair.first), 1e-12)
