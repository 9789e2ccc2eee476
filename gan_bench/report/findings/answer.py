"""What a study says in a few sentences: the same on the terminal, on the page, and in ``report/answer.md``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gan_bench.config.measures import COLLAPSED, MEASURES, primary_measure
from gan_bench.core.text import plain_markdown, plural
from gan_bench.report.findings.factors import AVERAGE_FACTOR, EPOCHS, Factor, factors_of
from gan_bench.report.findings.leaders import Leaders, leaders
from gan_bench.report.findings.questions import proposal
from gan_bench.report.findings.tuning import tuning_sentences
from gan_bench.report.findings.verdicts import Judged
from gan_bench.report.study.frame import BAD, FAULTY
from gan_bench.report.study.stats import ALPHA, Interval
from gan_bench.report.study.study import Scored, Study, values_of
from gan_bench.report.study.table import Column, cell, number

MANY_SEEDS = 30
"""More seeds than these are not named: a difference so small beside its spread is as good as none."""
_EXTENDED = "Not all of these seeds are known to have been declared before the first"
SMALL = 0.095
"""Ratios below are written with one digit that is not zero, others with two decimals."""
NAMED = 3
"""Settings that a sentence names; the ranking has them all."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a study says under one protocol.

    Attributes:
        title: The study.
        protocol: Extractor, reference split and generated images.
        best: Label of the best setting, or None where nothing has a score.
        score: Its primary score with its interval, as text.
        headline: The setting with the best score, called the best setting where that is decided; and how certain it is.
        cautions: What its rank alone would hide.
        factors: One sentence for every factor.
        proposal: What to run next, and how long that takes, or None.
    """

    title: str
    protocol: str
    best: str | None
    score: str
    headline: str
    cautions: tuple[str, ...]
    factors: tuple[str, ...]
    proposal: str | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it, in order."""
        return (self.headline, *self.cautions, *self.factors, *([self.proposal] if self.proposal else []))


def answers(study: Study) -> Iterator[Answer]:
    """Answer the question of a study under each of its protocols."""
    for scored in study.scored:
        found = leaders(scored)
        factors = [each for each in factors_of(scored) if each.primary]
        averaged = [judged for each in factors if not each.held for judged in each.primary]
        best, score = (found.best, score_text(found.score)) if found else (None, "")
        yield Answer(
            title=study.title,
            protocol=scored.protocol,
            best=best,
            score=score,
            headline=_headline(scored, found),
            cautions=tuple(_cautions(scored, found)),
            factors=(
                *(sentence for each in factors for sentence in _factor_sentences(each)),
                *tuning_sentences(scored),
            ),
            proposal=proposal(study, averaged, _rivals(found), scored=found is not None, learned=_has_learned(scored)),
        )


def _rivals(found: Leaders | None) -> dict[str, int]:
    """Return the best setting and those that another look may tell apart from it, each with that look."""
    return {found.best: found.next or 0, **found.open} if found and found.open else {}


def answers_markdown(found: list[Answer]) -> str:
    """Write answers as Markdown."""
    parts = ["# Answer\n"]
    for answer in found:
        lines = "\n".join(f"- {plain_markdown(sentence)}" for sentence in answer.sentences)
        parts.append(f"## {plain_markdown(answer.title)}\n\nScores: {plain_markdown(answer.protocol)}.\n\n{lines}\n")
    return "\n".join(parts)


def score_text(score: Interval, metric: str | None = None) -> str:
    """Write a median score with its interval: ``FID 91.5 (80.8 to 102)``."""
    title = MEASURES[metric or primary_measure()].title
    if score.low is None or score.high is None:
        return f"{title} {number(score.estimate)}"
    row = {"score": score.estimate, "score_low": score.low, "score_high": score.high, "score_n": score.n}
    return f"{title} {cell(row, Column('score', title, 'range'))}"


# ---------------------------------------------------------------------------------------------- the best


