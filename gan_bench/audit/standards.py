"""Tolerances: how far an honest record may differ from the auditor's machine. Pure functions; measured constants.

``benchmarks/audit/drift.py`` measures how far the first steps of the same trial drift apart between machines, and
``benchmarks/audit/forgeries.py`` how often honest records are called wrong and forged ones are found; the results are
in ``results/published/audit``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from gan_bench.config.measures import COLLAPSED, MEASURES, measures_with
from gan_bench.records.schema import STATISTICS, EnvironmentFile, RecordFile, ScoreLine, Statistics
from gan_bench.training.group.ways import ALONE

Noise = Literal["same", "other"]
"""Whether the audited machine and the auditor's draw the same random numbers, as those of one kind of device do."""

ROUNDING: tuple[tuple[int, float], ...] = (
    (1, 1.5e-4), (2, 1e-3), (5, 8e-3), (10, 0.035), (20, 0.32), (50, 6.4), (400, 7.1)
)  # fmt: skip
"""Largest difference up to a step that machines with the same noise were seen to come to, doubled; see ``apart``."""
OTHER_NOISE: tuple[tuple[int, float], ...] = ((400, 8.2),)
"""The same of a CPU against a GPU, which begin with the same weights and order of images, and draw other noise: 4.06
was seen."""
OWN_DRIFT = 30.0
"""How many times further an honest machine may lie than the same training from perturbed weights comes to here. Of 20
trainings of fully connected networks at 100 and 200 steps, another instruction set came to 8.8 times at most, and to
0.2 times in the median; how far the two engines lie apart says nothing of it
(``results/published/audit/perturbed.csv``)."""
OWN_LEAST = 1e-3
"""Drift below which nothing is told apart: a unit that one machine switches on and another off makes a leap, which
trainings from perturbed weights need not show. 6e-5 was seen; other seeds lie at least 0.035 apart."""
GROWN = 1e4
"""Size of a loss or an output of D beyond which steps of a trial that diverged are not compared: what grows without
bound takes its rounding along, and ends as infinity a step earlier or later."""
FURTHER_LEVEL = 0.05
"""Chance that further seeds of an honest setting lie outside: that makes a setting doubtful, and no more."""
REPEATED_LEVEL = 0.01
"""The same of a trial that is trained again on a machine that rounds otherwise."""
SCORING_LEVEL = 1e-4
"""Chance that a score of honest weights, taken with other noise, lies outside."""
ROUNDED = 0.005
"""Relative difference of a score that rounding makes with the same noise; of a share or a count absolute."""
EXACT = 1e-4
"""Relative difference of a score of bit-identical trainings."""
SPREAD = 0.05
"""The same of the spread over draws with the same noise, beside the rounding of the value itself."""
COUNTS = {"classes": 1.0, COLLAPSED: 0.5}
"""Differences of counts: an image on the edge of a class may be one of another."""
DRAWS = 8
"""Evaluations with noise of their own, where that of the record cannot be drawn again."""
FEW = 3
"""Fewest seeds that have a spread to compare with."""


def noise_between(before: EnvironmentFile, device_type: str) -> Noise:
    """Return whether this machine draws the same noise as the record's; CPUs and GPUs differ."""
    return "same" if str(before.get("device", "cpu")).partition(":")[0] == device_type else "other"


def lone_way(record: RecordFile) -> str:
    """Return how a lone trial computes the steps of a record; earlier versions had one way only."""
    way = record.get("way", ALONE)
    return way if way.startswith(ALONE) else ALONE


def apart(before: Statistics, now: Statistics, *, probabilities: bool) -> float:
    """Return the largest difference of the four statistics, relative to their size if that is unbounded.

    Losses are divided by 1 + their size, and outputs of D that are no probabilities by theirs where it is above 1: that
    of the smaller of the two values, so that no record makes a difference small by what it says. Losses of such outputs
    may be small differences of large ones, by whose size they are divided then. Infinite where one value is no number
    and the other is.

    Args:
        before: Those of the record.
        now: Those of the auditor.
        probabilities: Whether D's outputs are probabilities, which are compared as they are.
    """
    sizes = {name: min(abs(before[name] or 0.0), abs(now[name] or 0.0)) for name in STATISTICS}
    outputs = 1.0 if probabilities else max(1.0, sizes["d_real"], sizes["d_fake"])
    found = 0.0
    for name, size in sizes.items():
        a, b = before[name], now[name]
        if a is None or b is None:
            found = found if a is b else math.inf
        else:
            scale = max(1 + size, outputs) if name.startswith("loss") else min(max(1.0, size), outputs)
            found = max(found, abs(a - b) / scale)
    return found


def has_grown(line: Statistics) -> bool:
    """True if a statistic is not finite, or larger than in any training that converges."""
    return any(value is None or abs(value) > GROWN for value in (line[name] for name in STATISTICS))


