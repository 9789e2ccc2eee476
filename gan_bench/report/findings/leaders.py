"""The best setting of a study, and those that cannot be told apart from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gan_bench.config.measures import primary_measure
from gan_bench.report.findings.verdicts import CHANGED, compared, side_by_side, sides_of, unequal, verdict_on
from gan_bench.report.study.stats import Interval, Verdict, holm
from gan_bench.report.study.study import Scored, once


@dataclass(frozen=True, kw_only=True)
class Leaders:
    """The best setting of a study under one protocol.

    Attributes:
        best: Its label.
        score: The median of its primary score over all planned seeds, failed and diverged ones as worst.
        behind: Labels of settings that are decidedly worse: paired over the seeds of the last complete look, corrected
            over all settings and for the choice of the best from the same data; by the rules of tables of factors.
        tied: Labels of the other settings that were compared with it: undecided, ties, equivalent ones.
        ahead: Labels of those of ``tied`` that are decidedly better over equal seeds, where ratios of means are
            compared, though their median is behind.
        unequal: Labels of settings that collapsed or failed at a different rate, or were trained on other images or
            code, with the sentence that says so: no test judges them.
        failed: Labels of settings that failed, diverged or could not be scored in every seed, by the words for that.
        unknown: Labels of settings of which nothing is known yet.
        given_up: Labels of those of ``unknown`` that were tested over seeds too few to decide, and that no further look
            is likely to decide.
        open: Labels of settings that another look may tell apart from it, each with that look.
        verdicts: Verdicts on the comparisons with it, by label, of settings that share seeds with it.
    """

    best: str
    score: Interval
    behind: tuple[str, ...]
    tied: tuple[str, ...]
    ahead: tuple[str, ...]
    unequal: dict[str, str]
    failed: dict[str, tuple[str, ...]]
    unknown: tuple[str, ...]
    given_up: tuple[str, ...]
    open: dict[str, int]
    verdicts: dict[str, Verdict]

    @property
    def unlike(self) -> str:
        """What settings that no test judges have in common, in a few words."""
        changed = sum(why.endswith(CHANGED) for why in self.unequal.values())
        words = [
            ("collapsed or failed at a different rate", len(self.unequal) - changed),
            ("were trained on other images or code", changed),
        ]
        return " or ".join(text for text, count in words if count)


def correct_for_choice(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of all comparisons with the best setting, which was chosen from the same data.

    Holm's correction alone calls some setting worse in 10 % of studies of 13 equal settings over five seeds (13 % of
    16 over ten); doubled, in 5.4 % (7.8 %). Two settings need no doubling: the test is two-sided. From 14 settings on
    five seeds decide nothing any more, at a look from seven. ``benchmarks/statistics/`` simulates it.

    Args:
        p_values: One for every setting beside the best.
    """
    factor = min(2.0, (len(p_values) + 1) / 2)
    return [min(1.0, factor * p) for p in holm(p_values)]


def _failed(scored: Scored) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row, done in scored.study.settings():
        if scored.lost(row, done) == row["planned"]:
            ways = list(scored.how_lost(row, done))
            how = ways[0] if len(ways) == 1 else "failed, diverged or could not be scored"
            said = f"{how} in {'any' if how == 'could not be scored' else 'every'} seed"
            found[said] = (*found.get(said, ()), row["setting"])
    return found


@once
def leaders(scored: Scored) -> Leaders | None:
    """Compare every setting with the best one; None where no setting has a score."""
    ranking = scored.ranking()
    if not ranking:
        return None
    best, *others = ranking
    sides = sides_of(scored, scored.study.trials, [primary_measure()])
    frames = {str(label): frame for label, frame in sides.groupby("label") if label in ranking}
    pairs = {label: side_by_side(frames[best], frames[label], ["seed"]) for label in others}
    made = {label: compared(scored, each, primary_measure()) for label, each in pairs.items()}
    family = {label: found for label, found in made.items() if found and found.in_family}
    repeated = [1.0 if found.repeated is None else found.repeated for found in family.values()]
    corrected = dict(zip(family, correct_for_choice(repeated), strict=True))
    tests = 2 * len(family) if len(family) > 1 else 1
    verdicts = {label: verdict_on(found, corrected[label], tests, (best, label))[0] for label, found in family.items()}
    judged = {label: family[label] for label, verdict in verdicts.items() if verdict != "not judged"}
    apart = {label: why for label, found in judged.items() if (why := unequal(found.pairs, best, label))}
    decided = [label for label in judged if verdicts[label] == "decided" and label not in apart]
    behind = [label for label in decided if not judged[label].pair.second_is_better]
    unknown = tuple(label for label in others if label not in judged)
    still_open = {
        label: found.look.next
        for label, found in family.items()
        if found.look.next and found.is_open(verdicts[label], tests, with_equivalence=False)
    }
    return Leaders(
        best=best,
        score=scored.medians()[best],
        behind=tuple(behind),
        tied=tuple(label for label in others if label in judged and label not in behind and label not in apart),
        ahead=tuple(label for label in decided if label not in behind),
        unequal=apart,
        failed=_failed(scored),
        unknown=unknown,
        given_up=tuple(
            label
            for label in unknown
            if label not in still_open and label in family and family[label].repeated is not None
        ),
        open=still_open,
        verdicts={label: "undecided" if label in apart else verdict for label, verdict in verdicts.items()},
    )