def _headline(scored: Scored, found: Leaders | None) -> str:
    if found is None:
        return _without_a_score(scored.study)
    row = next(row for row, _ in scored.study.settings() if row["setting"] == found.best)
    seeds = f"{row['done']} of {row['planned']} planned seeds" if row["done"] < row["planned"] else ""
    seeds = seeds or plural(found.score.n, "seed")
    lost = f", {row['bad']} failed or diverged" if row["bad"] else ""
    waiting = sum(1 for each, done in scored.study.settings() if not len(done) and not each["bad"])
    decided = found.behind and not (found.tied or found.unequal or found.unknown or scored.study.design.extended)
    what = ("Best setting" if decided else "Best score") + (" so far" if waiting else "")
    have = "has" if waiting == 1 else "have"
    start = f"{what}: {found.best}, {score_text(found.score)} ({seeds}{lost}; {scored})"
    start += f"; {plural(waiting, 'other setting')} {have} no finished trial yet" if waiting else ""
    if not found.behind and not found.tied and not found.unequal:
        return f"{start}.{_alone(found, waiting)}"
    return f"{start}. {_compared_with_others(scored, found, waiting)}"


def _without_a_score(study: Study) -> str:
    """Say that nothing can be ranked, and why where trials failed."""
    bad = study.trials[study.trials["status"].isin(BAD)]
    if bad.empty:
        return "No finished trial has a score."
    reasons = bad["reason"].dropna()
    why = f": {reasons.mode().iloc[0]}" if reasons.size else ""
    most = ", most often" if reasons.nunique() > 1 else ""
    return f"No trial has a score; {len(bad)} of {plural(len(study.trials), 'trial')} failed or diverged{most}{why}."


def _compared_with_others(scored: Scored, found: Leaders, waiting: int) -> str:
    """Return how the best setting stands against those that it was compared with."""
    if scored.study.design.extended:
        return f"{_EXTENDED}: nothing is decided."
    compared = len(found.behind) + len(found.tied) + len(found.unequal)
    useless = no_better_than_untrained(scored)
    useless = [] if found.best in useless else useless
    tied = tuple(label for label in found.tied if label not in useless and label not in found.ahead)
    idle = [label for label in found.tied if label in useless]
    rest = _ahead(found) + _unequal(found) + _failed(found)
    rest += f"; nothing can be said yet of {len(found.unknown)}" if found.unknown else ""
    rest += _next_look(found)
    unlearned = _unlearned(len(idle), others=bool(tied or found.unequal or found.unknown))
    if not found.behind:
        if tied:
            as_good = f"No setting is decidedly worse: {_named(tied)} may be as good"
            return f"{'; '.join(filter(None, [as_good, unlearned]))}{rest}."
        if idle:
            return f"No test decides it, but {unlearned}{rest}."
        return f"{rest[2:3].upper() if not rest[2:].startswith(tuple(found.ahead)) else rest[2:3]}{rest[3:]}."
    if not found.tied and not found.unequal:
        return f"It is decidedly better than {_others(compared, 'finished ' if waiting else '')}{rest}."
    ahead = f"It is decidedly better than {len(found.behind)} of {compared} others"
    parts = [ahead, f"{_named(tied)} may be as good" if tied else "", unlearned]
    return f"{'; '.join(filter(None, parts))}{rest}."


def _unlearned(count: int, *, others: bool) -> str:
    """Say of undecided settings that they did not learn; ``others``: whether more settings are undecided."""
    if not count:
        return ""
    if not others:
        return f"{'the other is' if count == 1 else 'the others are'} no better than untrained generators"
    are = "1 other is" if count == 1 else f"{count} others are"
    return f"{are} undecided, and no better than untrained generators"


def _ahead(found: Leaders) -> str:
    """Name settings that the test calls better than the one with the best median."""
    if not found.ahead:
        return ""
    are = "is" if len(found.ahead) == 1 else "are"
    return f"; {_named(found.ahead)} {are} decidedly better in the mean over equal seeds, with a worse median"


def _failed(found: Leaders) -> str:
    """Name settings of which no trial came to its end."""
    return f"; {_named(found.failed)} failed or diverged in every seed" if found.failed else ""


def _unequal(found: Leaders) -> str:
    """Name settings that no test judges, as they collapsed or failed more or less often than the best."""
    if len(found.unequal) == 1:
        ((label, why),) = found.unequal.items()
        return f"; no test judges {label}: {why}"
    count = len(found.unequal)
    return f"; {count} others collapsed or failed more or less often, which no test judges" if count else ""


