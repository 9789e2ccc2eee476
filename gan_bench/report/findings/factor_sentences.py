"""Sentences that summarise the comparisons of a factor's levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from gan_bench.config.design import FEWEST
from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.core.text import plural, some_of
from gan_bench.report.findings.factors import AVERAGE_FACTOR, EPOCHS, Factor
from gan_bench.report.findings.standings import not_judged
from gan_bench.report.findings.verdicts import Judged
from gan_bench.report.study.stats import ALPHA

MANY_SEEDS = 30
"""Most needed seeds that are named; a difference that needs more is negligible."""
_AS_SEEN = "if the difference is as seen"
"""Caution about differences in few seeds: the true one may be zero, or far larger."""
SMALL = 0.095
"""Ratios below this are written with one significant digit, others with two decimals."""
NAMED = 3
"""Most settings that a sentence names, and pairs of levels with sentences of their own; tables have all."""


def factor_sentences(factor: Factor, *, seeds_help: bool = True) -> Iterator[str]:
    """Summarise the comparisons of every two levels over the recipes.

    Args:
        factor: The factor.
        seeds_help: Whether more seeds may decide what is undecided; else none are named.
    """
    if factor.name == EPOCHS:
        # the last comparison of each recipe
        yield _epochs_sentence(list({each.recipe: each for each in factor.primary}.values()))
        return
    if factor.held and not any(each.is_sure for each in factor.primary):
        return  # the sentence on the average is enough
    judged = sorted(factor.primary, key=_levels)
    if not seeds_help:
        judged = [replace(each, needed=None) for each in judged]
    pairs = [list(group) for _, group in groupby(judged, key=_levels)]
    sure = [pair for pair in pairs if any(each.is_sure for each in pair)]
    for pair in pairs if len(pairs) == 1 else sure[:NAMED]:
        yield _pair_sentence(factor, pair)
    if len(pairs) > 1 and (rest := _rest_of_pairs(pairs, sure)):
        yield f"{factor.title}: {rest}."


def _rest_of_pairs(pairs: list[list[Judged]], sure: list[list[Judged]]) -> str:
    """Return the results of the pairs of levels that have no sentence of their own."""
    levels = {level for pair in pairs for each in pair for level in _levels(each)}
    left = [pair for pair in pairs if pair not in sure]
    counts = Counter[str](pair[0].found if len({each.found for each in pair}) == 1 else "undecided" for pair in left)
    waiting = [each for pair in left for each in pair if each.found == "not judged"]
    unjudged = "not judged" if any(each.following for each in waiting) else not_judged(None)  # the look is named below
    words = {"equivalent": "equivalent", "tie": "tied", "undecided": "undecided", "not judged": unjudged}
    said = [f"{n} {word}" for kind, word in words.items() if (n := counts[kind])]
    if len(sure) > NAMED:
        said.append(f"{len(sure) - NAMED} more decided or probable")
    undecided = [each for pair in left for each in pair if each.found in ("undecided", "not judged")]
    several = len({each.recipe for each in undecided}) > 1
    withheld = dict.fromkeys(f"{f'{each.recipe}: ' if several else ''}{each.why}" for each in undecided if each.why)
    why = f"; {some_of([*withheld], NAMED, '; ', '; and {} more')}" if withheld else ""
    return f"{len(pairs)} pairs of {len(levels)} levels, {', '.join(said)}{_needs(undecided)}{why}" if said else ""


def _levels(judged: Judged) -> tuple[str, str]:
    return judged.first_level, judged.second_level


@dataclass(frozen=True)
class _Pair:
    """The comparisons of two levels, a row for each recipe, or for each ``unit``."""

    unit: str
    rows: Sequence[Judged]

    def of(self, *kinds: str) -> list[Judged]:
        """Return the rows with one of some verdicts."""
        return [row for row in self.rows if row.found in kinds]

    @property
    def where(self) -> str:
        """The number of rows: ``2 recipes``."""
        return plural(len(self.rows), self.unit)

    def within(self, some: int) -> str:
        """Return in how many rows something holds, if there are several."""
        return f" in {some} of {self.where}" if len(self.rows) > 1 else ""


def _pair_sentence(factor: Factor, rows: list[Judged]) -> str:
    """Return the result of the comparisons of two levels: the first of ``_SAYINGS`` that holds."""
    is_average = factor.name == AVERAGE_FACTOR
    pair = _Pair("setting" if is_average else "comparison" if factor.held else "recipe", rows)
    said = next(filter(None, (saying(pair) for saying in _SAYINGS)))
    name = "moving average" if is_average else factor.title  # the levels are named G and EMA of G
    return f"{name}: {said}{_remarks(rows)}."


def _not_judged_at_all(pair: _Pair) -> str:
    if pair.rows != pair.of("not judged"):
        return ""
    wins = Counter(row.winner for row in pair.rows if row.winner)
    (leader, most), *others = [*wins.most_common(), ("", 0)]
    ahead = f"; {leader} is ahead{pair.within(most)}" if all(count < most for _, count in others) and leader else ""
    return f"{_not_judged(pair.rows)}{ahead}"


def _one_is_better(pair: _Pair) -> str:
    sure = pair.of("decided", "probable")
    if len({row.winner for row in sure}) != 1:
        return ""
    same, left = len(pair.of("equivalent")), len(pair.rows) - len(sure)
    open_ = ["undecided", *(word for word, kind in (("tied", "tie"), ("not judged",) * 2) if pair.of(kind))]
    rest = f", {' or '.join(open_)} in {left - same}" if left > same else ""
    rest += f", equivalent in {same}" if same else ""
    return f"{sure[0].winner} is better than {sure[0].loser}{pair.within(len(sure))} ({_degree(sure)}){rest}"


def _each_is_better(pair: _Pair) -> str:
    if not (sure := pair.of("decided", "probable")):
        return ""
    each = "; ".join(f"{row.recipe}: {row.winner} ({row.found})" for row in sure)
    return f"it depends on the {pair.unit} ({each})"


def _all_are_ties(pair: _Pair) -> str:
    if pair.rows != pair.of("tie"):
        return ""
    all_of = f" in {pair.where}" if len(pair.rows) > 1 else ""
    return f"{' and '.join(_levels(pair.rows[0]))} are a tie{all_of}: any difference is within the noise of scoring"


def _some_are_equivalent(pair: _Pair) -> str:
    if not (same := pair.of("equivalent")):
        return ""
    left = len(pair.rows) - len(same) - len(pair.of("tie"))
    return (
        f"{' and '.join(_levels(pair.rows[0]))} are equivalent{pair.within(len(same))}: no difference above the "
        f"margin{_ties(pair)}{f'; {left} undecided' if left else ''}{_collapses(same)}"
    )


def _none_is_decided(pair: _Pair) -> str:
    count, tied = len(pair.rows), len(pair.of("tie"))
    where = pair.within(count - tied) if tied else f" in {pair.where}" if count > 1 else ""
    return f"undecided between {' and '.join(_levels(pair.rows[0]))}{where}{_ties(pair)}{_needs(pair.rows)}"


_SAYINGS: tuple[Callable[[_Pair], str], ...] = (
    *(_not_judged_at_all, _one_is_better, _each_is_better, _all_are_ties, _some_are_equivalent, _none_is_decided),
)
"""Sentences about two levels, each empty if it does not hold; the last always holds."""


def _ties(pair: _Pair) -> str:
    return f"; a tie in {len(tied)}" if (tied := pair.of("tie")) else ""


def _remarks(rows: Sequence[Judged]) -> str:
    """Return what limits a verdict: pairs without a score, why it is withheld, an early decision."""
    lost = sum(row.lost for row in rows)
    said = [
        f"{plural(lost, 'pair')} without a score" if lost else "",
        some_of([f"{f'{row.recipe}: ' if len(rows) > 1 else ''}{row.why}" for row in rows if row.why], NAMED, "; "),
        _overstated(rows),
    ]
    return "".join(f"; {each}" for each in said if each)


def _collapses(equivalent: Sequence[Judged]) -> str:
    """Return how far equal scores of few seeds exclude that one side collapses more often."""
    counts = [row.collapses for row in equivalent if row.collapses is not None]
    if len(counts) < len(equivalent):
        return "; collapses were not counted in every run"
    if any(counts):
        return f"; {sum(counts)} generators collapsed, as many on either side"
    share = f"{1 - ALPHA ** (1 / min(row.seeds for row in equivalent)):.0%}"
    return f"; collapses in up to {share} of runs are possible though none was seen"


def _not_judged(rows: Sequence[Judged]) -> str:
    return not_judged(min((each.following for each in rows if each.following), default=None))


def _needs(rows: Sequence[Judged]) -> str:
    """Return when undecided comparisons are judged again, or how many seeds a new study needs."""
    if following := [each.following for each in rows if each.following]:
        return f"; next look at {min(following)} seeds"
    tested = [row for row in rows if not row.why]
    noisy = "; the spread is too large to show equivalence" if any(row.too_noisy for row in tested) else ""
    if any(row.next for row in tested):
        return f"; given up, as more seeds are unlikely to decide it{noisy}"
    # estimates from fewer seeds are guesses
    needed = [each.needed for each in rows if each.needed and each.seeds >= FEWEST]
    if not needed:
        return noisy
    if min(needed) > MANY_SEEDS:
        return f"{noisy}; a difference as small as the one seen takes over {MANY_SEEDS} seeds to show"
    return f"{noisy}; a new study of {min(needed)} seeds would likely decide the clearest {_AS_SEEN}"


def _epochs_sentence(rows: Sequence[Judged]) -> str:
    """Summarise whether the last evaluated epochs still improved the primary score, by recipe and length."""
    title, count = MEASURES[primary_measure()].title, len(rows)
    same = [row for row in rows if row.found in ("equivalent", "tie")]
    open_, waiting = ([row for row in rows if row.found == found] for found in ("undecided", "not judged"))
    improved = [row for row in rows if row.winner == row.second_level and row.is_sure]
    worse = [row for row in rows if row.winner == row.first_level and row.is_sure]

    def within(some: Sequence[Judged]) -> str:
        return f" in {len(some)}" if len(some) < count else ""

    asked = f"{title} still improved at the end of training"
    where = f" in {len(improved)} of {plural(count, 'recipe')}" if count > 1 else ""
    start = f"{asked}{where} ({_degree(improved)}); " if improved else f"whether {asked}: "
    said = [
        f"it was better one evaluation earlier{within(worse)} ({_degree(worse)})" if worse else "",
        f"no difference that matters{within(same)}" if same else "",
        f"undecided{within(open_)}" if open_ else "",
        f"{_not_judged(waiting)}{within(waiting)}" if waiting else "",
        _overstated(rows),
        *(f"{row.recipe}: {row.why}" for row in rows if row.why),
    ]
    return f"{EPOCHS}: {(start + '; '.join(filter(None, said))).removesuffix('; ')}."


def _overstated(rows: Sequence[Judged]) -> str:
    """Warn that ratios decided before the last look are overstated."""
    is_early = any(row.early for row in rows if row.found == "decided")
    return "decided before the last look, so the ratio is probably overstated" if is_early else ""


def _degree(sure: Sequence[Judged]) -> str:
    """Return how certain comparisons are, counted if they differ in that, with the size of their differences."""
    counts = Counter(row.found for row in sure)
    degree = sure[0].found if len(counts) == 1 else ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    return f"{degree}{_gain(sure)}"


def _gain(rows: Sequence[Judged]) -> str:
    """Write the advantage of the better level, as a ratio of the primary score if ratios are compared."""
    ratios = [each.size.estimate for each in rows if each.size and each.is_ratio]
    if len(ratios) < len(rows):
        return ""
    better = sorted(min(r, 1 / r) for r in ratios)
    title = MEASURES[primary_measure()].title
    low, high = (f"{ratio:.2f}" if ratio >= SMALL else f"{ratio:.1g}" for ratio in (better[0], better[-1]))
    return f", {title} \N{MULTIPLICATION SIGN} {low if low == high else f'{low} to {high}'}"
