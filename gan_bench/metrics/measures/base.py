"""What every metric is given and gives, and how the registered ones come together."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import ClassVar, NamedTuple

from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from gan_bench.config.measures import MEASURES
from gan_bench.core.errors import brief
from gan_bench.metrics.reference import Reference


@dataclass(frozen=True, kw_only=True)
class MeasureSetup:
    """What a metric knows before it sees an image.

    Attributes:
        reference: Statistics of the real images; without ``classes`` unless the extractor knows the dataset's classes.
        samples: Number of generated images that will come, at least 2.
        logits: Number of classes of the extractor.
        seed: Seed of the metric's own draws.
    """

    reference: Reference
    samples: int
    logits: int
    seed: int

    @property
    def feature_dim(self) -> int:
        """Length of a feature."""
        return len(self.reference.moments.mean)


class Estimate(NamedTuple):
    """The value of one measure.

    Attributes:
        value: The number, or None when it cannot be computed.
        std: Spread that belongs to the measure itself, or None.
        note: Why the value is None or doubtful, or None.
    """

    value: float | None
    std: float | None = None
    note: str | None = None


class FeatureMetric(Metric):
    """A metric of generated images, fed with their features and logits.

    Metrics that inherit one ``update`` unchanged form a compute group: their states are gathered once.

    Args:
        setup: What is known beforehand.

    Attributes:
        max_pairwise: Images of each side that are looked at when there are more, or None when all are.
    """

    full_state_update = False
    max_pairwise: ClassVar[int | None] = None

    def __init__(self, setup: MeasureSetup) -> None:
        super().__init__()
        self.setup = setup
        self.reference = setup.reference

    @property
    @abstractmethod
    def gives(self) -> tuple[str, ...]:
        """Names of the measures that ``compute`` gives under this setup; none when the reference does not allow it."""

    @abstractmethod
    def update(self, features: Tensor, logits: Tensor) -> None:
        """Add the next images.

        Args:
            features: (N, D) float.
            logits: (N, classes) float.
        """

    @abstractmethod
    def compute(self) -> dict[str, Estimate]:
        """Return the measures named in ``gives``.

        Raises:
            NotFiniteError: A feature or logit was not finite.
        """

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        """Move the reference along with the states."""
        moved = super()._apply(fn, exclude_state)
        self.reference = self.reference.to(self.device)
        return moved


def metric_class(path: str) -> type[FeatureMetric] | None:
    """Return the class that a measure names, or None, with a warning, when somebody else's cannot be had."""
    if not path:
        return None
    if path.startswith("gan_bench."):
        shipped: type[FeatureMetric] = resolve_name(path)
        return shipped
    try:
        found: type[FeatureMetric] = resolve_name(path)
        if not issubclass(found, FeatureMetric):
            raise TypeError("it is no FeatureMetric")
    except Exception as error:  # somebody else's code may raise anything
        text = f"scores of {path} are left out ({brief(error)}); repair or uninstall what offers it"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
        return None
    return found


def collect_metrics(setup: MeasureSetup) -> MetricCollection:
    """Make the metrics of every registered measure that a setup allows, on the reference's device.

    Args:
        setup: What is known beforehand.

    Returns:
        One ``FeatureMetric`` per class. Those that share their ``update`` are a compute group, declared rather than
        found: torchmetrics would otherwise update every metric with the first chunk and compare all states.
    """
    metrics: dict[str, FeatureMetric] = {}
    groups: dict[object, list[str]] = {}
    for path in dict.fromkeys(measure.metric for measure in MEASURES.values()):
        made = metric_class(path)
        metric = made(setup) if made else None
        if metric is not None and metric.gives:
            key = path.replace(".", "_")  # a module's name has no dots
            metrics[key] = metric
            groups.setdefault((type(metric).update, tuple(metric.metric_state)), []).append(key)
    return MetricCollection(dict(metrics), compute_groups=list(groups.values())).to(setup.reference.moments.mean.device)