def _next_look(found: Leaders) -> str:
    """Return when the comparison goes on, and with which settings where that is not one look for all of them."""
    looks = sorted(set(found.open.values()))
    if not looks:
        return ""
    left = [label for label in (*found.tied, *found.unequal, *found.unknown) if label not in found.open]
    if len(looks) == 1 and not left:
        return f"; the next look is at {looks[0]} seeds"
    by_look = {look: [label for label, each in found.open.items() if each == look] for look in looks}
    return "; the next look is " + ", ".join(
        f"at {look} seeds for {_listed(labels)}" for look, labels in by_look.items()
    )


def _listed(labels: list[str]) -> str:
    named = [*labels[:NAMED], *([f"{len(labels) - NAMED} more"] if len(labels) > NAMED else [])]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _alone(found: Leaders, waiting: int) -> str:
    """Return why nothing is compared, or nothing where unfinished settings explain it."""
    if not found.unknown:
        alone = f" {_named(found.failed)} failed or diverged in every seed." if found.failed else ""
        return alone or ("" if waiting else " There is no other setting to compare it with.")
    if found.next:
        return f" Which setting is best is not judged before the look at {found.next} seeds."
    if found.given_up:
        return " Which setting is best is not judged: seeds are too few, and more are unlikely to decide it; given up."
    why = "with one seed" if found.score.n == 1 else "as no other shares two seeds with it"
    return f" Which setting is best cannot be said {why}."


def _others(count: int, which: str) -> str:
    if count == 1:
        return f"the other {which}one" if which else "the other"
    number = "both" if count == 2 else f"all {count}"
    return f"{number} other {which}ones" if which else f"{number} others"


def _named(labels: tuple[str, ...]) -> str:
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return "; ".join(labels[:NAMED]) + more


def _cautions(scored: Scored, found: Leaders | None) -> Iterator[str]:
    """Yield what a good rank alone would hide."""
    if faulty := int(scored.study.trials["status"].isin(FAULTY).sum()):
        yield (
            f"{plural(faulty, 'trial')} left out: damaged, unreadable or not what was saved (`gan-bench verify` names "
            "the files)."
        )
    if found is None:
        return
    final, primary = scored.final(), primary_measure()
    title = MEASURES[primary].title
    by_label = {row["setting"]: (row, done) for row, done in scored.study.settings()}
    row, done = by_label[found.best]
    untrained = scored.untrained(primary, row["recipe"])
    if untrained is not None and found.score.estimate >= untrained:
        yield f"It is no better than untrained generators ({title} {number(untrained)})."
    if COLLAPSED in scored.study.metrics and (collapsed := int((values_of(done, final, COLLAPSED) > 0).sum())):
        yield f"{collapsed} of {len(done)} of its generators collapsed: few classes, or one over and over."
    useless = no_better_than_untrained(scored)
    if (useless and found.best not in useless) or len(useless) > 1:
        are = "is" if len(useless) == 1 else "are"
        what = f"{len(useless)} of {len(by_label)} settings {are} no better than untrained generators"
        is_all = len(useless) == len(by_label)
        yield f"{what}: comparisons of them say nothing about trained ones." if is_all else f"{what}."
    bad = sum(row["bad"] for row, _ in by_label.values())
    if bad:
        counts = "counts" if bad == 1 else "count"
        yield f"{plural(bad, 'trial')} failed or diverged and {counts} as worst in the ranking."


def _has_learned(scored: Scored) -> bool:
    """True if some setting is better than its untrained generators, or nobody knows."""
    return len(no_better_than_untrained(scored)) < scored.study.trials["group"].nunique()


def no_better_than_untrained(scored: Scored) -> list[str]:
    """Return the labels of settings whose median primary score does not beat their untrained generators'."""
    found = []
    medians = scored.medians()
    for row, _ in scored.study.settings():
        untrained = scored.untrained(primary_measure(), row["recipe"])
        if untrained is not None and untrained <= medians.get(row["setting"], 0) < math.inf:  # not of lost seeds
            found.append(row["setting"])
    return found


# ----------------------------------------------------------------------------------------------- factors


