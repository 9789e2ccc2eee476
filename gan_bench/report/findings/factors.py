"""One factor at a time: its levels over equal seeds and otherwise equal settings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import pandas as pd

from gan_bench.config.measures import measures_with, primary_measure
from gan_bench.config.trial import setting_key
from gan_bench.report.findings.sides import (
    LevelPair,
    in_whole_seeds,
    reachable_seeds,
    scored_so,
    side_by_side,
    sides_of,
    to_come,
)
from gan_bench.report.findings.verdicts import Judged, judge
from gan_bench.report.study.frame import BAD, is_left
from gan_bench.report.study.settings import shared_parts
from gan_bench.report.study.study import ScoredStudy, cached_on_study
from gan_bench.report.study.table import Column, Table

MANY_LEVELS = 8
"""Most levels of a factor of which every two are compared; of more, each with the next."""

FACTORS: Mapping[str, tuple[str, ...]] = {
    "learning rate": ("lr_g", "lr_d"),
    "betas": ("betas_g", "betas_d"),
    "latent size": ("latent_dim",),
    "latent distribution": ("latent",),
    "initial weights": ("init",),
    "batch size": ("batch_size",),
    "last batch": ("last_batch",),
    "fake batch": ("fake_batch",),
    "G step fakes": ("step_fakes",),
    "passes per epoch": ("dataset_repeats",),
    "training images": ("train_limit",),
    "epsilon": ("adam_eps",),
    "architecture": ("architecture",),
    "loss": ("loss",),
    "optimizer": ("optimizer_g", "optimizer_d"),
    "momentum": ("momentum",),
    "D steps": ("d_steps",),
    "label smoothing": ("label_smoothing",),
    "weight clip": ("weight_clip",),
    "gradient penalty": ("gradient_penalty",),
    "R1": ("r1_gamma",),
    "spectral norm": ("spectral_norm",),
    "number format": ("precision",),
    "learning rates G and D": ("lr_g", "lr_d"),
}
"""Factors by name, with the config fields whose common value is the level."""
BESIDE: Mapping[tuple[str, ...], tuple[str, ...]] = {("optimizer_g", "optimizer_d"): ("betas_g", "betas_d", "momentum")}
"""Fields that belong to the levels of a factor, and may differ with them."""
EPOCHS = "epochs"
"""The factor whose levels are epochs of the same trials."""
AVERAGE_FACTOR = "EMA of G"
"""The factor whose levels are G and its moving average, compared setting by setting."""
WITHIN = (EPOCHS, AVERAGE_FACTOR)
"""Factors whose levels are compared within trials, which ask for no seeds of their own."""
HELD = "other values held"
"""Ends the title of a factor whose settings are compared one by one."""
APART = frozenset({"learning rates G and D"})
"""Factors whose levels are the values of G and D, equal or not, where several settings have unequal ones."""

_COLUMNS = [
    Column("recipe", "recipe", vital=True),
    Column("metric", "score", vital=True),
    Column("first_level", "A", vital=True, pair="levels"),
    Column("second_level", "B", vital=True, pair="levels"),
    Column("first", "mean at A", "number"),
    Column("second", "mean at B", "number"),
    Column("ratio", "B / A", "range", "B / A: ratio of geometric means, where ratios are compared.", vital=True),
    Column("difference", "B - A", "interval"),
    Column(
        "verdict",
        "better",
        note="better: decided when the corrected p is at most 0.05; a tie when the whole interval is smaller than the "
        "noise of scoring, undecided when the mean is, or when one side collapsed or failed more often. Verdicts are "
        "made at the looks that were declared before the first seed, over the seeds of the last complete one.",
        essential=True,
    ),
    Column("seeds", "seeds", "count"),
    Column("p", "p", "p", "p: Student's paired t test over seeds, at least 2 / 4^seeds."),
    Column("repeated", "repeated p", "p", "repeated p: the level over all looks at which this one decides."),
    Column("corrected", "corrected p", "p", "corrected p: repeated, and corrected for the table's rows of the primary "
           "score (Holm; times their number where equivalence may be claimed); the others are exploratory."),
    Column("permutation", "p (permutation)", "p", "p (permutation): sign-flip test, from six seeds on."),
    Column(
        "needed",
        "seeds needed",
        "count",
        note="seeds needed: in all, for a decision with 80 % power, if the difference is as seen; a look where looks "
        "are declared, else those of a new study: undeclared seeds decide nothing.",
    ),
    Column("improvement", "B win rate", "share", "B win rate: share of the seeds, ties counted half."),
    Column("effect", "effect", "number", "effect: mean difference over its spread."),
    Column("pairs", "pairs", "count"),
    Column("lost", "lost", "count", "lost: pairs with a trial that failed, diverged, has not run or cannot be scored."),
]  # fmt: skip
_TELLING = ("recipe", "metric", "first_level", "second_level")
"""Columns that tell comparisons apart, those that differ between them."""
_NOTE = (
    "Pairs have equal seeds and otherwise equal settings; differences are averaged within a seed, and the 95 % "
    "interval is over seeds; all looks together hold the mean."
)


@dataclass(frozen=True)
class Factor:
    """A factor with the comparisons of its levels.

    Attributes:
        name: A key of ``FACTORS``, ``EPOCHS`` or ``AVERAGE_FACTOR``.
        comparisons: Of every measure that is compared.
        held: Whether settings that differ in other values are compared one by one, not averaged.
    """

    name: str
    comparisons: tuple[Judged, ...]
    held: bool = False

    @property
    def title(self) -> str:
        """Its title."""
        return f"{self.name}, {HELD}" if self.held else self.name

    @property
    def primary(self) -> list[Judged]:
        """Its comparisons of the primary measure."""
        return [each for each in self.comparisons if each.measure == primary_measure()]


@cached_on_study
def factors_of(scored: ScoredStudy) -> list[Factor]:
    """Compare the levels of every factor over equal seeds and otherwise equal settings, for each recipe."""
    return list(_factors(scored))


def factor_tables(scored: ScoredStudy) -> Iterator[Table]:
    """Make a table of comparisons for every factor."""
    for factor in factors_of(scored):
        frame = pd.DataFrame([each.row() for each in factor.comparisons])
        frame = frame.assign(protocol=scored.protocol, factor=factor.title)
        columns, note = _COLUMNS, f"Scores {scored}. {_NOTE}"
        if factor.held:
            columns = [replace(_COLUMNS[0], title="held"), *_COLUMNS[1:]]
            note = f"Scores {scored}. Pairs have equal seeds; settings that differ in other values are not averaged."
        telling = [each for each in _TELLING if frame[each].nunique() > 1] or _TELLING[2:]
        columns = [replace(each, essential=each.essential or each.key in telling) for each in columns]
        yield scored.study.table("factor", factor.title, columns, frame, note, factor.title, scored.protocol)


def _factors(scored: ScoredStudy) -> Iterator[Factor]:
    study, compared = scored.study, _compared(scored)
    for name, fields in FACTORS.items():
        apart = name in APART
        counted = level_pairs = list(compared_levels(scored, fields, apart=apart))
        if len(study.counted) > len(study.compared):
            counted = list(compared_levels(scored, fields, apart=apart, counted=True))
        averaged = _judge_levels(scored, level_pairs, counted)
        if averaged:
            yield Factor(name, tuple(averaged))
            is_averaged = _shown_and_beside(level_pairs, held=True) > _shown_and_beside(level_pairs, held=False)
            if is_averaged and (held := _judge_levels(scored, level_pairs, counted, held=True)):
                yield Factor(name, tuple(held), held=True)
    # A failed trial of any setting is lost on both sides: those of a seed that ended are averaged.
    lengths, later = _successive_epochs(scored)
    alike = _averaged(scored, lengths)
    ended = [each._replace(pairs=each.pairs.drop(columns="rest")) for each in alike]
    by_epoch = judge(scored, ended, study.shown((primary_measure(),)), later)
    if by_epoch:
        yield Factor(EPOCHS, tuple(by_epoch))
    for average in study.averages:
        if average.protocol == f"{scored},ema":
            pairs = list(_with_average(scored, average))
            if averages := judge(scored, pairs, compared, max(0, _averages(scored, average) - len(pairs))):
                yield Factor(AVERAGE_FACTOR, tuple(averages))


def _compared(scored: ScoredStudy) -> list[str]:
    return scored.study.shown(measures_with("compared"))


def _judge_levels(
    scored: ScoredStudy, level_pairs: Sequence[LevelPair], counted: Sequence[LevelPair], *, held: bool = False
) -> list[Judged]:
    """Judge every two levels of a factor, recipe by recipe.

    Differences are averaged within a seed before they meet the interval: seeds are what is resampled, settings
    are not.

    Args:
        scored: The study under one of its protocols.
        level_pairs: What ``compared_levels`` yields.
        counted: The same with settings that are not compared and count as tests.
        held: Whether settings that differ in other values are compared one by one, not averaged: where betas help at
            one learning rate alone, the average hides it. Their names are what both levels share.
    """
    if not level_pairs:  # true for most factors
        return []
    shown = list(_one_by_one(level_pairs) if held else _averaged(scored, level_pairs))
    tests = max(_shown_and_beside(each, held=held) for each in (level_pairs, counted))
    return judge(scored, shown, _compared(scored), tests - sum(not each.pairs.empty for each in shown))


def _beside(level_pairs: Sequence[LevelPair]) -> int:
    """Count the tests of many levels that are no longer made, but were with fewer levels."""
    return sum(
        max(0, MANY_LEVELS * (MANY_LEVELS - 1) // 2 - count)
        for recipe, count in Counter(each.recipe for each in level_pairs).items()
        if len({level for each in level_pairs if each.recipe == recipe for level in (each.first, each.second)})
        > MANY_LEVELS
    )


def _shown_and_beside(level_pairs: Sequence[LevelPair], *, held: bool) -> int:
    """Count the tests of a table."""
    shown = _one_by_one(level_pairs) if held else level_pairs
    return sum(not each.pairs.empty for each in shown) + _beside(level_pairs)


def leading_level(pairs: Sequence[Judged]) -> str:
    """Return which of two levels is ahead over all recipes: in decided or probable comparisons, else in most.

    Args:
        pairs: Comparisons of the same two levels of a factor, each with a ratio or each with a difference.
    """
    sure = {each.winner for each in pairs if each.is_sure}
    if len(sure) == 1:
        return sure.pop()
    lower = sum(each.size is not None and each.size.estimate < (1 if each.is_ratio else 0) for each in pairs)
    return pairs[0].second_level if 2 * lower > len(pairs) else pairs[0].first_level


def _averaged(scored: ScoredStudy, level_pairs: Iterable[LevelPair]) -> Iterator[LevelPair]:
    """Drop seeds that not all averaged settings have, so that a look never judges some of them."""
    asked = set(scored.study.asked_for["label"])
    for recipe, first, second, every in level_pairs:
        pairs = _without_gone(every, asked)
        kept = pairs[pairs["seed"].isin(reachable_seeds(scored, pairs))]
        whole = scored.study.design.is_fixed | in_whole_seeds(kept, pairs["rest"].nunique())
        yield LevelPair(recipe, first, second, kept.assign(open=kept["open"] | ~whole))


def _without_gone(pairs: pd.DataFrame, asked: Set[str]) -> pd.DataFrame:
    """Drop settings that are no longer planned and whose trials all failed."""
    ends = [end for end in "ab" if f"label_{end}" in pairs]
    if not ends:
        return pairs
    gone = pd.concat([pairs[f"bad_{end}"] & ~pairs[f"label_{end}"].isin(asked) for end in ends], axis=1).any(axis=1)
    return pairs[~gone.groupby(pairs["rest"]).transform("all")]


def _one_by_one(level_pairs: Iterable[LevelPair]) -> Iterator[LevelPair]:
    for recipe, first, second, pairs in level_pairs:
        found = [(str(a), str(b), members) for (a, b), members in pairs.groupby(["label_a", "label_b"], sort=True)]
        names = Counter(shared_parts(a, b) for a, b, _ in found)
        for a, b, members in found:
            name = shared_parts(a, b)
            title = (name or recipe) if names[name] == 1 else f"{a} against {b}"
            yield LevelPair(title, first, second, members)


def _successive_epochs(scored: ScoredStudy) -> tuple[list[LevelPair], int]:
    """Return pairs of successive evaluated epochs of the same finished trials, by recipe.

    Beside them, how many there will be of trials of which none has been evaluated so, tests that are to come; and how
    many there were of settings that are not compared and count as tests.
    """
    study, trials, found = scored.study, scored.study.compared, list[LevelPair]()
    done = study.scores[study.scores["trial"].isin(trials["trial"]) & (study.scores["protocol"] == scored.protocol)]
    done = done[done["status"] == "done"]
    trained = done[done["epoch"] > 0]
    # by recipe and epochs the settings to be evaluated there; none if all failed
    waiting = dict[tuple[str, tuple[int, ...]], set[str]]()
    expected = scored_so(scored)
    expected = expected[is_left(expected) | ~expected["label"].isin(trained["label"])]
    for row in expected[["recipe", "config", "label"]].assign(left=is_left(expected)).to_dict("records"):
        planned = tuple(epoch for epoch in row["config"]["evaluation"]["epochs"] if epoch)
        waiting.setdefault((str(row["recipe"]), planned), set()).update([str(row["label"])] if row["left"] else [])
    for title, epochs, alike in _looked_at_alike(trained):
        wide = alike.pivot_table(index="trial", columns=["metric", "epoch"], values="value")
        names = set(alike["trial"])
        labels, others = set(trials["label"][trials["trial"].isin(names)]), set(trained["trial"]) - names
        labels |= waiting.pop((str(alike["recipe"].iloc[0]), epochs), set())
        members = trials[trials["label"].isin(labels) & ~trials["trial"].isin(others)]
        primary = alike[(alike["metric"] == primary_measure()) & alike["value"].isna()]
        unscored = {epoch: set(primary["trial"][primary["epoch"] == epoch]) for epoch in epochs}
        collapsed = {epoch: study.collapsed(members["trial"], epoch=epoch) for epoch in epochs}
        for a, b in pairwise(epochs):
            columns = {
                f"{metric}_{side}": members["trial"].map(wide[(metric, epoch)])
                for metric in study.shown((primary_measure(),))
                for side, epoch in (("a", a), ("b", b))
                if (metric, epoch) in wide
            }
            both = _of_themselves(members, columns, (unscored[a], unscored[b]), (collapsed[a], collapsed[b]))
            found.append(LevelPair(title, f"epoch {a}", f"epoch {b}", both.assign(later=True)))
    counted = study.scores[(study.scores["protocol"] == scored.protocol) & (study.scores["status"] == "done")]
    counted = counted[counted["trial"].isin(study.counted["trial"]) & (counted["epoch"] > 0)]
    withdrawn = sum(len(epochs[1:]) for _, epochs, _ in _looked_at_alike(counted)) - len(found)
    return found, sum(len(epochs[1:]) for _, epochs in waiting) + max(0, withdrawn)


def _looked_at_alike(trained: pd.DataFrame) -> Iterator[tuple[str, tuple[int, ...], pd.DataFrame]]:
    """Yield the scores of a recipe's trials with equal evaluation epochs, with a title and these epochs.

    The title is the recipe's name, and where it was trained at several lengths that with the length.
    """
    for recipe, scores in trained.groupby("recipe", sort=True):
        alike: dict[tuple[int, ...], list[str]] = {}
        for trial, evaluated in scores.groupby("trial")["epoch"]:
            alike.setdefault(tuple(sorted({int(epoch) for epoch in evaluated})), []).append(str(trial))
        lengths = Counter(epochs[-1] for epochs in alike)
        for epochs, names in sorted(alike.items()):
            title = str(recipe) if len(alike) == 1 else f"{recipe}, {epochs[-1]} epochs"
            title += f" evaluated at {', '.join(map(str, epochs))}" if lengths[epochs[-1]] > 1 else ""
            yield title, epochs, scores[scores["trial"].isin(names)]


def _of_themselves(
    trials: pd.DataFrame,
    scores: Mapping[str, pd.Series[float]],
    unscored: tuple[Collection[str], Collection[str]],
    collapsed: Sequence[pd.Series[float]],
) -> pd.DataFrame:
    """Return comparisons of trials with themselves; a failed or diverged trial is lost on both sides.

    Args:
        trials: Trials that are alike, also lost ones and those that have not ended.
        scores: Columns of both sides' scores.
        unscored: Of either side the finished trials whose images cannot be scored.
        collapsed: Of either side which generators collapsed.
    """
    failed = trials["status"].isin(BAD)
    first, second = (trials["trial"].isin(list(names)) for names in unscored)
    return pd.DataFrame(
        {
            "seed": trials["seed"],
            "open": is_left(trials),
            "bad_a": failed | first,
            "bad_b": failed | second,
            "collapsed_a": collapsed[0],
            "collapsed_b": collapsed[1],
            "label_a": trials["label"],
            "rest": trials["group"],
            **scores,
        }
    )


def _with_average(scored: ScoredStudy, average: ScoredStudy) -> Iterator[LevelPair]:
    """Yield G with its moving average of the same trials, setting by setting."""
    trials, tables = scored.study.compared, {"a": scored.final(), "b": average.final()}
    waiting = (trials["ema_decay"] > 0) & trials["trial"].isin(to_come(scored)["trial"])
    averaged = set(trials["label"][trials["trial"].isin(tables["b"].index) | waiting])
    for label, members in trials[trials["label"].isin(averaged)].groupby("label", sort=True):
        columns = {
            f"{metric}_{side}": members["trial"].map(table[metric])
            for metric in _compared(scored)
            for side, table in tables.items()
        }
        unscored = scored.unscored(), average.unscored()
        collapsed = [scored.study.collapsed(members["trial"], average=each) for each in (False, True)]
        yield LevelPair(str(label), "G", "EMA of G", _of_themselves(members, columns, unscored, collapsed))


def _averages(scored: ScoredStudy, average: ScoredStudy) -> int:
    """Count the settings with scores of moving averages, expected ones included, or with failures only."""
    trials = scored_so(scored, counted=True)
    expected = (trials["ema_decay"] > 0) & (trials["status"] != "done")
    return int(trials["label"][expected | trials["trial"].isin(average.final().index)].nunique())


def compared_levels(
    scored: ScoredStudy, fields: tuple[str, ...], *, apart: bool = False, counted: bool = False
) -> Iterator[LevelPair]:
    """Yield pairs of a factor's levels by recipe, with trials of equal seeds side by side.

    Args:
        scored: The study under one of its protocols.
        fields: Config fields whose common value is the level.
        apart: Whether the level is all values; recipes in which fewer than two levels are unequal ones yield nothing.
        counted: Whether settings come with them that are not compared and count as tests.
    """
    trials = scored_so(scored, counted=counted)
    by_recipe: dict[str, tuple[list[int], dict[str, Mapping[str, object]]]] = {}
    columns = (trials[name] for name in ("recipe", "group", "config", "drawn"))
    for place, (recipe, group, config, drawn) in enumerate(zip(*columns, strict=True)):
        if not set(fields) & set(drawn):  # random values are no levels
            places, settings = by_recipe.setdefault(str(recipe), ([], {}))
            places.append(place)
            settings.setdefault(group, config)  # seeds share the config
    for recipe, (places, settings) in sorted(by_recipe.items()):
        texts = {group: [_text(config[name]) for name in fields] for group, config in settings.items()}
        common = {group: each[0] for group, each in texts.items() if len(set(each)) == 1}
        level = {group: " / ".join(each) for group, each in texts.items()} if apart else common
        unequal = {level[group] for group in level if group not in common}
        if len(unequal if apart else set(level.values())) < 2:
            continue  # most factors end here, before any frame is made
        members = trials.iloc[places]
        without = (*fields, *BESIDE.get(fields, ()))
        rest = {group: setting_key(config, without) for group, config in settings.items()}
        frame = sides_of(scored, members, _compared(scored))
        frame = frame.assign(rest=members["group"].map(rest), level=members["group"].map(level))
        by_level = {str(level): side for level, side in frame.groupby("level", dropna=True)}
        levels = sorted(by_level, key=_natural)
        # Beyond MANY_LEVELS neighbours alone are compared; a level that is added must not make the others' tests fewer.
        for first, second in combinations(levels, 2) if len(levels) <= MANY_LEVELS else pairwise(levels):
            pairs = side_by_side(by_level[first], by_level[second], ["seed", "rest"])
            yield LevelPair(recipe, first, second, pairs)


def _text(value: object) -> str:
    if value is None:
        return "all"
    if isinstance(value, list):
        return f"({', '.join(f'{v:g}' for v in value)})"
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else f"{value:g}"


def _natural(level: str) -> tuple[float, str]:
    """Return a sort key for levels: numbers by size, then others, such as all training images."""
    try:
        return float(level), level
    except ValueError:
        return math.inf, level
