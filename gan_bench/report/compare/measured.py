"""Two results folders -> measurements of common settings; verdicts are made elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd
from scipy import special

from gan_bench.config.design import UNKNOWN, Design, Look
from gan_bench.config.measures import primary_measure
from gan_bench.config.trial import setting_key
from gan_bench.core.text import plural
from gan_bench.report.compare.collapses import Collapses, Counts
from gan_bench.report.findings.pairs import Paired, paired
from gan_bench.report.study.frame import ENDED, images_changed
from gan_bench.report.study.looks import can_decide, level_at
from gan_bench.report.study.stats import verdict_of
from gan_bench.report.study.study import ScoredStudy, Study, network_of, values_of
from gan_bench.report.study.table import number

Studies = dict[tuple[str, ...], Study]
DIVERGED = "diverged"


def matched(before: Studies, after: Studies) -> Iterator[tuple[Study, Study, pd.DataFrame]]:
    """Yield the common studies, with the older trials and their counterparts."""
    for place in sorted(before.keys() & after.keys()):
        old, new = keyed(before[place]), keyed(after[place])
        yield before[place], after[place], old.merge(new, "left", ["setting_key", "seed"], suffixes=("_old", "_new"))


def same_setting(config: Mapping[str, Any]) -> str:
    """Return the key of a trial's setting, independent of the suite's version."""
    return setting_key(config, ("suite_version",))


def keyed(study: Study) -> pd.DataFrame:
    """Return a study's trials with the keys of their settings."""
    return study.trials.assign(setting_key=study.trials["config"].map(same_setting))


@dataclass(frozen=True)
class Subject:
    """A setting in both folders.

    Attributes:
        study: Title of its study.
        setting: Its label in the older folder.
        protocol: How it was scored.
    """

    study: str
    setting: str
    protocol: str


@dataclass(frozen=True, eq=False)
class Gone:
    """Primary scores that the newer folder lacks although their trials are done.

    Attributes:
        subject: Of what.
        seeds: How many.
        always: The same as a reason to call it worse.
    """

    subject: Subject
    seeds: int
    always: str
    pair = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """The scores of a setting in both folders.

    Attributes:
        subject: Of what.
        pair: Both sides over the seeds that count.
        design: Which seeds both folders declare.
        look: Where the setting stands in it.
        noise: Standard deviation of scoring the same generator again, on the test's scale.
        error: Standard error of a difference of logarithms of primary scores, from their spread in the older folder.
        degrees: Its degrees of freedom, 0 where no setting there has two seeds.
        apart: Why the two sides cannot be compared at all, or nothing.
        always: Why the primary score is worse without any test, or empty.
        is_identical: Whether every seed has the same score in both.
        left_out: Seeds that collapsed in one of the folders or both: their runs are counted, and their scores are not.
        is_all_left_out: Whether these are all seeds; the pair is then over them.
    """

    subject: Subject
    pair: Paired
    design: Design
    look: Look
    noise: float
    error: float
    degrees: int
    apart: str
    always: str
    is_identical: bool
    left_out: int = 0
    is_all_left_out: bool = False

    @property
    def seeds(self) -> int:
        """The number of common seeds that count."""
        return len(self.pair.values)

    @property
    def differs(self) -> bool:
        """Whether any seed that counts has another score."""
        return bool(self.pair.values.any())

    @property
    def direction(self) -> str:
        """The direction of the newer folder's difference."""
        return "better" if self.pair.second_is_better else "worse"

    @property
    def is_tested(self) -> bool:
        """True if a test may decide."""
        is_fair = self.differs and not self.apart and not self.is_all_left_out
        return is_fair and can_decide(self.design, self.look, self.seeds, 1)

    @property
    def untested(self) -> str:
        """The reason why no test decides."""
        if self.design.extended:
            return "no test, as not all seeds are known to have been declared"
        return (
            "too few seeds for a test" if self.look.number else "no test before all seeds of the next look have ended"
        )

    def is_decided(self, p: float) -> bool:
        """True if a p value decides, and the difference exceeds the noise of scoring."""
        return verdict_of(self.pair.interval, self.noise, p, may_decide=True) == "decided"


