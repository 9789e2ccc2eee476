"""What the comparisons of a factor's levels come to, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gan_bench.config.design import FEWEST
from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.core.text import plural, some_of
from gan_bench.report.findings.factors import AVERAGE_FACTOR, EPOCHS, Factor
from gan_bench.report.findings.verdicts import NO_LOOK, Judged
from gan_bench.report.study.stats import ALPHA

MANY_SEEDS = 30
"""More seeds than these are not named: a difference so small beside its spread is as good as none."""
_AS_SEEN = "if the difference is as seen"
"""What follows from a difference in few seeds: the true one may be none, or far larger."""
SMALL = 0.095
"""Ratios below are written with one digit that is not zero, others with two decimals."""
NAMED = 3
"""Settings that a sentence names, and pairs of levels that have one of their own; the tables have them all."""


def factor_sentences(factor: Factor) -> Iterator[str]:
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
        some = counts["not judged"]
        start = f"{some} {'is' if some == 1 else 'are'}" if some else "a part is"
        more = "" if any(row.next for row in waiting) else _needs(waiting)
        said.append(f"{start} {_not_judged(waiting, 'not judged with one seed')}{more}")
    if len(sure) > NAMED:
        said.append(f"{len(sure) - NAMED} more {'is' if len(sure) == NAMED + 1 else 'are'} decided or probable")
    undecided = [each for pair in left for each in pair if each.found == "undecided"]
    several = len({each.recipe for each in undecided}) > 1
    withheld = dict.fromkeys(f"{f'{each.recipe}: ' if several else ''}{each.why}" for each in undecided if each.why)
    why = f"; {some_of([*withheld], NAMED, '; ', '; and {} more')}" if withheld else ""
    return f"of {len(pairs)} pairs of {len(levels)} levels, {', '.join(said)}{_needs(undecided)}{why}" if said else ""


def _levels(judged: Judged) -> tuple[str, str]:
    return judged.first_level, judged.second_level


@dataclass(frozen=True)
class _Pair:
    """The comparisons of two levels, a row for each recipe, or whatever ``unit`` is."""

    unit: str
    rows: Sequence[Judged]

    def of(self, *kinds: str) -> list[Judged]:
        """Return the rows with one of some verdicts."""
        return [row for row in self.rows if row.found in kinds]

    @property
    def where(self) -> str:
        """How many rows there are: ``2 recipes``."""
        return plural(len(self.rows), self.unit)

    def within(self, some: int) -> str:
        """Return in how many of the rows something holds, where there are several."""
        return f" in {some} of {self.where}" if len(self.rows) > 1 else ""


def _pair_sentence(factor: Factor, rows: list[Judged]) -> str:
    """Say what the comparisons of two levels come to: the first of ``_SAYINGS`` that holds."""
    is_average = factor.name == AVERAGE_FACTOR
    pair = _Pair("setting" if is_average else "comparison" if factor.held else "recipe", rows)
    said = next(filter(None, (saying(pair) for saying in _SAYINGS)))
    name = "moving average" if is_average else factor.title  # its levels are G and EMA of G
    return f"{name}: {said}{_remarks(rows)}."


def _not_judged_at_all(pair: _Pair) -> str:
    if pair.rows != pair.of("not judged"):
        return ""
    first, second = _levels(pair.rows[0])
    wins = Counter(row.winner for row in pair.rows if row.winner)
    leader = first if wins[first] > wins[second] else second
    ahead = f"{leader} is ahead" if wins[first] != wins[second] else "each is ahead"
    so_far = f"; {ahead}{pair.within(wins[leader])}" if wins else f"; {first} and {second} are equal so far"
    more = "" if any(row.next for row in pair.rows) else _needs(pair.rows)
    return f"{_not_judged(pair.rows)}{so_far if any(row.size for row in pair.rows) else ''}{more}"


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
"""What may be said of two levels, each nothing where it does not hold; the last always does."""


def _ties(pair: _Pair) -> str:
    return f"; a tie in {len(tied)}" if (tied := pair.of("tie")) else ""


def _remarks(rows: Sequence[Judged]) -> str:
    """Say what limits a verdict: pairs without a score, why it is withheld, an early decision."""
    lost = sum(row.lost for row in rows)
    said = [f"; {plural(lost, 'pair')} without a score"] if lost else []
    said += (f"; {f'{row.recipe}: ' if len(rows) > 1 else ''}{row.why}" for row in rows if row.why)
    return "".join([*said, _overstated([row for row in rows if row.found == "decided"])])


def _collapses(equivalent: Sequence[Judged]) -> str:
    """Say how far equal scores of few seeds rule out that one side collapses more often."""
    counts = [row.collapses for row in equivalent if row.collapses is not None]
    if len(counts) < len(equivalent):
        return "; collapses were not counted"
    if any(counts):
        return f"; {sum(counts)} runs collapsed, as many on either side"
    share = f"{1 - ALPHA ** (1 / min(row.seeds for row in equivalent)):.0%}"
    return f"; collapses in up to {share} of runs are possible though none was seen"


def _not_judged(rows: Sequence[Judged], of_one: str = "one seed: not judged") -> str:
    following = [each.following for each in rows if each.following]
    if following:
        return f"not judged before the look at {min(following)} seeds"
    if any(each.next and each.seeds > 1 for each in rows):
        return "not judged, as these seeds are too few, and given up, as more are unlikely to decide it"
    return "not judged, as these seeds are too few" if any(each.is_tested for each in rows) else of_one


def _needs(rows: Sequence[Judged]) -> str:
    """Return when undecided comparisons are judged again, or how many seeds a study needs that finds out."""
    following = [each.following for each in rows if each.following]
    enough = [each for each in rows if each.seeds >= FEWEST]  # what fewer say of the seeds needed is a guess
    needed = [each.needed for each in enough if each.needed is not None]
    if following:
        likely = f", likely decided at {min(needed)} {_AS_SEEN}" if needed else ""
        some = f" for {len(following)} of {len(rows)}" if len(following) < len(rows) else ""
        return f"; next look at {min(following)} seeds{some}{likely}"
    tested = [row for row in rows if not row.why]
    noisy = "; the spread is too large to show equivalence" if any(row.too_noisy for row in tested) else ""
    if any(row.next for row in tested):
        return f"; given up, as more seeds are unlikely to decide it{noisy}"
    if noisy:
        return noisy
    if needed and min(needed) <= MANY_SEEDS:
        return f"; a new study of {min(needed)} seeds would likely decide the clearest {_AS_SEEN}"
    return _out_of_reach([row for row in enough if row.more])


def _out_of_reach(asked: Sequence[Judged]) -> str:
    """Say why none of the undecided comparisons tells how many seeds a new study needs, if there are any."""
    if any(row.more == NO_LOOK for row in asked):
        return "; no look is left"
    return f"; a difference as small as the one seen takes over {MANY_SEEDS} seeds to show" if asked else ""


def _epochs_sentence(rows: Sequence[Judged]) -> str:
    """Summarise whether the last evaluated epochs still improved the primary score, by recipe and length."""
    title, count = MEASURES[primary_measure()].title, len(rows)
    same = [row for row in rows if row.found in ("equivalent", "tie")]
    open_, waiting = ([row for row in rows if row.found == found] for found in ("undecided", "not judged"))
    improved = [row for row in rows if row.winner == row.second_level and row.is_sure]
    worse = [row for row in rows if row.winner == row.first_level and row.is_sure]
    is_split = any(", " in row.recipe for row in rows)  # recipes that were trained at several lengths
    what = f"{count} kinds of training" if is_split else plural(count, "recipe")
    asked = f"{title} still improved at the end of training"
    if len(waiting) == count:
        whole = [row.following for row in rows if row.following and row.seeds >= row.following]
        before = f"not judged before all settings have the {min(whole)} seeds of the next look" if whole else ""
        return f"{EPOCHS}: whether {asked} is {before or _not_judged(rows, 'not judged with one seed')}."
    if count == 1 and open_:
        return f"{EPOCHS}: undecided whether {asked}{f': {open_[0].why}' if open_[0].why else ''}."

    def within(some: Sequence[Judged]) -> str:
        return f" in {len(some)}" if count > 1 else ""

    if open_ and not improved:
        said = f"{EPOCHS}: undecided whether {asked} in {len(open_)} of {what}"
    elif count > 1:
        said = f"{EPOCHS}: {asked} in {len(improved)} of {what}"
    else:
        said = f"{EPOCHS}: {asked if improved else f'{title} no longer improved at the end of training'}"
    said += f" ({_degree(improved)})" if improved else ""
    said += f"; it was better one evaluation earlier{within(worse)} ({_degree(worse)})" if worse else ""
    said += f"; no difference that matters{within(same)}" if same else ""
    said += f"; undecided in {len(open_)}" if open_ and improved else ""
    said += f"; not judged in {len(waiting)}" if waiting else ""
    withheld = "".join(f"; {row.recipe}: {row.why}" for row in rows if row.why)
    early = _overstated([row for row in rows if row.found == "decided"])
    return f"{said}{early}{withheld}."


def _overstated(decided: Sequence[Judged]) -> str:
    """Warn of the ratios of what was decided before its last look."""
    is_early = any(row.early for row in decided)
    return "; decided before the last look, so the ratio is probably overstated" if is_early else ""


def _degree(rows: Sequence[Judged]) -> str:
    """Say how sure comparisons are, counted where they differ in that, with the size of their differences."""
    sure = [row for row in rows if row.is_sure]
    counts = {kind: n for kind in ("decided", "probable") if (n := sum(row.found == kind for row in sure))}
    if len(rows) in counts.values():
        return f"{sure[0].found}{_gain(sure)}"
    degree = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    return f"{degree or 'none decided'}{_gain(sure) if sure else ''}"


def _gain(rows: Sequence[Judged]) -> str:
    """Write by how much the better level is ahead, as a ratio of the primary score where ratios are compared."""
    ratios = [each.size.estimate for each in rows if each.size and each.is_ratio]
    if len(ratios) < len(rows):
        return ""
    better = sorted(min(r, 1 / r) for r in ratios)
    title = MEASURES[primary_measure()].title
    low, high = (f"{ratio:.2f}" if ratio >= SMALL else f"{ratio:.1g}" for ratio in (better[0], better[-1]))
    return f", {title} \N{MULTIPLICATION SIGN} {low if low == high else f'{low} to {high}'}"
