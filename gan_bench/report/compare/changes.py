"""How settings of two results folders differ, and whether that is better, worse, or cannot be judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from statistics import median

import pandas as pd
from scipy import special

from gan_bench.config.design import Design
from gan_bench.config.measures import COLLAPSED, measures_with, primary_measure
from gan_bench.config.trial import setting_key
from gan_bench.core.text import plural
from gan_bench.report.findings.pairs import Paired, paired
from gan_bench.report.study.frame import ENDED, images_changed
from gan_bench.report.study.looks import level, repeated_p
from gan_bench.report.study.stats import ALPHA, FARTHEST, coincidence, holm
from gan_bench.report.study.study import Scored, Study
from gan_bench.report.study.table import Column, arrow, number, put_interval

TOLERANCE = 0.2
"""Relative change of the primary score that is always tolerated where a test cannot decide."""
GROSS = 1.0
"""Relative change that is judged even when nothing is known of the spread over seeds: a factor of two."""
SETTING_COLUMNS = (
    Column("study", "study", vital=True),
    Column("setting", "setting", vital=True),
    Column("metric", "score", vital=True),
    Column("protocol", "protocol"),
    Column("old", "old mean", "number", vital=True),
    Column("new", "new mean", "number", vital=True),
    Column("ratio", "new / old", "range", vital=True),
    Column("difference", "new - old", "interval"),
    Column("seeds", "seeds", "count"),
    Column("corrected", "p (Holm)", "p"),
    Column("tolerance", "tolerance", "share"),
    Column("verdict", "verdict", vital=True),
    Column("why", "why"),
)


Studies = dict[tuple[str, ...], Study]


def matched(before: Studies, after: Studies) -> Iterator[tuple[Study, Study, pd.DataFrame]]:
    """Yield the studies that both folders have, with the older trials and what the newer folder has of them."""
    for place in sorted(before.keys() & after.keys()):
        old, new = newest(before[place]), newest(after[place])
        yield before[place], after[place], old.merge(new, "left", ["setting_key", "seed"], suffixes=("_old", "_new"))


def newest(study: Study) -> pd.DataFrame:
    """Return a study's trials, of several versions of the suite those of the last."""
    same = [setting_key(config, ("suite_version",)) for config in study.trials["config"]]
    newest = study.trials.assign(setting_key=same).sort_values("suite_version", kind="stable")
    return newest.drop_duplicates(["setting_key", "seed"], keep="last")


@dataclass(frozen=True, kw_only=True)
class SettingChange:
    """How the scores of a setting that both folders have changed, by one measure.

    Attributes:
        study: Title of its study.
        setting: Its label in the older folder.
        protocol: How it was scored.
        metric: The measure.
        old: Mean over the shared seeds in the older folder, geometric where ratios are compared; None where scores are
            gone.
        new: The same of the newer folder.
        seeds: Shared seeds, or scores that are gone.
        pair: Both sides over these seeds, or None where scores are gone.
        noise: Standard deviation of scoring the same generator again, on the test's scale.
        looks: Numbers of seeds at which its study is judged.
        look: That of the last look that is complete, or 0.
        tested: Whether a test may decide.
        error: Standard error of the difference, of logarithms, from the spread over seeds in the older folder; None
            where no setting there has two.
        degrees: Its degrees of freedom.
        tolerance: Relative change that is tolerated where no test decides; of the primary measure.
        certain: Whether what exceeds it is certainly no chance.
        always: Why the setting is worse whatever a test says, or nothing.
        untested: Why no test decides, or nothing.
        apart: Why the two sides cannot be compared at all, or nothing.
        corrected: The p value, corrected for all tests, or None without one.
        verdict: identical, within tolerance, better, worse or cannot judge; of exploratory measures exploratory or no
            change.
        why: What the verdict rests on.
    """

    study: str
    setting: str
    protocol: str
    metric: str
    old: float | None = None
    new: float | None = None
    seeds: int
    pair: Paired | None = None
    noise: float = 0.0
    looks: tuple[int, ...] = ()
    look: int = 0
    tested: bool = False
    error: float | None = None
    degrees: int = 0
    tolerance: float | None = None
    certain: bool = True
    always: str = ""
    untested: str = ""
    apart: str = ""
    corrected: float | None = None
    verdict: str = ""
    why: str = ""

    @property
    def primary(self) -> bool:
        """Whether it is of the measure that decides."""
        return self.metric == primary_measure()

    def row(self) -> dict[str, object]:
        """Return it as a row for ``SETTING_COLUMNS``."""
        left_out = ("pair", "looks", "look", "metric", "apart", "error", "degrees")
        row = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in left_out}
        row |= {"key": self.metric, "metric": arrow(self.metric)}
        for key, is_ratio in (("ratio", True), ("difference", False)):
            put_interval(row, key, self.pair.shown if self.pair and self.pair.ratio == is_ratio else None)
        return row

    def sentence(self) -> str:
        """Return the verdict as a sentence."""
        title = arrow(self.metric)
        if self.old is None or self.new is None:
            return f"{self.study}: {self.setting}: {title} ({self.protocol}): {self.why}"
        change = f"{title} {number(self.old)} -> {number(self.new)}"
        return f"{self.study}: {self.setting}: {change} ({plural(self.seeds, 'seed')}, {self.protocol}): {self.why}"