def measured(before: Studies, after: Studies) -> Iterator[Measured | Gone]:
    """Yield the measurements of every setting with primary scores in both folders."""
    primary = primary_measure()
    for old, new, both in matched(before, after):
        events = both.assign(**_events(old, new, both))
        for earlier in old.scored:
            later, spreads = ScoredStudy(new, earlier.protocol), _spreads(earlier)
            a, b = both["trial_old"].map(earlier.final()[primary]), both["trial_new"].map(later.final()[primary])
            for _, trials in events.assign(old=a, new=b).groupby("setting_key", sort=False):
                subject = Subject(old.title, trials["label_old"].iloc[0], earlier.protocol)
                yield from _gone(subject, earlier, trials)
                yield from _measured(subject, earlier, later, trials, spreads)


def collapses(before: Studies, after: Studies) -> Iterator[Collapses]:
    """Yield the collapsed and diverged runs of every setting with ended runs in both folders.

    A setting that was trained on other images has none.
    """
    for old, new, both in matched(before, after):
        for _, every in both.assign(**_events(old, new, both)).groupby("setting_key", sort=False):
            trials = every.dropna(subset=["event_old", "event_new"])
            if trials.empty or images_changed(trials["made_of_old"], trials["made_of_new"]):
                continue  # different images cannot be compared
            seen, unseen = trials[trials["is_seen"]], _counts(trials[~trials["is_seen"]])
            if len(seen) and not any(unseen[:2]):  # unseen runs without events add nothing
                trials, unseen = seen, (0, 0, 0)
            done = {side: every[f"status_{side}"] == "done" for side in ("old", "new")}
            is_unpaired = bool(done["old"].any()) and not (done["old"] & done["new"]).any()
            yield Collapses(old.title, trials["label_old"].iloc[0], *_counts(trials), is_unpaired, unseen)


def _counts(trials: pd.DataFrame) -> Counts:
    return int(trials["event_old"].sum()), int(trials["event_new"].sum()), len(trials)


def _events(old: Study, new: Study, both: pd.DataFrame) -> dict[str, pd.Series]:
    """Return for both sides of trials whether they collapsed, by any score, or diverged: 1 or 0.

    It is NaN of trials that did not end so or well. Where one of the sides was not looked at, divergence alone is
    counted of both. A diverged run has no collapse count: it counts as examined if half of the finished runs were
    that its folder has of the setting, or where none is finished. Of equal code half of whose runs collapse or diverge
    at most 5 % of simulated comparisons are worse then, and up to 13 % if one such run were enough.
    """
    studies, key = {"old": old, "new": new}, both["setting_key"]
    done = {side: both[f"status_{side}"] == "done" for side in studies}
    diverged = {side: both[f"status_{side}"] == DIVERGED for side in studies}
    flags = {side: studies[side].collapsed(both[f"trial_{side}"]).where(done[side]) for side in studies}

    def is_seen(side: str) -> pd.Series[bool]:
        seen = flags[side].notna()
        share = seen.astype(float).where(done[side]).groupby(key).transform("mean")
        return seen | (diverged[side] & ~(share < 0.5))

    seen = is_seen("old") & is_seen("new")
    return {"is_seen": seen} | {
        f"event_{side}": flag.where(seen, done[side].map({True: 0.0})).mask(diverged[side], 1.0)
        for side, flag in flags.items()
    }


def _gone(subject: Subject, earlier: ScoredStudy, trials: pd.DataFrame) -> Iterator[Gone]:
    """Yield how many scores of done trials are missing; a new run lacks scores that were added later."""
    gone = int((trials["old"].notna() & trials["new"].isna() & (trials["status_new"] == "done")).sum())
    if gone and not earlier.added:
        yield Gone(subject, gone, f"{plural(gone, 'score')} of {len(trials)} gone, though the trials are done")


