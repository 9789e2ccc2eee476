"""The interface of metrics, and the set of registered ones."""

from __future__ import annotations

import copy
import gc
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pkgutil import resolve_name
from typing import ClassVar, NamedTuple

from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from gan_bench.config.measures import MEASURES
from gan_bench.core.errors import brief, is_stop
from gan_bench.core.text import printable
from gan_bench.core.torch_settings import torch_settings_kept
from gan_bench.metrics.distances import NotFiniteError
from gan_bench.metrics.reference import Reference
from gan_bench.records.schema import LARGEST


@dataclass(frozen=True, kw_only=True)
class MeasureSetup:
    """The constructor argument of a metric.

    Attributes:
        reference: Statistics of the real images; without ``classes`` unless the extractor knows the dataset's classes.
        samples: Number of generated images that will come, at least 2.
        logits: Number of classes of the extractor, 0 where it knows none.
        seed: Seed of the metric's own draws.
        extractor: Name of the extractor.
    """

    reference: Reference
    samples: int
    logits: int
    seed: int
    extractor: str = ""

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
    """Return the class that a measure names, or None, with a warning, when a third-party one cannot be loaded."""
    if not path:
        return None
    try:
        with torch_settings_kept(random=False):
            found: type[FeatureMetric] = resolve_name(path)
        if not issubclass(found, FeatureMetric):
            raise TypeError("it is no FeatureMetric")
    except BaseException as error:  # third-party code may raise anything
        if is_stop(error):
            raise
        text = f"scores of {path} are left out ({brief(error)}); repair or uninstall what offers it"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
        return None
    return found


class MetricSet:
    """The metrics of one extractor, on the reference's device.

    Those that come with gan_bench are one collection, in which metrics that share their ``update`` gather their states
    once. Third-party metrics stand by themselves: what they raise or give wrongly costs their own scores alone.

    Args:
        setup: What is known beforehand.
    """

    def __init__(self, setup: MeasureSetup) -> None:
        self.setup = setup
        self._others: dict[str, FeatureMetric] = {}
        self._faults: dict[str, str] = {}
        device = setup.reference.moments.mean.device
        shipped: dict[str, Metric | MetricCollection] = {}
        groups: dict[object, list[str]] = {}
        for path in dict.fromkeys(measure.metric for measure in MEASURES.values()):
            made = metric_class(path)
            if made and not path.startswith("gan_bench."):
                with self._keeping(path):
                    metric = made(copy.deepcopy(setup))  # what it writes into the reference stays its own
                    if _measures_given(metric):
                        self._others[path] = metric.to(device)
            elif made and _measures_given(metric := made(setup)):
                key = path.replace(".", "_")  # a module's name has no dots
                shipped[key] = metric
                groups.setdefault((made.update, tuple(metric.metric_state)), []).append(key)
        # groups are declared: torchmetrics would update every metric with the first chunk, and compare all states
        self.shipped = MetricCollection(shipped, compute_groups=list(groups.values())).to(device)

    @contextmanager
    def _keeping(self, path: str) -> Iterator[None]:
        """Keep an exception of a third-party metric as the reason why its measures have no value."""
        try:
            with torch_settings_kept(random=False):
                yield
        except BaseException as error:
            if is_stop(error):
                raise
            self._others.pop(path, None)
            self._faults[path] = f"{path} failed ({printable(brief(error))})"

    def update(self, features: Tensor, logits: Tensor) -> None:
        """Add the next images: (N, D) and (N, classes) float."""
        self.shipped.update(features, logits)
        for path, metric in list(self._others.items()):
            with self._keeping(path):
                metric.update(features.clone(), logits.clone())

    def compute(self) -> dict[str, tuple[Estimate, int | None]]:
        """Return every measure's estimate, in the order of registration, and the most images of a side that it uses."""
        found: dict[str, tuple[Estimate, int | None]] = {}
        for metric in self.shipped.values(copy_state=False):
            assert isinstance(metric, FeatureMetric)  # noqa: S101 - the collection is of these
            try:
                estimates = metric.compute()
            except NotFiniteError as error:
                estimates = dict.fromkeys(metric.gives, Estimate(None, note=str(error)))
            found |= {name: (estimate, metric.max_pairwise) for name, estimate in estimates.items()}
        for path, metric in list(self._others.items()):
            with self._keeping(path):
                given, most = metric.compute(), metric.max_pairwise
                for name in _measures_given(metric):
                    estimate, wrong = checked_estimate(given.get(name), MEASURES[name].bounds)
                    found[name] = estimate, most
                    if wrong:
                        _warn_of(name, wrong)
        for path, why in self._faults.items():
            for name in (name for name, measure in MEASURES.items() if measure.metric == path):
                found[name] = Estimate(None, note=why), None
                _warn_of(name, why)
        return {name: found[name] for name in MEASURES if name in found}

    def free(self) -> None:
        """Free the memory of states at once: up to 300 MB, which garbage collection may keep for long.

        A torchmetrics metric keeps bound methods of its own, and a cycle of so few objects waits for many others.
        Third-party metrics, each with a copy of the reference, are left to a collection: one may be used again.
        """
        for metric in self.shipped.values(copy_state=False):
            del metric.update, metric.compute
        if self._others:
            self._others.clear()
            gc.collect()


def _measures_given(metric: FeatureMetric) -> tuple[str, ...]:
    """Return the registered measures that a metric gives under its extractor."""
    extractor = metric.setup.extractor
    return tuple(name for name in metric.gives if name in MEASURES and MEASURES[name].is_for(extractor))


def _warn_of(measure: str, why: str) -> None:
    """Warn about the metric of a measure, once in a run."""
    text = f"{printable(measure)} is not scored as it should be: {why}; mend it, `gan-bench check` tells more"
    warnings.warn(text, RuntimeWarning, stacklevel=4)


def checked_estimate(given: object, bounds: tuple[float | None, float | None]) -> tuple[Estimate, str]:
    """Return an estimate that a record can hold from any value of a third-party metric, and what was wrong with it.

    Args:
        given: What the metric gave for a measure.
        bounds: The least and the greatest value that the measure can take.
    """
    if not isinstance(given, Estimate):
        wrong = f"its metric gave {_what(given)}, and must give an Estimate"
        return Estimate(None, note=wrong), wrong
    value, std, note = given
    for each, what, within in ((value, "", bounds), (std, " as spread", (0, None))):
        if each is not None and not _is_number(each, *within):
            wrong = f"its metric gave {_what(each)}{what}, which is no finite number within its bounds"
            return Estimate(None, note=wrong), wrong
    kept = printable(str(note))[:200] if note is not None else None
    return Estimate(None if value is None else float(value), None if std is None else float(std), kept), ""


def _is_number(value: object, low: float | None, high: float | None) -> bool:
    """True for a real number within the bounds of records; False for bools."""
    if not isinstance(value, Real) or isinstance(value, bool) or not abs(float(value)) <= LARGEST:
        return False
    return (low is None or float(value) >= low) and (high is None or float(value) <= high)


def _what(value: object) -> str:
    return printable(repr(value)[:60]) if isinstance(value, (int, float, str, complex)) else f"a {type(value).__name__}"
