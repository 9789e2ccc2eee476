"""Simulated studies with looks: errors, power and seeds of ``run --until decided``, as ``simulate.py`` publishes them.

A study compares pairs of settings at 5, 8 and 12 seeds, each with the levels of ``report.study.looks``, and stops when
it decides. Fixed studies of five and twelve seeds stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gan_bench.report.study.looks import FUTILE, level
from gan_bench.report.study.stats import ALPHA, coincidence, paired_test

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Sides = tuple[Array, Array, Flags | None]
"""(studies, tests, seeds) log FIDs of A and of B, and (2, studies, tests, seeds) which of the runs collapsed."""

LOOKS = (5, 8, 12)
LONG = (5, 8, 12, 18)
"""The variant for tables of nine comparisons and more."""
FAMILIES = (1, 3, 9, 13)
CHUNK = 20_000
EFFECTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Mean difference of log FID in units of its spread over seeds."""
COLLAPSE = 1.5
"""What a collapse adds to log FID."""


@dataclass(frozen=True)
class Null:
    """Two settings that do not differ, in the sense of ``kind``.

    Attributes:
        name: What they are.
        draw: Draws their log FIDs.
        kind: ``equal`` distributions, or equal ``means`` of log FID alone.
    """

    name: str
    draw: Callable[[np.random.Generator, tuple[int, int, int]], Sides]
    kind: str = "equal"


def normal(generator: np.random.Generator, shape: tuple[int, int, int]) -> Sides:
    return generator.normal(size=shape), generator.normal(size=shape), None


def shared(generator: np.random.Generator, shape: tuple[int, int, int]) -> Sides:
    """All comparisons of a table have one setting in common."""
    one = np.broadcast_to(generator.normal(size=(shape[0], 1, shape[2])), shape)
    return one, generator.normal(size=shape), None


def skewed(sigma: float) -> Callable[[np.random.Generator, tuple[int, int, int]], Sides]:
    """Log FID is log-normal itself."""

    def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> Sides:
        return np.exp(generator.normal(0, sigma, shape)), np.exp(generator.normal(0, sigma, shape)), None

    return draw


def heavy(generator: np.random.Generator, shape: tuple[int, int, int]) -> Sides:
    return generator.standard_t(3, shape), generator.standard_t(3, shape), None


def collapsing(
    first: float, second: float, noise: float, *, one_reference: bool = False
) -> Callable[[np.random.Generator, tuple[int, int, int]], Sides]:
    """Return a drawer of settings of which these shares collapse, with equal means of log FID."""

    def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> Sides:
        of_first = (shape[0], 1, shape[2]) if one_reference else shape
        a = np.broadcast_to(generator.random(of_first) < first, shape)
        b = generator.random(shape) < second
        noise_a = np.broadcast_to(generator.normal(0, noise, of_first), shape)
        noise_b = generator.normal(0, noise, shape)
        return COLLAPSE * (a - first) + noise_a, COLLAPSE * (b - second) + noise_b, np.stack([a, b])

    return draw


NULLS = [
    Null("normal", normal),
    Null("normal, one setting in all comparisons", shared),
    Null("log FID log-normal, sigma 0.5", skewed(0.5)),
    Null("log FID log-normal, sigma 1", skewed(1.0)),
    Null("Student's t, 3 degrees", heavy),
    Null("20 % collapse, noise 0.1", collapsing(0.2, 0.2, 0.1)),
    Null("50 % collapse, noise 0.1", collapsing(0.5, 0.5, 0.1)),
    Null("50 % collapse, noise 0.01", collapsing(0.5, 0.5, 0.01)),
    Null("30 % collapse, noise 0.01", collapsing(0.3, 0.3, 0.01)),
    Null("50 % collapse, one setting in all", collapsing(0.5, 0.5, 0.1, one_reference=True)),
    Null("A collapses in 20 %, B never", collapsing(0.2, 0.0, 0.1), "means"),
    Null("A collapses in 50 %, B never", collapsing(0.5, 0.0, 0.1), "means"),
]