def drift(step: int, noise: Noise, own: float | None = None) -> float | None:
    """Return how far honest machines may differ at a step, or None beyond the measured steps.

    Args:
        step: Update steps done.
        noise: Whether they draw the same noise.
        own: How far trainings of the same trial from perturbed weights lie apart up to there; None where none was made.
    """
    table = ROUNDING if noise == "same" else OTHER_NOISE
    bound = next((bound for last, bound in table if step <= last), None)
    if bound is None or noise == "other" or own is None:
        return bound
    return min(bound, max(OWN_DRIFT * own, OWN_LEAST))


@dataclass(frozen=True)
class ScoreGap:
    """The difference of a recorded score and the auditor's.

    Attributes:
        name: The score.
        before: The record's value.
        now: The auditor's.
        share: Their difference as a share of what is allowed; above 1 is too far.
    """

    name: str
    before: float
    now: float
    share: float


def judged_metrics(noise: Noise) -> frozenset[str]:
    """Return the metrics that are compared; with other noise not those of training health, which are small counts."""
    return frozenset(MEASURES) if noise == "same" else frozenset(measures_with("quality"))


def score_gaps(
    before: Iterable[ScoreLine], now: Iterable[ScoreLine], noise: Noise, *, exact: bool = False
) -> list[ScoreGap]:
    """Compare the scores that both sides have, the largest difference first.

    Args:
        before: Those of the record.
        now: Those of the auditor; with other noise each needs ``draw_std``, the spread over ``DRAWS`` evaluations.
        noise: Whether they were taken with the same noise.
        exact: Whether they are of trainings that are the same to the bit, which rounding moves no more.
    """
    judged = judged_metrics(noise)
    known = {score["name"]: score["value"] for score in before if score["metric"] in judged}
    found = []
    for score in now:
        old, new = known.get(score["name"]), score["value"]
        if old is None or new is None:
            continue
        gap = abs(old - new)
        allowed = _exactly(score, new) if exact else _allowed(score, new, noise)
        found.append(ScoreGap(score["name"], old, new, gap / allowed if gap else 0.0))
    return sorted(found, key=lambda gap: -gap.share)


def _allowed(score: ScoreLine, value: float, noise: Noise) -> float:
    measure = MEASURES[score["metric"]]
    if score["metric"] in COUNTS:
        return COUNTS[score["metric"]]
    scale = abs(value) if measure.log_scale or measure.bounds[1] is None else 1.0
    rounded = ROUNDED * scale + 1e-4
    if noise == "same":
        return rounded
    quantile = float(special.stdtrit(DRAWS - 1, 1 - SCORING_LEVEL / 2))
    return rounded + quantile * math.sqrt(2) * (score.get("draw_std") or 0.0)


def _exactly(score: ScoreLine, value: float) -> float:
    """Return the difference that rounding alone may cause, as of an image at a decision boundary."""
    if score["metric"] in COUNTS:
        return 0.5
    measure = MEASURES[score["metric"]]
    if measure.log_scale or (measure.bounds[1] is None and score["metric"] != "density"):
        return EXACT * abs(value) + EXACT**2
    return 1.5 / max(min(score["real"], score["generated"]), 1)  # recall and coverage are shares of the real ones


@dataclass(frozen=True)
class Expected:
    """Where values of further seeds are expected.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """True if a value lies inside."""
        return self.low <= value <= self.high


def further(values: Sequence[float], count: int = 1) -> Expected | None:
    """Return the prediction interval for the mean of further seeds, in logarithms; exact for log-normal scores.

    Hahn and Meeker (1991), section 4.4: mean +- t * sd * sqrt(1 / count + 1 / n). Its geometric mean is returned.

    Args:
        values: Positive final scores of the seeds that were published.
        count: Further seeds.

    Returns:
        None for fewer than ``FEW`` values or values that are not positive.
    """
    if len(values) < FEW or min(values) <= 0:
        return None
    mean = math.exp(float(np.log(values).mean()))
    return _around(mean, values, FURTHER_LEVEL, math.sqrt(1 / count + 1 / len(values)))


def repetition(value: float, values: Sequence[float], level: float = REPEATED_LEVEL) -> Expected | None:
    """Return the interval for the same seed on a machine that rounds differently.

    Late training amplifies rounding: the two are taken to lie no further apart than two seeds of the setting,
    t * sd * sqrt(2) of logarithms.

    Args:
        value: The record's final score.
        values: Those of all published seeds of its setting, its own included.
        level: Chance that an honest one lies outside.
    """
    if len(values) < FEW or min(values) <= 0 or value <= 0:
        return None
    return _around(value, values, level, math.sqrt(2))


def _around(value: float, values: Sequence[float], level: float, deviations: float) -> Expected:
    """Return the interval around a value by Student's t of the logarithms of values, in standard deviations of them."""
    sd = float(np.log(values).std(ddof=1))
    half = float(special.stdtrit(len(values) - 1, 1 - level / 2)) * sd * deviations
    return Expected(value * math.exp(-half), value * math.exp(half))