def _factor_sentences(factor: Factor) -> Iterator[str]:
    """Summarise the comparisons of every two levels over the recipes."""
    if factor.name == EPOCHS:
        yield _epochs_sentence(list({each.recipe: each for each in factor.primary}.values()))  # the last of each
        return
    if factor.held and not any(each.is_sure for each in factor.primary):
        return  # the average said as much
    judged = sorted(factor.primary, key=_levels)
    pairs = [list(group) for _, group in groupby(judged, key=_levels)]
    sure = [pair for pair in pairs if any(each.is_sure for each in pair)]
    for pair in pairs if len(pairs) == 1 else sure[:NAMED]:
        yield _pair_sentence(factor, pair)
    if len(pairs) > 1 and (rest := _rest_of_pairs(pairs, sure)):
        yield f"{factor.title}: {rest}."


def _rest_of_pairs(pairs: list[list[Judged]], sure: list[list[Judged]]) -> str:
    """Say what became of the pairs of levels that have no sentence of their own."""
    levels = {level for pair in pairs for each in pair for level in _levels(each)}
    left = [pair for pair in pairs if pair not in sure]
    counts = Counter[str](pair[0].found if len({each.found for each in pair}) == 1 else "undecided" for pair in left)
    words = {"equivalent": ("equivalent", "equivalent"), "tie": ("a tie", "ties"), "undecided": ("undecided",) * 2}
    said = [
        f"1 is {one}" if n == 1 else f"{n} are {many}" for kind, (one, many) in words.items() if (n := counts[kind])
    ]
    if waiting := [each for pair in left for each in pair if each.found == "not judged"]:
        said.append(f"{_not_judged(waiting)} for {counts['not judged'] or 'a part'}")
    if len(sure) > NAMED:
        said.append(f"{len(sure) - NAMED} more {'is' if len(sure) == NAMED + 1 else 'are'} decided or probable")
    undecided = [each for pair in left for each in pair if each.found == "undecided"]
    return f"of {len(pairs)} pairs of {len(levels)} levels, {', '.join(said)}{_needs(undecided)}" if said else ""


def _levels(judged: Judged) -> tuple[str, str]:
    return judged.first_level, judged.second_level


def _pair_sentence(factor: Factor, rows: list[Judged]) -> str:
    name, (first, second), count = factor.title, _levels(rows[0]), len(rows)
    kinds = ("decided", "probable", "tie", "equivalent", "not judged")
    by = {kind: [row for row in rows if row.found == kind] for kind in kinds}
    sure = [*by["decided"], *by["probable"]]
    lost = sum(row.lost for row in rows)
    tail = f"; {plural(lost, 'pair')} lost" if lost else ""
    tail += "".join(f"; {row.recipe}: {row.why}" for row in rows if row.why)
    if any(row.next for row in by["decided"]):
        tail += "; decided early, so the ratio is probably overstated"
    unit = "setting" if factor.name == AVERAGE_FACTOR else "comparison" if factor.held else "recipe"
    where = plural(count, unit)
    if len(by["not judged"]) == count:
        ahead = sum(row.winner == second for row in rows)
        leader, ahead = (second, ahead) if 2 * ahead > count else (first, count - ahead)
        return f"{name}: {_not_judged(rows)}; {leader} is ahead in {ahead} of {where}{tail}."
    winners = {row.winner for row in sure}
    if len(winners) == 1:
        (winner,) = winners
        degree = ", ".join(f"{len(by[k])} {k}" for k in ("decided", "probable") if by[k])
        same = len(by["equivalent"])
        others = {"tied": by["tie"], "not judged": by["not judged"]}
        open_ = " or ".join(["undecided", *(word for word, some in others.items() if some)])
        rest = f", {open_} in {count - len(sure) - same}" if count > len(sure) + same else ""
        rest += f", equivalent in {same}" if same else ""
        degree += _gain(sure)
        return f"{name}: {winner} is better than {sure[0].loser} in {len(sure)} of {where} ({degree}{rest}{tail})."
    if winners:
        each = "; ".join(f"{row.recipe}: {row.winner} ({row.found})" for row in sure)
        return f"{name}: it depends on the {unit} ({each}{tail})."
    if len(by["tie"]) == count:
        return (
            f"{name}: {first} and {second} are a tie in {where}: any difference is within the noise of scoring{tail}."
        )
    ties = f"; a tie in {len(by['tie'])}" if by["tie"] else ""
    left = count - len(by["equivalent"]) - len(by["tie"])
    if by["equivalent"]:
        rest = ties + (f"; {left} undecided" if left else "")
        collapses = sum(int(row.collapses) for row in by["equivalent"])
        share = f"{1 - ALPHA ** (1 / min(row.seeds for row in by['equivalent'])):.0%}"
        seen = f"; collapses in up to {share} of runs are possible though none was seen"
        seen = f"; {collapses} runs collapsed, as many on either side" if collapses else seen
        return (
            f"{name}: {first} and {second} are equivalent in {len(by['equivalent'])} of {where}: no difference above "
            f"the margin{rest}{seen}{tail}."
        )
    where = f"{left} of {where}" if ties else where
    return f"{name}: undecided between {first} and {second} in {where}{ties}{_needs(rows)}{tail}."