def of_records(settings: Sequence[tuple[Array, Flags]]) -> list[Null]:
    """Return nulls whose values are those of records.

    Args:
        settings: Final log FIDs of every setting, and which of its trials collapsed.
    """

    def against_itself(chosen: list[tuple[Array, Flags]]) -> Callable[..., Sides]:
        values, flags = np.stack([v for v, _ in chosen]), np.stack([f for _, f in chosen])

        def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> Sides:
            which = generator.integers(len(chosen), size=shape[:2])[..., None]
            a, b = generator.integers(values.shape[1], size=(2, *shape))
            return values[which, a], values[which, b], np.stack([flags[which, a], flags[which, b]])

        return draw

    def clean_and_not(clean: list[tuple[Array, Flags]], other: list[tuple[Array, Flags]]) -> Callable[..., Sides]:
        def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> Sides:
            sides = []
            for chosen in (other, clean):
                values = np.stack([v - v.mean() for v, _ in chosen])
                flags = np.stack([f for _, f in chosen])
                which = generator.integers(len(chosen), size=shape[:2])[..., None]
                seeds = generator.integers(values.shape[1], size=shape)
                sides.append((values[which, seeds], flags[which, seeds]))
            return sides[0][0], sides[1][0], np.stack([sides[0][1], sides[1][1]])

        return draw

    mixed = [each for each in settings if each[1].any() and not each[1].all()]
    clean = [each for each in settings if not each[1].any()]
    found = [Null("our records: each setting against itself", against_itself(list(settings)))]
    if mixed:
        found.append(Null("our records: a collapsing one against itself", against_itself(mixed)))
    if mixed and clean:
        found.append(Null("our records: a collapsing one and a clean one", clean_and_not(clean, mixed), "means"))
    return found


def p_values(gaps: Array, looks: Sequence[int]) -> Array:
    """Return (looks, studies, tests) p values of the first seeds of every look."""
    return np.stack([paired_test(gaps[..., :look]) for look in looks])


def levels(looks: Sequence[int], tests: int) -> Array:
    """Return the level of every look for one of so many tests; -1 where no p reaches it."""
    found = np.array([level(looks, look, ALPHA / tests) for look in looks])
    return np.where(coincidence(np.array(looks)) <= found, found, -1.0)


def is_unequal(collapsed: Flags, looks: Sequence[int]) -> Flags:
    """Return (looks, studies, tests) whether the sides have collapsed in different numbers of the seeds."""
    counts = collapsed.astype(np.int16).cumsum(axis=-1)
    return np.stack([counts[0][..., look - 1] != counts[1][..., look - 1] for look in looks])


def errors(nulls: Sequence[Null], studies: int) -> Iterator[dict[str, object]]:
    """Yield how often a table has a false *decided*, at any look, as the test alone would say and as a report does."""
    for null in nulls:
        row: dict[str, object] = {"two settings without a difference": null.name, "equal in": null.kind}
        for tests in FAMILIES:
            for name, share in _errors(null, tests, studies).items():
                row[f"{name}, {tests} tests"] = share
        yield row


def _errors(null: Null, tests: int, studies: int) -> dict[str, float]:
    generator = np.random.default_rng(tests)
    hits = dict.fromkeys(("looks", "report", "looks to 18", "fixed 5", "fixed 12"), 0)
    designs = {"looks": LOOKS, "looks to 18": LONG, "fixed 5": (5,), "fixed 12": (12,)}
    for start in range(0, studies, CHUNK):
        a, b, collapsed = null.draw(generator, (min(CHUNK, studies - start), tests, LONG[-1]))
        for name, looks in designs.items():
            found = p_values(b - a, looks) <= levels(looks, tests)[:, None, None]
            hits[name] += int(found.any(axis=(0, 2)).sum())
            if name == "looks":
                withheld = found if collapsed is None else found & ~is_unequal(collapsed, looks)
                hits["report"] += int(withheld.any(axis=(0, 2)).sum())
    return {name: count / studies for name, count in hits.items()}


def power(studies: int) -> Iterator[dict[str, object]]:
    """Yield how often a difference is decided in its direction, and after how many seeds on average."""
    for tests, effect in product(FAMILIES, EFFECTS):
        generator = np.random.default_rng([tests, int(100 * effect)])
        gaps = generator.normal(effect, 1.0, (studies, LONG[-1]))
        row: dict[str, object] = {"tests": tests, "effect": f"{effect:g} sd"}
        for name, looks in (("looks", LOOKS), ("looks to 18", LONG)):
            p = p_values(gaps, looks)
            found = p <= levels(looks, tests)[:, None]
            given_up = np.stack(
                [p[i] > FUTILE[i] if i < len(FUTILE) else np.zeros(studies, bool) for i in range(len(p))]
            )
            for stop, ended in (("", found), (" with the stop", found | given_up)):
                at = np.where(ended.any(axis=0), ended.argmax(axis=0), len(looks) - 1)
                row[f"{name}{stop}: decided"] = float(found[at, np.arange(studies)].mean())
                row[f"{name}{stop}: seeds"] = float(np.array(looks)[at].mean())
            row[f"{name}: decided at 5"] = float(found[0].mean())
        for n in (5, 12):
            row[f"fixed {n}: decided"] = float((p_values(gaps, (n,))[0] <= levels((n,), tests)[0]).mean())
        yield row