def _measured(
    subject: Subject, earlier: ScoredStudy, later: ScoredStudy, trials: pd.DataFrame, spreads: Spreads
) -> Iterator[Measured]:
    """Yield the measurements over the seeds of the last complete look, or all seeds before the first."""
    known, (design, look) = trials.dropna(subset=["old", "new"]), _look(earlier.study, later.study, trials)
    counted = known[known["seed"].isin(look.seeds)]
    if counted.empty:  # if a look lost all seeds, the others do not form one
        counted, look = known, design.at(())
    if counted.empty:
        return
    kept = _uncollapsed(counted)
    every, counted = counted, counted if kept.empty else kept
    primary = primary_measure()
    pair = paired(primary, counted["old"], counted["new"], level=level_at(design, look))
    seeds = look.seeds if look.number else None
    noise = {relative: max(each.measurement_sd(primary, relative=relative, seeds=seeds) for each in (earlier, later))
             for relative in (pair.ratio, True)}  # fmt: skip
    yield Measured(
        subject=subject,
        pair=pair,
        design=design,
        look=look,
        noise=noise[pair.ratio],
        error=math.hypot(spreads[0][subject.setting], noise[True]) * math.sqrt(2 / len(counted)),
        degrees=spreads[1],
        apart=images_changed(every["made_of_old"], every["made_of_new"]),
        always=_untrained(earlier, later, kept),
        is_identical=bool((every["old"] == every["new"]).all()),
        left_out=len(every) - len(kept),
        is_all_left_out=kept.empty,
    )


def _uncollapsed(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials without those that collapsed in either folder, which are counted apart.

    The score of a collapse says little but that it is one, and is no second evidence that it was no chance. Where a
    folder was not looked at, nothing is counted and the score is all that says that it got worse.
    """
    events = trials[["event_old", "event_new"]]
    return trials[events.isna().any(axis=1) | (events == 0).all(axis=1)]


def _look(old: Study, new: Study, trials: pd.DataFrame) -> tuple[Design, Look]:
    """Return the common design of both studies, and the look that a setting has reached."""
    ended = trials["status_old"].isin(ENDED) & trials["status_new"].isin(ENDED)  # includes lost ones
    seeds, there = set(trials["seed"][ended]), set(trials["seed"][trials["status_new"].notna()])
    first, second = old.design.of(set(trials["seed"])), new.design.of(there)
    if first.extended or second.extended:
        return UNKNOWN, UNKNOWN.at(seeds)
    both = [seed for seed in first.seeds if seed in second.seeds]
    design = Design.fixed(both) if both and first.is_fixed else first
    return design, design.at(seeds if both else ())


Spreads = tuple[Mapping[str, float], int]
"""Standard deviations of a log primary score over seeds, by label, and their degrees of freedom, 0 without any."""


def _spreads(scored: ScoredStudy) -> Spreads:
    """Return a study's spreads: each setting's own, and at least the median of all.

    Collapsed seeds are not among them, and one with a wild seed must not make others tolerate what is no chance.
    Variances over few seeds have a median below the true one, which is corrected as for normal values.
    """
    final, settings = scored.final(), scored.study.settings
    learnt = {each.label: each.done[~(scored.study.collapsed(each.done["trial"]) > 0)] for each in settings}
    scores = {label: values_of(done, final, primary_measure()).dropna() for label, done in learnt.items()}
    logs = {label: each.map(math.log) for label, each in scores.items() if len(each) > 1 and (each > 0).all()}
    own = {label: (float(each.var()), len(each) - 1) for label, each in logs.items()}
    usual = median([variance * n / float(special.chdtri(n, 0.5)) for variance, n in own.values()] or [0.0])
    variances = {label: max(own[label][0] if label in own else 0.0, usual) for label in scores}
    return {label: math.sqrt(each) for label, each in variances.items()}, sum(n for _, n in own.values())


def _untrained(earlier: ScoredStudy, later: ScoredStudy, trials: pd.DataFrame) -> str:
    """Return that a setting's median no longer beats untrained generators, or an empty text.

    Findings ask it of the median over all seeds of a setting, here those are left that collapsed in neither folder.
    """
    if trials.empty:
        return ""
    primary, network = primary_measure(), network_of(trials, "_old")
    untrained = later.untrained(primary, network) or earlier.untrained(primary, network)
    if untrained is not None and float(trials["old"].median()) < untrained <= float(trials["new"].median()):
        return f"no better than untrained generators ({number(untrained)})"
    return ""