def _not_judged(rows: Sequence[Judged]) -> str:
    following = [each.next for each in rows if each.open and each.next]
    if following:
        return f"not judged before the look at {min(following)} seeds"
    if any(each.pairs > 1 for each in rows):
        return "not judged, as these seeds are too few, and given up, as more are unlikely to decide it"
    return "one seed: not judged"


def _needs(rows: Sequence[Judged]) -> str:
    """Return when undecided comparisons are judged again, or how many seeds a study needs that finds out."""
    following = [each.next for each in rows if each.open and each.next]
    needed = [each.needed for each in rows if each.needed is not None]
    if following:
        likely = f", likely decided at {min(needed)}" if needed else ""
        return f"; next look at {min(following)} seeds{likely}"
    tested = [row for row in rows if not row.why]
    noisy = "; the spread is too large to show equivalence" if any(row.too_noisy for row in tested) else ""
    if any(row.next for row in tested):
        return f"; given up, as more seeds are unlikely to decide it{noisy}"
    if noisy:
        return noisy
    if needed and min(needed) <= MANY_SEEDS:
        return f"; a study of {min(needed)} seeds would decide the clearest"
    return f"; no difference to find with {MANY_SEEDS} seeds" if any(row.more for row in rows) else ""


def _epochs_sentence(rows: Sequence[Judged]) -> str:
    """Summarise whether the last evaluated epochs still improved the primary score, by recipe and length."""
    title, count = MEASURES[primary_measure()].title, len(rows)
    improved = [row for row in rows if row.winner == row.second_level]
    is_split = any(", " in row.recipe for row in rows)  # recipes that were trained at several lengths
    what = f"{count} kinds of training" if is_split else plural(count, "recipe")
    start = f"{EPOCHS}: {title} still improved at the end of training in {len(improved)} of {what}"
    if all(row.found == "not judged" for row in rows):
        return f"{start}; {_not_judged(rows)}."
    said = f"{start} ({_degree(improved)})" if improved else start
    if worse := [row for row in rows if row.winner == row.first_level and row.is_sure]:
        said += f"; it was better one evaluation earlier in {len(worse)} ({_degree(worse)})"
    if same := sum(row.found in ("equivalent", "tie") for row in rows):
        said += f"; no difference that matters in {same}"
    return f"{said}."


def _degree(rows: Sequence[Judged]) -> str:
    """Count decided and probable comparisons, with the size of their differences."""
    sure = [row for row in rows if row.is_sure]
    degree = ", ".join(f"{n} {kind}" for kind in ("decided", "probable") if (n := sum(r.found == kind for r in sure)))
    return f"{degree or 'none decided'}{_gain(sure) if sure else ''}"


def _gain(rows: Sequence[Judged]) -> str:
    """Write by how much the better level is ahead, as a ratio of the primary score where ratios are compared."""
    ratios = [each.ratio.estimate for each in rows if each.ratio]
    if len(ratios) < len(rows):
        return ""
    better = sorted(min(r, 1 / r) for r in ratios)
    title = MEASURES[primary_measure()].title
    low, high = (f"{ratio:.2f}" if ratio >= SMALL else f"{ratio:.1g}" for ratio in (better[0], better[-1]))
    return f", {title} \N{MULTIPLICATION SIGN} {low if low == high else f'{low} to {high}'}"
