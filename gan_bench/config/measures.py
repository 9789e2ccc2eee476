"""The measures by name: description, direction, implementation, and where they are shown.

A measure is registered here and nowhere else. Tables, plots, comparisons, the terminal and the MLflow views take what
they show from the roles, in the order of registration; the evaluator resolves the class when it first scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from gan_bench.core.registry import Registry
from gan_bench.core.text import printable

COLLAPSED = "collapsed"
"""The measure that is 1 or 0; tables count it."""

COPIES = "copies"
"""The only measure of a generator that depends on held-out images."""

Role = Literal["primary", "compared", "trial", "quality", "health", "summary"]
"""Where a measure is shown.

``primary``: ranks settings and is plotted; exactly one measure, and lower must be better.
``compared``: factor tables; only the primary measure's are tests of a family, the others are exploratory.
``trial``: the table of trials.
``quality``: the table of settings; an audit judges it under other noise as well.
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
        explanation: Formula, source, and how to read it, for ``gan-bench show`` and the documentation.
        extractors: How the names of the extractors begin that it is given under, or None for any.
        sees: What it is made of: ``features``; ``logits``, which not every extractor gives; or ``classes``, which the
            extractor that knows the dataset's classes gives alone.
    """

    title: str
    lower_is_better: bool
    description: str
    metric: str
    roles: frozenset[Role] = frozenset()
    log_scale: bool = False
    bounds: tuple[float | None, float | None] = (None, None)
    explanation: str = ""
    extractors: str | None = None
    sees: Literal["features", "logits", "classes"] = "features"

    def is_for(self, extractor: str) -> bool:
        """True if the measure may be given under an extractor of this name."""
        return extractor.startswith(self.extractors or "")

    def __post_init__(self) -> None:
        """Make texts from other packages and files safe to display."""
        for name in ("title", "description"):
            if isinstance(text := getattr(self, name), str):
                object.__setattr__(self, name, printable(text))

    def to_json(self) -> dict[str, object]:
        """Return what reports need of the measure as a JSON-able dict."""
        plain = {**asdict(self), "roles": sorted(self.roles), "bounds": list(self.bounds), "metric": ""}
        for name in ("explanation", "extractors", "sees"):  # reports do not show them
            del plain[name]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Measure:
        """Build the measure that ``to_json`` described; none from a file ranks settings."""
        roles = frozenset(role for role in get_args(Role) if role in plain["roles"] and role != "primary")
        return cls(**{**plain, "roles": roles, "bounds": tuple(plain["bounds"]), "metric": ""})


COLUMNS = frozenset(
    {
        *(
            "rank",
            "setting",
            "recipe",
            "epochs",
            "seeds",
            "remarks",
            "median",
            "best",
            "rank_status",
            "baseline",
            "planned",
        ),
        *("done", "bad", "trial", "seed", "status", "group", "label", "name", "reason", "epoch", "value", "metric"),
        *("protocol", "sd_seeds", "sd_draws", "train_seconds", "evaluate_seconds", "collapses", "saturated"),
        *("loss_d", "loss_g", "d_real", "d_fake", "gap", "at", "final"),
    }
)
"""Columns of tables that are not measures; measures cannot have these names."""
LARGEST = 1e100
"""Greatest bound of a measure."""


def _refusal(measure: Measure) -> str | None:
    """Return why a third-party measure cannot be one, or None."""
    if "primary" in measure.roles:
        return "the role primary is of the measure that ranks settings, which gan_bench ships; leave it out"
    if any(end is not None and not -LARGEST <= end <= LARGEST for end in measure.bounds):
        return f"its bounds must lie between -{LARGEST:g} and {LARGEST:g}, or be None"
    return None


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


_SHIPPED = "gan_bench.metrics.measures.shipped"
_MEASURES = {
    "fid": Measure(
        title="FID",
        lower_is_better=True,
        description="Fréchet distance of Gaussians fitted to features",
        metric=f"{_SHIPPED}:FrechetDistance",
        roles=frozenset({"primary", "compared", "trial", "quality", "summary"}),
        log_scale=True,
        bounds=(0, None),
        explanation=(
            "|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) of Gaussians fitted to features of real and of generated "
            "images (Heusel et al. 2017). It is 0 for equal Gaussians, grows as images become fewer, and has "
            "a meaning only with its extractor, reference split and number of images."
        ),
    ),
    "fid_inf": Measure(
        title="FID∞",
        lower_is_better=True,
        description="FID extrapolated to infinitely many samples",
        metric=f"{_SHIPPED}:FrechetDistanceAtInfinity",
        roles=frozenset({"quality"}),
        explanation=(
            "FID over subsets of growing size, fitted by a line in 1/N and read at 1/N = 0 (Chong & Forsyth "
            "2020): without the bias of few images, so that it can fall below 0 by chance."
        ),
    ),
    "kid": Measure(
        title="KID",
        lower_is_better=True,
        description="unbiased kernel distance, with its standard error",
        metric=f"{_SHIPPED}:KernelDistance",
        roles=frozenset({"compared", "quality", "summary"}),
        explanation=(
            "Unbiased squared maximum mean discrepancy with the kernel (x·y / d + 1)³, the mean over "
            "disjoint blocks of features (Bińkowski et al. 2018). Around 0 for images like real ones, where "
            "it may be negative."
        ),
    ),
    "is": Measure(
        title="IS",
        lower_is_better=False,
        description="inception score over ten splits, with their standard deviation",
        sees="logits",
        metric=f"{_SHIPPED}:InceptionScore",
        roles=frozenset({"compared", "trial", "quality", "summary"}),
        bounds=(1, None),
        explanation=(
            "exp of the mean KL divergence of the extractor's class probabilities of an image from their "
            "mean over all images (Salimans et al. 2016): from 1 to the number of classes. High when every "
            "image is clearly of a class and all classes appear; it does not look at real images."
        ),
    ),
    "precision": Measure(
        title="precision",
        lower_is_better=False,
        description="share of generated images among the real ones",
        metric=f"{_SHIPPED}:PrecisionRecall",
        roles=frozenset({"quality", "summary"}),
        bounds=(0, 1),
        explanation=(
            "Share of generated images whose features lie within the distance of some real image to its "
            "third-nearest other real image (Kynkäänniemi et al. 2019). A collapsed generator can have the "
            "highest."
        ),
    ),
    "recall": Measure(
        title="recall",
        lower_is_better=False,
        description="share of real images among the generated ones",
        metric=f"{_SHIPPED}:PrecisionRecall",
        roles=frozenset({"quality", "summary"}),
        bounds=(0, 1),
        explanation=(
            "Share of real images whose features lie within the distance of some generated image to its "
            "third-nearest other generated image (Kynkäänniemi et al. 2019): 0 when variety is missing."
        ),
    ),
    "density": Measure(
        title="density",
        lower_is_better=False,
        description="real images that a generated one is among, over those expected",
        metric=f"{_SHIPPED}:PrecisionRecall",
        roles=frozenset({"quality"}),
        bounds=(0, None),
        explanation=(
            "Mean number of real images within whose distance to their fifth-nearest other real image a generated "
            "image lies, divided by five (Naeem et al. 2020): about 1 for real images, above 1 where generated ones "
            "crowd where real ones are dense. Unlike precision it does not rise by a single outlier."
        ),
    ),
    "coverage": Measure(
        title="coverage",
        lower_is_better=False,
        description="share of real images with a generated one among their neighbours",
        metric=f"{_SHIPPED}:PrecisionRecall",
        roles=frozenset({"quality"}),
        bounds=(0, 1),
        explanation=(
            "Share of real images that have a generated image within the distance to their fifth-nearest other real "
            "image (Naeem et al. 2020): 1 - 2^-5 = 0.97 for as many real images, 0 when variety is missing. It grows "
            "with the number of generated images."
        ),
    ),
    "sw2": Measure(
        title="SW₂²",
        lower_is_better=True,
        description="sliced Wasserstein distance of features",
        metric=f"{_SHIPPED}:SlicedWasserstein",
        roles=frozenset({"quality"}),
        log_scale=True,
        bounds=(0, None),
        explanation=(
            "Squared 2-Wasserstein distance of features projected onto a line, the mean over 256 random directions "
            "(Bonneel et al. 2015). It compares whole distributions where FID compares means and covariances; its "
            "unit is the square of a feature's."
        ),
    ),
    "fd_dinov2": Measure(
        title="FD-DINOv2",
        lower_is_better=True,
        description="Fréchet distance of DINOv2 features",
        metric=f"{_SHIPPED}:FrechetDistanceDinoV2",
        roles=frozenset({"quality"}),
        log_scale=True,
        bounds=(0, None),
        extractors="dinov2-",
        explanation=(
            "The formula of FID with features of DINOv2 (Stein et al. 2023, who propose ViT-L/14 and find it closer to "
            "people's judgement than Inception's). Given under DINOv2 alone, where `fid` is the same number."
        ),
    ),
    "clip_mmd": Measure(
        title="CLIP MMD",
        lower_is_better=True,
        description="maximum mean discrepancy of CLIP features, times 1,000",
        metric=f"{_SHIPPED}:ClipDistance",
        roles=frozenset({"quality"}),
        extractors="clip-",
        explanation=(
            "1,000 times the squared maximum mean discrepancy of CLIP features of unit length under a Gaussian kernel "
            "of width 10, without bias: it can fall below 0 by chance. Kernel and scale are those of CMMD (Jayasumana "
            "et al. 2024), which takes ViT-L/14 at 336 pixels and a biased estimate: another number and name."
        ),
    ),
    "classes": Measure(
        title="classes",
        lower_is_better=False,
        description="classes that appear at least a tenth as often as among real images",
        sees="classes",
        metric=f"{_SHIPPED}:ClassHistogram",
        roles=frozenset({"health", "summary"}),
        bounds=(0, None),
        explanation=("The extractor predicts a class for every image. 10 on MNIST when every digit appears."),
    ),
    "class_kl": Measure(
        title="class KL",
        lower_is_better=True,
        description="divergence of the class histogram from the real one, in nats",
        sees="classes",
        metric=f"{_SHIPPED}:ClassHistogram",
        roles=frozenset({"health"}),
        bounds=(0, None),
        explanation=(
            "KL divergence of the histogram of predicted classes from that of real images: 0 when classes "
            "appear as often as in the data."
        ),
    ),
    COPIES: Measure(
        title="copies",
        lower_is_better=True,
        description="share closer to a training image than 99 % of held-out images are",
        metric=f"{_SHIPPED}:PrecisionRecall",
        roles=frozenset({"health"}),
        bounds=(0, 1),
        explanation=(
            "Share of generated images whose nearest training image is nearer than that of 99 % of held-out "
            "images: about 0.01 for real images, more when a generator memorises."
        ),
    ),
    "authentic": Measure(
        title="authentic",
        lower_is_better=False,
        description="share farther from its nearest training image than that is from its nearest other",
        metric=f"{_SHIPPED}:PrecisionRecall",
        roles=frozenset({"health"}),
        bounds=(0, 1),
        explanation=(
            "Share of generated images that are farther from their nearest training image than that image is from the "
            "training image nearest to it (AuthPct, Alaa et al. 2022). Held-out real images give what is normal, in "
            "the row of real data; less is memorising. A generator of nothing but noise has 1."
        ),
    ),
    COLLAPSED: Measure(
        title="collapsed",
        lower_is_better=True,
        description="1 when half of the classes or fewer appear, or one class holds over half",
        sees="classes",
        metric=f"{_SHIPPED}:ClassHistogram",
        roles=frozenset({"health"}),
        bounds=(0, 1),
        explanation=("A coarse alarm for mode collapse, counted over seeds in tables."),
    ),
}
MEASURES: Registry[Measure] = Registry(
    "measure",
    "measures",
    Measure,
    _MEASURES,
    all_count=True,
    also=lambda measure: str(getattr(measure, "metric", "")).partition(":")[0] or None,
    reserved=COLUMNS,
    in_scores=True,
    refuse=_refusal,
)