def setting_changes(before: Studies, after: Studies, tolerance: float | None) -> list[SettingChange]:
    """Compare every setting that both folders have scores of, measure by measure.

    Args:
        before: The older folder's studies.
        after: The newer folder's.
        tolerance: As in ``gan_bench.report.compare.comparison.compare``.

    Returns:
        The changes, judged.
    """
    found = list(_compared(before, after))
    differing = sum(each.primary and each.pair is not None and bool(each.pair.values.any()) for each in found)
    found = [_tolerated(each, tolerance, differing) for each in found]
    p_values = iter(
        holm([repeated_p(each.looks, each.look, each.pair.p) for each in found if each.tested and each.pair])
    )
    tests = sum(each.tested for each in found)
    corrected = [replace(each, corrected=next(p_values)) if each.tested else each for each in found]
    return [replace(each, verdict=verdict, why=why) for each in corrected for verdict, why in [_judge(each, tests)]]


def _compared(before: Studies, after: Studies) -> Iterator[SettingChange]:
    for old, new, both in matched(before, after):
        for earlier in old.scored:
            later, spreads = Scored(new, earlier.protocol), _spreads(earlier)
            for metric in old.shown(measures_with("compared")):
                if metric in new.metrics or metric == primary_measure():
                    for _, members in both.groupby("setting_key", sort=False):
                        yield from _change(earlier, later, members, metric, spreads)


def _change(
    earlier: Scored, later: Scored, members: pd.DataFrame, metric: str, spreads: Spreads
) -> Iterator[SettingChange]:
    """Yield how the scores of a setting changed, and how many are gone."""
    old, new, is_primary = earlier.study, later.study, metric == primary_measure()
    label = members["label_old"].iloc[0]
    a, b = members["trial_old"].map(earlier.final()[metric]), members["trial_new"].map(later.final()[metric])
    known = a.notna() & b.notna()
    gone = int((a.notna() & b.isna() & (members["status_new"] == "done")).sum())
    if is_primary and gone and not earlier.added:  # a run has none that were added
        yield SettingChange(
            study=old.title,
            setting=label,
            protocol=earlier.protocol,
            metric=metric,
            seeds=gone,
            always=f"{plural(gone, 'score')} of {len(members)} gone, though the trials are done",
        )
    if not known.any():
        return
    there = members["seed"][members["status_new"].notna()]
    ended = members["status_old"].isin(ENDED) & members["status_new"].isin(ENDED)  # lost ones too
    looks, declared = _look(old.design.of(set(members["seed"])), new.design.of(set(there)), members["seed"][ended])
    counted = known & members["seed"].isin(declared)
    known = counted if counted.any() else known
    look = len(declared) if counted.any() else 0  # where all of it were lost, others are no look
    pair = paired(metric, a[known], b[known], level=level(looks, look) if look else ALPHA)
    noise, share = (
        max(each.measurement_sd(metric, relative=relative) for each in (earlier, later))
        for relative in (pair.ratio, True)
    )
    seeds = int(known.sum())
    apart = images_changed(members["made_of_old"][known], members["made_of_new"][known])
    change = SettingChange(
        study=old.title,
        setting=label,
        protocol=earlier.protocol,
        metric=metric,
        old=pair.first,
        new=pair.second,
        seeds=seeds,
        pair=pair,
        noise=noise,
        looks=looks,
        look=look,
        untested=_untested(old.design, new.design, look),
        apart=apart,
    )
    if is_primary:
        sds, degrees = spreads
        means = float(a[known].mean()), float(b[known].mean())
        change = replace(
            change,
            tested=bool(pair.values.any()) and not apart and seeds > 1 and look > 0,
            error=math.hypot(sds[label], share) * math.sqrt(2 / seeds) if degrees else None,
            degrees=degrees,
            always=_always_worse(earlier, later, members[known], *means),
        )
    yield change


