"""At which seeds a suite's verdicts are made: a fixed list, or looks declared before the first seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice, pairwise

LOOKS = (5, 8, 12)
"""Numbers of seeds at which a suite that declares nothing is judged."""
MARGIN = 0.1
"""Largest relative difference of the primary score that counts as none where a suite sets none."""
FEWEST = 3
"""Seeds below which no verdict is possible: no p value of two lies below 0.125."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Where a comparison stands: its last complete look, and the next.

    Attributes:
        seeds: The seeds that count: those of the last look that is complete.
        number: How many that look has, 0 before the first.
        next: How many the next one has, or None after the last.
    """

    seeds: tuple[int, ...]
    number: int
    next: int | None


@dataclass(frozen=True, kw_only=True)
class Design:
    """How many seeds a study's verdicts need, as its plan declares it.

    Attributes:
        seeds: Seeds in the order in which they count.
        looks: Numbers of seeds at which verdicts are made, increasing; one, all of them, for a fixed list.
        extended: Whether there are seeds that are not known to have been declared: then no level holds, and nothing is
            decided.
        inferred: Whether nothing was declared and it is what trials have: then every comparison is a fixed list of
            what its own trials have.
        margin: Largest relative difference of the primary score that counts as none; None claims no equivalence.
    """

    seeds: tuple[int, ...]
    looks: tuple[int, ...]
    extended: bool = False
    inferred: bool = False
    margin: float | None = None

    def __post_init__(self) -> None:
        """Check that looks grow and seeds suffice for them.

        Raises:
            ValueError: They do not.
        """
        grow = all(a < b for a, b in pairwise((0, *self.looks)))
        if not self.looks or not grow or self.looks[-1] > len(self.seeds) or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"no looks at {len(self.seeds)} different seeds: {self.looks}")

    @classmethod
    def fixed(cls, seeds: Sequence[int], margin: float | None = None) -> Design:
        """Declare a fixed list of seeds, judged when all have ended."""
        return cls(seeds=tuple(dict.fromkeys(seeds)), looks=(len(set(seeds)),), margin=margin)

    @classmethod
    def of_looks(cls, looks: Sequence[int] = LOOKS, seeds: Sequence[int] = (), margin: float | None = MARGIN) -> Design:
        """Declare looks with the first seeds in order; the others are the smallest unused numbers."""
        first = tuple(dict.fromkeys(seeds))
        others = (seed for seed in count() if seed not in first)
        return cls(seeds=(*first, *islice(others, max(0, looks[-1] - len(first)))), looks=tuple(looks), margin=margin)

    @property
    def is_fixed(self) -> bool:
        """Whether it has one look, at all of its seeds."""
        return len(self.looks) == 1

    def first(self, look: int) -> tuple[int, ...]:
        """Return the seeds of a look."""
        return self.seeds[:look]

    def look_of(self, seed: int) -> int | None:
        """Return the first look that a seed counts at; None for one that was not declared."""
        return next((look for look in self.looks if seed in self.first(look)), None)

    def at(self, ended: Collection[int]) -> Look:
        """Return the last look whose seeds have all ended; for an extended study, all ended seeds.

        Args:
            ended: Seeds of which nothing is left to train.
        """
        if self.extended:
            return Look(seeds=tuple(ended), number=len(ended), next=None)
        number = max((look for look in self.looks if set(self.first(look)) <= set(ended)), default=0)
        later = next((each for each in self.looks if each > number), None)
        return Look(seeds=self.first(number), number=number, next=later)

    def may_decide(self, look: Look) -> bool:
        """True if a test may decide at a look: levels hold for declared seeds only."""
        return look.number > 0 and not self.extended

    def is_test(self, look: Look) -> bool:
        """True if a comparison is tested at this or a later look; a list of one seed never is."""
        return self.extended or look.number > 1 or look.next is not None

    def of(self, seeds: Collection[int]) -> Design:
        """Return the design of a comparison with these seeds: a fixed list of them if nothing was declared."""
        return Design.fixed(sorted(set(seeds)), self.margin) if self.inferred and not self.extended and seeds else self

    def asked_for(self, seeds: Sequence[int]) -> Design:
        """Return the design of a first run that trains these seeds.

        Seeds of the declared list are a part of it. Others take the place of a fixed list, and come first among those
        of looks.
        """
        if set(seeds) <= set(self.seeds):
            return self
        return Design.fixed(seeds, self.margin) if self.is_fixed else Design.of_looks(self.looks, seeds, self.margin)

    def following(self, earlier: Design | None, seeds: Sequence[int]) -> Design:
        """Return the design of a study with an earlier design that now trains these seeds.

        What was declared first counts, unless nothing could be decided with its seeds.
        """
        if earlier is None or (earlier.is_fixed and len(earlier.seeds) < FEWEST and not earlier.extended):
            earlier = self
        return earlier.with_seeds(seeds)

    def with_seeds(self, seeds: Collection[int]) -> Design:
        """Return the design of a study with these seeds: extended if some were not declared."""
        return replace(self, extended=self.extended or not set(seeds) <= set(self.seeds))


UNKNOWN = Design(seeds=(0,), looks=(1,), extended=True)
"""The design of trials whose declaration was lost: nothing is decided."""
