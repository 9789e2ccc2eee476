"""The measures by name: what they are, which way is better, what computes them, and where they are shown.

A measure is registered here and nowhere else. Tables, plots, comparisons, the terminal and the MLflow views take what
they show from the roles, in the order of registration; the evaluator resolves the class when it first scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from gan_bench.core.registry import Registry
from gan_bench.core.text import printable

Role = Literal["primary", "compared", "trial", "quality", "health", "summary"]
"""Where a measure is shown.

``primary``: ranks settings and is plotted; exactly one measure, and lower must be better.
``compared``: factor tables, and the comparison of two results folders; only the primary measure's are tests of a
family, the others are exploratory.
``trial``: the table of trials.
``quality``: the table of settings.
``health``: the table of modes, memorisation and the state of the game.
``summary``: the terminal's line about an evaluation, and the columns of the MLflow views.
"""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A way to score generated images.

    Attributes:
        title: What tables call it.
        lower_is_better: Whether smaller is better.
        description: One sentence.
        bounds: The least and the greatest value it can take, None where there is none; intervals end there.
        log_scale: Whether ratios of its values are what readers compare, so that tests and intervals of differences
            are taken of logarithms; its values are positive.
        metric: The class that computes it, a ``gan_bench.metrics.measures.base.FeatureMetric``, as ``module:Class``;
            one class may give several measures. Empty where only its scores are at hand, in records.
        roles: Where it is shown.
    """

    title: str
    lower_is_better: bool
    description: str
    metric: str
    roles: frozenset[Role] = frozenset()
    log_scale: bool = False
    bounds: tuple[float | None, float | None] = (None, None)

    def to_json(self) -> dict[str, Any]:
        """Return what reports must know of the measure as a JSON-able dict."""
        return {**asdict(self), "roles": sorted(self.roles), "bounds": list(self.bounds), "metric": ""}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Measure:
        """Build the measure that ``to_json`` described; none from a file ranks settings."""
        roles = frozenset(role for role in get_args(Role) if role in plain["roles"] and role != "primary")
        texts = {name: printable(plain[name]) for name in ("title", "description")}
        return cls(**{**plain, **texts, "roles": roles, "bounds": tuple(plain["bounds"]), "metric": ""})


COLUMNS = frozenset(
    {
        *("rank", "setting", "recipe", "epochs", "seeds", "remarks", "median", "best", "tied", "baseline", "planned"),
        *("done", "bad", "trial", "seed", "status", "group", "label", "name", "reason", "epoch", "value", "metric"),
        *("protocol", "sd_seeds", "sd_draws", "train_seconds", "evaluate_seconds", "collapses", "saturated"),
        *("loss_d", "loss_g", "d_real", "d_fake", "gap", "at", "final"),
    }
)
"""Columns of tables that are no measures; no measure can have such a name."""
MEASURES: Registry[Measure] = Registry(
    "measure",
    "measures",
    Measure,
    all_count=True,
    also=lambda measure: str(getattr(measure, "metric", "")).partition(":")[0] or None,
)


def measures_with(role: Role) -> tuple[str, ...]:
    """Return the names of the measures with a role, in the order of their registration."""
    return tuple(name for name, measure in MEASURES.items() if role in measure.roles)


def primary_measure() -> str:
    """Return the name of the measure that ranks settings.

    Raises:
        ValueError: None has that role, or several have.
    """
    (name,) = measures_with("primary")
    return name


_SUMS = "gan_bench.metrics.measures.sums"
_SAMPLED = "gan_bench.metrics.measures.sampled"

MEASURES.register(
    "fid",
    Measure(
        title="FID",
        lower_is_better=True,
        description="Fréchet distance of Gaussians fitted to features",
        metric=f"{_SUMS}:FrechetDistance",
        roles=frozenset({"primary", "compared", "trial", "quality", "summary"}),
        log_scale=True,
        bounds=(0, None),
    ),
)
MEASURES.register(
    "fid_inf",
    Measure(
        title="FID∞",
        lower_is_better=True,
        description="FID extrapolated to infinitely many samples",
        metric=f"{_SAMPLED}:FrechetDistanceAtInfinity",
        roles=frozenset({"quality"}),
    ),
)
MEASURES.register(
    "kid",
    Measure(
        title="KID",
        lower_is_better=True,
        description="unbiased kernel distance, with its standard error",
        metric=f"{_SAMPLED}:KernelDistance",
        roles=frozenset({"compared", "quality", "summary"}),
    ),
)
MEASURES.register(
    "is",
    Measure(
        title="IS",
        lower_is_better=False,
        description="inception score over ten splits, with their standard deviation",
        metric=f"{_SUMS}:InceptionScore",
        roles=frozenset({"compared", "trial", "quality", "summary"}),
        bounds=(1, None),
    ),
)
MEASURES.register(
    "precision",
    Measure(
        title="precision",
        lower_is_better=False,
        description="share of generated images among the real ones",
        metric=f"{_SAMPLED}:PrecisionRecall",
        roles=frozenset({"quality", "summary"}),
        bounds=(0, 1),
    ),
)
MEASURES.register(
    "recall",
    Measure(
        title="recall",
        lower_is_better=False,
        description="share of real images among the generated ones",
        metric=f"{_SAMPLED}:PrecisionRecall",
        roles=frozenset({"quality", "summary"}),
        bounds=(0, 1),
    ),
)
MEASURES.register(
    "classes",
    Measure(
        title="classes",
        lower_is_better=False,
        description="classes that appear at least a tenth as often as among real images",
        metric=f"{_SUMS}:ClassHistogram",
        roles=frozenset({"health", "summary"}),
        bounds=(0, None),
    ),
)
MEASURES.register(
    "class_kl",
    Measure(
        title="class KL",
        lower_is_better=True,
        description="divergence of the class histogram from the real one, in nats",
        metric=f"{_SUMS}:ClassHistogram",
        roles=frozenset({"health"}),
        bounds=(0, None),
    ),
)
MEASURES.register(
    "copies",
    Measure(
        title="copies",
        lower_is_better=True,
        description="share closer to a training image than 99 % of held-out images are",
        metric=f"{_SAMPLED}:PrecisionRecall",
        roles=frozenset({"health"}),
        bounds=(0, 1),
    ),
)
MEASURES.register(
    "collapsed",
    Measure(
        title="collapsed",
        lower_is_better=True,
        description="1 when half of the classes or fewer appear, or one class holds over half",
        metric=f"{_SUMS}:ClassHistogram",
        roles=frozenset({"health"}),
        bounds=(0, 1),
    ),
)
MEASURES.close_shipped()