def _look(old: Design, new: Design, ended: pd.Series[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the looks of the seeds that two designs share, and the seeds of the last one that is complete.

    There are none where seeds were added that were not declared.
    """
    both = [seed for seed in old.seeds if seed in new.seeds]
    if old.extended or new.extended or not both:
        return (), ()
    design = Design.fixed(both) if old.is_fixed else old
    return design.looks, design.at(set(ended)).seeds


def _untested(old: Design, new: Design, look: int) -> str:
    """Return why no test decides."""
    if old.extended or new.extended:
        return "no test, as not all seeds are known to have been declared"
    return "too few seeds for a test" if look else "no test before all seeds of the next look have ended"


Spreads = tuple[Mapping[str, float], int]
"""Standard deviations of a log primary score over seeds, by label, and their degrees of freedom, 0 without any."""


def _spreads(scored: Scored) -> Spreads:
    """Return a study's spreads: each setting's own, and at least the median of all.

    One with a collapsed or wild seed must not make others tolerate what is no chance. Variances over few seeds have a
    median below the true one, which is corrected as for normal values.
    """
    final, variances, degrees = scored.final()[primary_measure()], dict[str, float](), dict[str, int]()
    for setting in scored.study.settings:
        values, label = setting.done["trial"].map(final).dropna().astype(float), setting.label
        variances[label] = 0.0
        if len(values) > 1 and (values > 0).all():
            variances[label], degrees[label] = float(values.map(math.log).var()), len(values) - 1
    usual = median([variances[label] * n / float(special.chdtri(n, 0.5)) for label, n in degrees.items()] or [0.0])
    return {label: math.sqrt(max(own, usual)) for label, own in variances.items()}, sum(degrees.values())


def _tolerated(change: SettingChange, asked: float | None, differing: int) -> SettingChange:
    """Return a change of the primary measure with the relative change that is tolerated of it.

    By default what chance exceeds for the worse in ``ALPHA`` of comparisons in any of their settings that differ: the
    quantile of Student's t for a share of that, in standard errors. Of equal settings one is called worse in 1 to 6 %
    of comparisons (1 to 40 settings, 2 to 8 seeds), where their spreads lie threefold apart in 1 to 15 %, most of 40
    settings over three seeds; two standard errors each would do so in 2 to 60 % (10,000 simulated comparisons each).

    Args:
        change: The change.
        asked: A tolerance that was asked for.
        differing: How many settings differ.
    """
    if not change.primary or change.pair is None:
        return change
    if asked is not None:
        return replace(change, tolerance=asked)
    if change.error is None:
        return replace(change, tolerance=TOLERANCE, certain=False)
    quantile = float(special.stdtrit(change.degrees, 1 - ALPHA / max(differing, 1)))
    return replace(change, tolerance=max(TOLERANCE, math.expm1(min(quantile * change.error, FARTHEST))))


def _always_worse(old: Scored, new: Scored, members: pd.DataFrame, before: float, after: float) -> str:
    """Return why a setting is worse without a test: no better than untrained, or newly collapsed; else nothing."""
    primary = primary_measure()
    recipe = str(members["recipe_old"].iloc[0])
    untrained = new.untrained(primary, recipe) or old.untrained(primary, recipe)
    if untrained is not None and before < untrained <= after:
        return f"no better than untrained generators ({number(untrained)})"
    if COLLAPSED in old.study.metrics and COLLAPSED in new.study.metrics:
        once = int((members["trial_old"].map(old.final()[COLLAPSED]) > 0).sum())
        now = int((members["trial_new"].map(new.final()[COLLAPSED]) > 0).sum())
        if now > once:
            return f"{now} of {len(members)} generators collapsed, {once} before"
    return ""


def _judge(change: SettingChange, tests: int) -> tuple[str, str]:
    """Return a setting's verdict, and why."""
    pair = change.pair
    if pair is None:
        return "worse", change.always
    if not pair.values.any():
        return "identical", ""
    way = "better" if pair.second_is_better else "worse"
    beyond_noise = abs(pair.interval.estimate) > change.noise
    if not change.primary:
        judged = pair.p <= ALPHA and beyond_noise and not change.apart
        return ("exploratory", way) if judged else ("no change", "")
    if change.apart or change.always:
        return ("cannot judge", change.apart) if change.apart else ("worse", change.always)
    if change.corrected is not None and change.corrected <= ALPHA and beyond_noise:
        return way, "decided by the test"
    return _judge_by_tolerance(change, pair, way, tests)


def _judge_by_tolerance(change: SettingChange, pair: Paired, way: str, tests: int) -> tuple[str, str]:
    """Return the verdict of a change that no test decides."""
    size = (
        math.expm1(min(abs(pair.interval.estimate), FARTHEST))
        if pair.ratio
        else abs(pair.interval.estimate) / max(abs(pair.first), 1e-12)
    )
    assert change.tolerance is not None  # noqa: S101 - of the primary measure it is known
    if size <= change.tolerance:
        return "within tolerance", ""
    least = float(coincidence(change.seeds))
    if change.look and repeated_p(change.looks, change.look, least) * max(tests, 1) <= ALPHA:
        return "cannot judge", "beyond the tolerance, and the test does not decide"
    if change.certain or size > GROSS:
        return way, f"beyond the tolerance of {change.tolerance:.0%}; {change.untested}"
    return "cannot judge", f"{change.untested}, and nothing is known of the spread over seeds"
