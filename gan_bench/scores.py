"""The measures by name: which way is better, what they are, and a score with its protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gan_bench.registry import Registry


@dataclass(frozen=True)
class Measure:
    """A way to score generated pictures.

    Attributes:
        title: What tables call it.
        lower_is_better: Whether smaller is better.
        description: One sentence.
    """

    title: str
    lower_is_better: bool
    description: str


MEASURES: Registry[Measure] = Registry("measure")
MEASURES.register("fid", Measure("FID", True, "Fréchet distance of Gaussians fitted to features"))
MEASURES.register("fid_inf", Measure("FID∞", True, "FID extrapolated to infinitely many samples"))
MEASURES.register("kid", Measure("KID", True, "unbiased kernel distance, with its standard error"))
MEASURES.register("is", Measure("IS", False, "inception score over ten splits, with their standard deviation"))
MEASURES.register("precision", Measure("precision", False, "share of generated pictures among the real ones"))
MEASURES.register("recall", Measure("recall", False, "share of real pictures among the generated ones"))
MEASURES.register(
    "classes", Measure("classes", False, "classes that appear at least a tenth as often as among real pictures")
)
MEASURES.register("class_kl", Measure("class KL", True, "divergence of the class histogram from the real one, in nats"))
MEASURES.register(
    "copies", Measure("copies", True, "share closer to a training picture than 99 % of held-out pictures are")
)
MEASURES.register(
    "collapsed", Measure("collapsed", True, "1 when half of the classes or fewer appear, or one class holds over half")
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number with its protocol. Keys are documented in ``gan_bench.schema``."""

    metric: str
    value: float | None
    std: float | None
    extractor: str
    split: str
    real: int
    generated: int
    draw_std: float | None = None
    kept: int | None = None
    note: str | None = None

    @property
    def name(self) -> str:
        """The metric with its protocol, for example ``fid[lenet-mnist-v1,train,10000]``."""
        return f"{self.metric}[{self.extractor},{self.split},{self.generated}]"

    def to_json(self) -> dict[str, Any]:
        """Return the score as a JSON-able dict."""
        return {"name": self.name, **asdict(self)}
