"""Standings: the rank and verdict of every setting of a study under one protocol, for all renderers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.report.findings.sides import CHANGED, LevelPair, scored_so, side_by_side, sides_of, to_come
from gan_bench.report.findings.verdicts import Judged, judge_rivals
from gan_bench.report.study.frame import WITHDRAWN
from gan_bench.report.study.stats import Interval, median_interval
from gan_bench.report.study.study import ScoredStudy, Setting, cached_on_study, values_of
from gan_bench.report.study.table import interval_of

RankStatus = Literal["best", "behind", "tied", "ahead", "unequal", "unknown", "waiting", "withdrawn", "unranked"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Standing:
    """A setting under one protocol of its study.

    Attributes:
        setting: The setting.
        scored: The study under the protocol.
        finals: The final primary scores of its finished trials, by trial; those that cannot be scored are left out.
        median: Their median over all seeds, lost ones as worst, with its interval; of no seed where no trial has ended.
            Infinity says that half of the seeds or more were lost.
        lost: How many seeds failed, diverged or could not be scored.
        collapsed: Its finished trials whose generators collapsed, as far as that was counted.
        untrained: The mean score of its network's generators before training, or None.
        rank: Its place by the median, from 1; None where no finished trial has a score.
        is_open: Whether trials of it that are to have such scores are still to be trained.
        against: The comparison of the best setting, A, with it, B, paired over the seeds of the last complete look and
            corrected over all settings and for the choice of the best from the same data; None for the best itself,
            and where they share no seed.
    """

    setting: Setting
    scored: ScoredStudy
    finals: pd.Series[float]
    median: Interval
    lost: int
    collapsed: pd.DataFrame
    untrained: float | None
    rank: int | None = None
    is_open: bool = False
    against: Judged | None = None

    @property
    def label(self) -> str:
        """The setting's name in tables."""
        return self.setting.label

    @property
    def rank_status(self) -> RankStatus:
        """``best``, or its relation to the best.

        ``behind``, decidedly worse; ``ahead``, decidedly better over equal seeds, where ratios of means are compared,
        with a worse median; ``tied``, compared and neither; ``unequal``, where no test judges it, as it collapsed or
        failed at a different rate, or was trained on other images or code; ``unknown``, where nothing is known yet;
        ``withdrawn``, cut short, so that nothing is compared with it; ``waiting``, planned and without a score yet;
        ``unranked``, without one for good.
        """
        if self.rank is None:
            return "waiting" if self.is_open else "unranked"
        if self.rank == 1:
            return "best"
        if self.label in self.setting.study.withdrawn_before_first_look:
            return "withdrawn"
        return _rank_status_of(self.against)

    @property
    def why(self) -> str:
        """Why no test judges it against the best; empty if one does."""
        return self.against.why if self.against else ""

    @property
    def next(self) -> int | None:
        """The look that may separate it from the best, or None if none is likely to."""
        return self.against.following if self.against else None

    @property
    def unjudged(self) -> str:
        """Its status in a few words while nothing is known."""
        return not_judged(self.next, "seeds are too few" if self.against else "no seed has a score of both")

    @property
    def is_untrained(self) -> bool:
        """True if its median does not beat its untrained generators; never if the median is a lost seed."""
        return self.untrained is not None and self.untrained <= self.median.estimate < math.inf

    @property
    def counted(self) -> int:
        """Its finished trials that were checked for collapse, by an extractor that knows classes."""
        return int(self.setting.study.collapsed(self.setting.done["trial"]).count())

    @property
    def is_collapsed(self) -> bool:
        """True if all of its generators collapsed."""
        return 0 < len(self.collapsed) == len(self.setting.done)

    @property
    def is_useless(self) -> bool:
        """Whether its generators are of no use at any score: all collapsed, or none learnt."""
        return self.is_collapsed or (self.untrained is not None and self.untrained <= self.median.estimate)

    @property
    def place(self) -> tuple[float, float]:
        """Its rank key: the median, then the mean of its final scores."""
        return self.median.estimate, float(self.finals.mean())

    @property
    def median_trial(self) -> str:
        """The trial with the median score, the better of two, of a ranked setting."""
        return str(self.finals.sort_values(kind="stable").index[(len(self.finals) - 1) // 2])

    @property
    def nearest_trials(self) -> list[str]:
        """The trials with a score, by the distance from the median one."""
        median = self.median_trial
        distances = (self.finals - self.finals[median]).abs()
        return sorted(map(str, self.finals.index), key=lambda trial: (distances[trial], trial != median))

    def mean(self, metric: str) -> Interval | None:
        """Return the mean of a measure over the finished seeds with its interval; None without a score."""
        return interval_of(values_of(self.setting.done, self.scored.final(), metric), MEASURES[metric].bounds)

    def in_words(self, best: str) -> str:
        """Return how a ranked setting compares with the best one, whose name is given."""
        return {
            "behind": f"decidedly worse than {best}",
            "tied": f"undecided against {best}",
            "ahead": f"decidedly better in the mean over equal seeds than {best}, whose median is the best",
            "unequal": f"no test judges it against {best}: {self.why}",
            "unknown": f"against {best} {self.unjudged}",
            "withdrawn": "compared with none, as it is no longer planned",
        }.get(self.rank_status, self.rank_status)

    def remarks(self) -> Iterator[str]:
        """Yield remarks that its scores alone do not show: a collapsed generator can have the highest precision."""
        if self.label in self.setting.study.withdrawn_before_first_look:
            yield WITHDRAWN
        if len(self.collapsed):
            unseen = len(self.setting.done) - self.counted
            yield f"{len(self.collapsed)} of {self.counted} collapsed{f', {unseen} not looked at' * bool(unseen)}"
        if self.is_untrained:
            yield "no better than untrained"
        if self.lost:
            yield f"{self.lost} failed"
        if self.setting.faulty:
            yield f"{self.setting.faulty} damaged, altered or unreadable"


def _rank_status_of(against: Judged | None) -> RankStatus:
    if against is None or against.found == "not judged":
        return "unknown"
    if against.why:
        return "unequal"
    if against.found != "decided":
        return "tied"
    return "ahead" if against.winner == against.second_level else "behind"


@dataclass(frozen=True, eq=False)
class Standings:
    """All settings of a study under one protocol.

    Attributes:
        rows: The settings, in the study's order.
        ranked: Those of them that have a score, the best median over all their seeds first.
    """

    rows: tuple[Standing, ...]
    ranked: tuple[Standing, ...]

    @property
    def best(self) -> Standing | None:
        """The best one, or None where no setting has a score."""
        return next(iter(self.ranked), None)

    @property
    def useful(self) -> Standing | None:
        """The best one that is of use, whose score need not be the best; None where none is."""
        return next((each for each in self.ranked if not each.is_useless and each.rank_status != "withdrawn"), None)

    @property
    def is_decided(self) -> bool:
        """True if the best is decidedly better than all others, there are others, and none is unfinished."""
        return 0 < len(self.of("behind")) == len(self.rivals) and not self.of("waiting")

    @property
    def rivals(self) -> list[Standing]:
        """Settings with a score that are compared with the best."""
        return [each for each in self.ranked if each.rank_status not in ("best", "withdrawn")]

    def of(self, *statuses: RankStatus) -> list[Standing]:
        """Return settings with one of these rank statuses, in the order of ranks, then of the study."""
        unranked = (each for each in self.rows if each.rank is None)
        return [each for each in (*self.ranked, *unranked) if each.rank_status in statuses]

    def row(self, label: str) -> Standing:
        """Return a setting by its name in tables."""
        return next(each for each in self.rows if each.label == label)

    @property
    def unjudged(self) -> str:
        """The status of settings of which nothing is known yet, in a few words."""
        unknown = self.of("unknown")
        return min(unknown, key=lambda each: each.next or math.inf).unjudged if unknown else ""

    @property
    def in_words(self) -> str:
        """How the others compare with the best, in a few words; empty if there are none."""
        said: list[tuple[RankStatus, str]] = [
            ("behind", "decidedly worse"),
            ("tied", "may be as good"),
            ("unknown", self.unjudged),
            ("ahead", "decidedly better in the mean over equal seeds"),
            ("unequal", f"{self.unlike}, which no test judges"),
            ("waiting", "planned and without a score yet"),
        ]
        return "; ".join(f"{count} {words}" for status, words in said if (count := len(self.of(status))))

    @property
    def unlike(self) -> str:
        """The common reason of settings that no test judges, in a few words."""
        unequal = self.of("unequal")
        changed = sum(each.why.endswith(CHANGED) for each in unequal)
        words = [
            ("collapsed or failed at a different rate", len(unequal) - changed),
            ("ran on other images or code", changed),
        ]
        return " or ".join(text for text, count in words if count)


def not_judged(look: int | None, why: str = "seeds are too few") -> str:
    """Return that a setting was not tested: "may be as good as the best" would already be a finding."""
    return f"not judged before the look at {look} seeds" if look else f"not judged, as {why}"


@cached_on_study
def standings(scored: ScoredStudy) -> Standings:
    """Rank the settings of a study by their medians, and judge each against the best."""
    facts = {setting.label: _facts(scored, setting) for setting in scored.study.settings}
    withdrawn_before_first_look = scored.study.withdrawn_before_first_look
    ranking = [label for label, each in facts.items() if len(each.finals)]
    ranking.sort(key=lambda label: (label in withdrawn_before_first_look, facts[label].place))
    others = [label for label in dict.fromkeys(scored_so(scored)["label"]) if label not in ranking]
    beside = scored.study.counted["label"].nunique() - scored.study.compared["label"].nunique()
    judged = judge_rivals(scored, _with_the_best(scored, [*ranking, *others]), beside)
    against = {each.second_level: each for each in judged}
    ranked = {
        label: replace(facts[label], rank=rank, against=against.get(label)) for rank, label in enumerate(ranking, 1)
    }
    return Standings(rows=tuple((facts | ranked).values()), ranked=tuple(ranked.values()))


def _facts(scored: ScoredStudy, setting: Setting) -> Standing:
    """Return the facts about a setting alone."""
    final, done = scored.final(), setting.done
    finals = final[primary_measure()].reindex(done["trial"]).dropna().astype(float)
    lost = setting.bad + int(done["trial"].isin(scored.unscored()).sum())
    values = [*finals, *[math.inf] * lost]
    return Standing(
        setting=setting,
        scored=scored,
        finals=finals,
        median=median_interval(values) if values else Interval(math.nan, None, None, 0),
        lost=lost,
        collapsed=done[scored.study.collapsed(done["trial"]) > 0],
        untrained=scored.untrained(primary_measure(), setting.network),
        is_open=setting.label in set(to_come(scored)["label"]),
    )


def _with_the_best(scored: ScoredStudy, ranking: list[str]) -> Iterator[LevelPair]:
    """Yield the comparisons of the best setting with every other one that has, or should have, a score."""
    sides = sides_of(scored, scored.study.compared, [primary_measure()])
    frames = {str(label): frame for label, frame in sides.groupby("label")}
    if not ranking or ranking[0] not in frames:
        return
    for label in (each for each in ranking[1:] if each in frames):
        yield LevelPair("", ranking[0], label, side_by_side(frames[ranking[0]], frames[label], ["seed"]))
