"""What a study asks, and which of it another look may answer: what ``run --until decided`` gives seeds to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gan_bench.report.findings.factors import AVERAGE_FACTOR, EPOCHS, factors_of
from gan_bench.report.findings.leaders import leaders
from gan_bench.report.study.study import Scored, Study

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
    """Yield what a study asks: every two levels of a factor in every recipe, and every rival of the best setting.

    Epochs and moving averages are compared within trials, and settings with other values held are details of a factor:
    they ask for no seeds of their own.
    """
    group = {label: key for key, label in study.values.labels.items()}
    for scored in (each for each in study.scored if each.protocol not in study.added):  # new seeds will not have them
        yield from _of_factors(scored, group)
        yield from _of_the_best(scored, group)


def _of_factors(scored: Scored, group: dict[str, str]) -> Iterator[Question]:
    for factor in factors_of(scored):
        if factor.held or factor.name in (EPOCHS, AVERAGE_FACTOR):
            continue
        for each in factor.primary:
            yield Question(
                text=f"{factor.name}, {each.recipe}: {each.first_level} or {each.second_level}",
                state=each.found,
                next=each.next if each.open else None,
                settings=frozenset(group[label] for label in each.settings),
            )


def _of_the_best(scored: Scored, group: dict[str, str]) -> Iterator[Question]:
    found = leaders(scored)
    if found is None:
        return
    states = dict.fromkeys(found.behind, "decided") | dict.fromkeys(found.unknown, "not judged")
    for label in (*found.behind, *found.tied, *found.unequal, *found.unknown):
        yield Question(
            text=f"best setting: {found.best} or {label}",
            state=states.get(label, "undecided"),
            next=found.open.get(label),
            settings=frozenset((group[found.best], group[label])),
        )


def counted(asked: Iterable[Question]) -> str:
    """Count questions by state: ``3 decided, 2 undecided``."""
    found = Counter(each.state for each in asked)
    return ", ".join(f"{found[word]} {word}" for word in WORDS if found[word])