def peeking(studies: int) -> Iterator[dict[str, object]]:
    """Yield how often a study without a difference is decided by whoever looks again at 0.05."""
    gaps = np.random.default_rng(0).normal(size=(studies, 15))
    for name, looks in (
        ("5 seeds", (5,)),
        ("5, then 9", (5, 9)),
        ("5, 9, then 13", (5, 9, 13)),
        ("5, 8, then 12", LOOKS),
        ("every seed from 5 to 15", tuple(range(5, 16))),
    ):
        yield {"looks at 0.05": name, "decided": float((p_values(gaps, looks) <= ALPHA).any(axis=0).mean())}


def estimates(studies: int) -> Iterator[dict[str, object]]:
    """Yield what studies that decide at a look say of a true effect, and how often intervals at their stop hold it."""
    for effect in EFFECTS[2:]:
        gaps = np.random.default_rng(int(100 * effect)).normal(effect, 1.0, (studies, LOOKS[-1]))
        found = p_values(gaps, LOOKS) <= levels(LOOKS, 1)[:, None]
        at = np.where(found.any(axis=0), found.argmax(axis=0), len(LOOKS) - 1)
        row: dict[str, object] = {"true effect": f"{effect:g} sd"}
        holds: dict[str, list[Array]] = {"naive": [], "repeated": []}
        for i, look in enumerate(LOOKS):
            seen = gaps[:, :look]
            mean, error = seen.mean(axis=1), seen.std(axis=1, ddof=1) / np.sqrt(look)
            row[f"mean when decided at {look}"] = f"{mean[found[i] & (at == i)].mean():.2f} sd"
            for name, nominal in (("naive", ALPHA), ("repeated", level(LOOKS, look))):
                reach = special.stdtrit(look - 1, 1 - nominal / 2) * error
                holds[name].append(np.abs(mean - effect) <= reach)
        for name, each in holds.items():
            row[f"{name} interval at the stop holds"] = float(np.stack(each)[at, np.arange(studies)].mean())
        yield row


def equivalence(studies: int) -> Iterator[dict[str, object]]:
    """Yield how often twelve seeds show that two settings differ by less than 10 %."""
    margin = np.log1p(0.1)
    for tests, spread in product(FAMILIES, (0.05, 0.1, 0.15, 0.2, 0.3)):
        row: dict[str, object] = {"tests": tests, "spread of log ratios": f"{spread:g}"}
        nominal = level(LOOKS, LOOKS[-1], ALPHA / tests)
        for name, gap in (("equal", 0.0), ("ratio 1.05", np.log(1.05)), ("ratio 1.1", margin)):
            gaps = np.random.default_rng([tests, int(1000 * spread)]).normal(gap, spread, (studies, LOOKS[-1]))
            row[name] = float((margin_p(gaps, margin) <= nominal).mean())
        yield row


def margin_p(gaps: Array, margin: float) -> Array:
    """Return the larger p of two one-sided t tests that the mean lies within a margin."""
    n = gaps.shape[-1]
    error = gaps.std(axis=-1, ddof=1) / np.sqrt(n)
    found: Array = special.stdtr(n - 1, (np.abs(gaps.mean(axis=-1)) - margin) / error)
    return np.maximum(found, coincidence(n))


def both_claims(studies: int) -> Iterator[dict[str, object]]:
    """Yield how often a table of nine has a false claim of either kind: one equal pair, eight just at the margin."""
    margin, looks, tests = np.log1p(0.1), LOOKS, 9
    for spread in (0.02, 0.05):
        generator, false = np.random.default_rng(int(1000 * spread)), {"Holm's steps": 0, "times their number": 0}
        truth = np.array([0.0, *[margin] * (tests - 1)])
        for start in range(0, studies, CHUNK):
            gaps = generator.normal(truth[:, None], spread, (min(CHUNK, studies - start), tests, looks[-1]))
            equivalent = margin_p(gaps, margin) <= level(looks, looks[-1], ALPHA / tests)
            p = p_values(gaps, looks)
            for name, steps in (("Holm's steps", True), ("times their number", False)):
                different = np.zeros(gaps.shape[:2], dtype=bool)
                for i, look in enumerate(looks):
                    different |= _rejected(p[i], look, tests, steps=steps)
                false[name] += int((different[:, 0] | equivalent[:, 1:].any(axis=1)).sum())
        yield {"spread": f"{spread:g}", **{name: count / studies for name, count in false.items()}}


def _rejected(p: Array, look: int, tests: int, *, steps: bool) -> Flags:
    """Return which of (studies, tests) p values of a look are decided, with Holm's steps or without."""
    bounds = np.array([level(LOOKS, look, ALPHA / (tests - i if steps else tests)) for i in range(tests)])
    order = np.argsort(p, axis=1)
    passed = np.cumprod(np.take_along_axis(p, order, axis=1) <= bounds, axis=1).astype(bool)
    found = np.zeros_like(passed)
    np.put_along_axis(found, order, passed, axis=1)
    return found
