"""gan_bench trains the GANs of five tutorial articles in one harness, measures them and compares the settings.

``import gan_bench as gb`` is quick: what follows is loaded when it is used.

- ``gb.load``, ``gb.run``, ``gb.compare``, ``gb.score``, ``gb.generator``: what the commands do.
- ``gb.ARCHITECTURES``, ``gb.LOSSES``, ``gb.DATASETS``, ``gb.EXTRACTORS``, ``gb.MEASURES``, ``gb.RECIPES``: the
  registries, with the classes of their entries, for parts of your own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gan_bench.core import __version__ as __version__

if TYPE_CHECKING:
    from gan_bench.api import ResultTables as ResultTables
    from gan_bench.api import RunResult as RunResult
    from gan_bench.api import compare as compare
    from gan_bench.api import generator as generator
    from gan_bench.api import load as load
    from gan_bench.api import run as run
    from gan_bench.api import score as score
    from gan_bench.config.measures import MEASURES as MEASURES
    from gan_bench.config.measures import Measure as Measure
    from gan_bench.config.recipes import RECIPES as RECIPES
    from gan_bench.config.recipes import Article as Article
    from gan_bench.config.recipes import Fact as Fact
    from gan_bench.config.recipes import Recipe as Recipe
    from gan_bench.core.errors import UserError as UserError
    from gan_bench.data.datasets import DATASETS as DATASETS
    from gan_bench.data.datasets import Dataset as Dataset
    from gan_bench.metrics.extractors import EXTRACTORS as EXTRACTORS
    from gan_bench.metrics.extractors import ExtractorEntry as ExtractorEntry
    from gan_bench.metrics.features import Features as Features
    from gan_bench.metrics.measures.base import Estimate as Estimate
    from gan_bench.metrics.measures.base import FeatureMetric as FeatureMetric
    from gan_bench.metrics.measures.base import MeasureSetup as MeasureSetup
    from gan_bench.models.architectures import ARCHITECTURES as ARCHITECTURES
    from gan_bench.models.architectures import Architecture as Architecture
    from gan_bench.models.dcgan import SequentialDiscriminator as SequentialDiscriminator
    from gan_bench.models.dcgan import SequentialGenerator as SequentialGenerator
    from gan_bench.models.losses import LOSSES as LOSSES
    from gan_bench.models.losses import Loss as Loss

_HOMES = {
    "gan_bench.api": ("load", "run", "compare", "score", "generator", "ResultTables", "RunResult"),
    "gan_bench.config.measures": ("MEASURES", "Measure"),
    "gan_bench.config.recipes": ("RECIPES", "Recipe", "Article", "Fact"),
    "gan_bench.core.errors": ("UserError",),
    "gan_bench.data.datasets": ("DATASETS", "Dataset"),
    "gan_bench.metrics.extractors": ("EXTRACTORS", "ExtractorEntry"),
    "gan_bench.metrics.features": ("Features",),
    "gan_bench.metrics.measures.base": ("FeatureMetric", "Estimate", "MeasureSetup"),
    "gan_bench.models.architectures": ("ARCHITECTURES", "Architecture"),
    "gan_bench.models.dcgan": ("SequentialGenerator", "SequentialDiscriminator"),
    "gan_bench.models.losses": ("LOSSES", "Loss"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604 - names, all of them


def __getattr__(name: str) -> Any:  # noqa: ANN401 - attributes of any type
    """Import a public name at its first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
