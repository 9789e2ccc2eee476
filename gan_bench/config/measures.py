"""The measures by name: what they are, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

from gan_bench.core.registry import Registry


@dataclass(frozen=True)
class Measure:
    """A way to score generated images.

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
MEASURES.register("precision", Measure("precision", False, "share of generated images among the real ones"))
MEASURES.register("recall", Measure("recall", False, "share of real images among the generated ones"))
MEASURES.register(
    "classes", Measure("classes", False, "classes that appear at least a tenth as often as among real images")
)
MEASURES.register("class_kl", Measure("class KL", True, "divergence of the class histogram from the real one, in nats"))
MEASURES.register(
    "copies", Measure("copies", True, "share closer to a training image than 99 % of held-out images are")
)
MEASURES.register(
    "collapsed", Measure("collapsed", True, "1 when half of the classes or fewer appear, or one class holds over half")
)
