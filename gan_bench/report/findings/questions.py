"""What a study asks, and how far each question is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gan_bench.report.findings.factors import WITHIN, factors_of
from gan_bench.report.findings.standings import standings
from gan_bench.report.study.study import ScoredStudy, Study

WORDS = ("decided", "equivalent", "tie", "undecided", "not judged")
"""States of questions, in the order in which they are counted."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Something that a study compares.

    Attributes:
        text: What is asked.
        state: One of ``WORDS``.
        next: The look that may answer it, or None where no look will.
        settings: Group keys of the settings that it takes.
    """

    text: str
    state: str
    next: int | None
    settings: frozenset[str]


def questions(study: Study) -> Iterator[Question]:
    """Yield what a study asks under all of its protocols that new seeds will have."""
    for scored in study.scored:
        if not scored.added:
            yield from questions_of(scored)


def questions_of(scored: ScoredStudy) -> Iterator[Question]:
    """Yield every two levels of a factor in every recipe, and every rival of the best setting.

    Epochs and moving averages are compared within trials, and settings with other values held are details of a factor:
    they ask for no seeds of their own.
    """
    group = {label: key for key, label in scored.study.values.labels.items()}
    for factor in factors_of(scored):
        for pair in () if factor.held or factor.name in WITHIN else factor.primary:
            yield Question(
                text=f"{factor.name}, {pair.recipe}: {pair.first_level} or {pair.second_level}",
                state=pair.found,
                next=pair.following,
                settings=frozenset(group[label] for label in pair.settings),
            )
    found = standings(scored)
    for each in (*found.of("behind"), *found.of("tied", "ahead"), *found.of("unequal"), *found.of("unknown")):
        best, verdict = found.ranked[0].label, each.against.found if each.against else "not judged"
        yield Question(
            text=f"best setting: {best} or {each.label}",
            state="undecided" if verdict == "probable" else verdict,  # it may not be decided
            next=each.next,
            settings=frozenset((group[best], group[each.label])),
        )


def counted(asked: Iterable[Question]) -> str:
    """Count questions by state: ``3 decided, 2 undecided``."""
    found = Counter(each.state for each in asked)
    return ", ".join(f"{found[word]} {word}" for word in WORDS if found[word])
