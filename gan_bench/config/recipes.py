"""The five tutorial articles as data: every value with where it comes from.

Provenance marks: ``stated`` (the article says it), ``code`` (the article's own published code says it),
``lineage`` (the tutorial or textbook it visibly follows does), ``chosen`` (no source says; gan_bench chose).
Common to all five are pixels in [-1, 1], binary cross-entropy on D's output (the non-saturating loss), one D step then
one G step per batch, Adam without weight decay, and no smoothing, clipping, penalty or moving average. These are the
defaults of ``TrialConfig``; a recipe that differs says so in ``extras``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, Literal, TypeVar

from gan_bench.config.trial import FakeBatch, Init, LastBatch, Latent, StepFakes
from gan_bench.core.fields import as_python
from gan_bench.core.registry import Registry

T = TypeVar("T")
Provenance = Literal["stated", "code", "lineage", "chosen"]


@dataclass(frozen=True)
class Fact(Generic[T]):
    """A value with its provenance.

    Attributes:
        value: The value.
        provenance: Who says so.
        note: What a reader should know beside the mark.
    """

    value: T
    provenance: Provenance
    note: str = ""


def stated(value: T, note: str = "") -> Fact[T]:
    """Mark a value that the article's text gives."""
    return Fact(value, "stated", note)


def code(value: T, note: str = "") -> Fact[T]:
    """Mark a value that the article's own code gives."""
    return Fact(value, "code", note)


def lineage(value: T, note: str = "") -> Fact[T]:
    """Mark a value that is given by the source that the article follows."""
    return Fact(value, "lineage", note)


def chosen(value: T, note: str = "") -> Fact[T]:
    """Mark a value that no source gives."""
    return Fact(value, "chosen", note)


@dataclass(frozen=True, kw_only=True)
class Article:
    """A tutorial article.

    Attributes:
        key: Short key, A0 to A4.
        title: Its title.
        outlet: Where it appeared.
    """

    key: str
    title: str
    outlet: str


@dataclass(frozen=True, kw_only=True)
class Reported:
    """Values that an article printed for the last batch of an epoch."""

    epoch: int
    loss_g: float
    loss_d: float
    d_real: float
    d_fake: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything an article fixes. Fields hold ``Fact``s and carry the names of ``TrialConfig``.

    Attributes:
        name: Name in suite files.
        article: The article.
        reported: Numbers the article printed, if any.
        remarks: What the article says that no field can carry.
        extras: Facts about fields of ``TrialConfig`` that have defaults, such as ``loss``, by name.
    """

    name: str
    article: Article
    dataset: Fact[str]
    image_size: Fact[int]
    architecture: Fact[str]
    latent_dim: Fact[int]
    latent: Fact[Latent]
    batch_size: Fact[int]
    last_batch: Fact[LastBatch]
    fake_batch: Fact[FakeBatch]
    step_fakes: Fact[StepFakes]
    init: Fact[Init]
    lr_g: Fact[float]
    lr_d: Fact[float]
    betas_g: Fact[tuple[float, float]]
    betas_d: Fact[tuple[float, float]]
    adam_eps: Fact[float]
    epochs: Fact[int]
    dataset_repeats: Fact[int]
    log_every: Fact[int]
    reported: tuple[Reported, ...] = ()
    remarks: str = ""
    extras: Mapping[str, Fact[Any]] = field(default_factory=dict)

    def facts(self) -> Mapping[str, Fact[Any]]:
        """Return the facts by field name, in the order of the class, with the trained values."""
        given = {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), Fact)} | dict(self.extras)
        return {name: replace(fact, value=_exact_value(fact.value)) for name, fact in given.items()}

    def values(self) -> dict[str, Any]:
        """Return the plain values by field name, ready for ``TrialConfig``, without rounding errors."""
        return {name: fact.value for name, fact in self.facts().items()}

    def provenance(self) -> dict[str, str]:
        """Return the provenance marks by field name."""
        return {name: fact.provenance for name, fact in self.facts().items()}


def _exact_value(value: Any) -> Any:  # noqa: ANN401 - any value of a config
    """Return a value as Python has it, without the rounding error of float32 or of a product, and lists as tuples."""
    value = as_python(value)
    return tuple(map(_exact_value, value)) if isinstance(value, (list, tuple)) else value


DCGAN_BETAS = (0.5, 0.999)
ADAM_BETAS = (0.9, 0.999)
_WHOLE = code(1, "one pass over the images")
_EPS = lineage(1e-8, "PyTorch's default")

_RECIPES = (
    Recipe(
        name="cats-dcgan",
        article=Article(key="A0", title="Getting started with GANs using PyTorch", outlet="Towards Data Science"),
        dataset=stated("cats", 'Kaggle spandan2/cats-faces-64x64-for-generative-models, "over 15,700" images'),
        image_size=stated(64, 'the text\'s "3x28x28" for G is a slip: its D takes 3x64x64'),
        architecture=code("dcgan64-bn", "first discriminator block with batch-norm"),
        latent_dim=stated(128),
        latent=code("normal"),
        batch_size=code(128),
        last_batch=code("keep"),
        fake_batch=code("full", "always 128 fakes, also against the last, smaller real batch"),
        step_fakes=code("fresh"),
        init=code("default"),
        lr_g=stated(2e-4),
        lr_d=stated(2e-4),
        betas_g=code(DCGAN_BETAS),
        betas_d=code(DCGAN_BETAS),
        adam_eps=_EPS,
        epochs=stated(60),
        dataset_repeats=code(2, "the archive holds every image twice; 247 steps per epoch"),
        log_every=chosen(100, "the article prints once per epoch"),
        reported=(
            Reported(epoch=1, loss_g=5.9449, loss_d=0.7790, d_real=0.8575, d_fake=0.4179),
            Reported(epoch=10, loss_g=7.0182, loss_d=0.4998, d_real=0.9931, d_fake=0.3561),
            Reported(epoch=20, loss_g=5.2367, loss_d=0.3041, d_real=0.9015, d_fake=0.1611),
            Reported(epoch=40, loss_g=10.9030, loss_d=0.9792, d_real=0.9332, d_fake=0.5048),
            Reported(epoch=60, loss_g=5.8587, loss_d=0.0268, d_real=0.9781, d_fake=0.0043),
        ),
        remarks="Reported values are those of the last batch of the epoch.",
    ),
    Recipe(
        name="mnist-dcgan",
        article=Article(
            key="A1",
            title="Hands-on generative AI with GANs using Python: DCGAN",
            outlet="Towards Data Science, 2023-04-04",
        ),
        dataset=stated("mnist"),
        image_size=stated(28),
        architecture=lineage("dcgan28"),
        latent_dim=lineage(100),
        latent=lineage("uniform", 'the text says "uniform or normal"; uniform on [-1, 1] by lineage'),
        batch_size=lineage(64),
        last_batch=lineage("drop"),
        fake_batch=lineage("real"),
        step_fakes=lineage("fresh"),
        init=lineage("default"),
        lr_g=lineage(3e-4),
        lr_d=lineage(2e-4),
        betas_g=lineage(ADAM_BETAS, "Adam's default"),
        betas_d=lineage(ADAM_BETAS, "Adam's default"),
        adam_eps=_EPS,
        epochs=stated(10, 'as run; "about 100" are said to be needed for good results'),
        dataset_repeats=lineage(1),
        log_every=chosen(100),
        remarks='The article reports no losses; "100 epochs take about an hour" on its hosted GPU.',
    ),
    Recipe(
        name="mnist-mlp-z64",
        article=Article(key="A2", title="Generative adversarial network", outlet="Analytics Vidhya, Medium"),
        dataset=stated("mnist"),
        image_size=stated(28, "as a vector of 784"),
        architecture=stated("mlp"),
        latent_dim=stated(64),
        latent=lineage("normal"),
        batch_size=lineage(100),
        last_batch=lineage("keep"),
        fake_batch=lineage("real"),
        step_fakes=stated("fresh"),
        init=lineage("default"),
        lr_g=stated(2e-4),
        lr_d=stated(2e-4),
        betas_g=lineage(ADAM_BETAS, "Adam's default"),
        betas_d=lineage(ADAM_BETAS, "Adam's default"),
        adam_eps=_EPS,
        epochs=lineage(300),
        dataset_repeats=lineage(1),
        log_every=stated(200),
        remarks="The article shows images only.",
    ),
    Recipe(
        name="cifar10-dcgan",
        article=Article(key="A3", title="Generating CIFAR-10 fake images using DCGAN", outlet="MLearning.ai, Medium"),
        dataset=code("cifar10"),
        image_size=code(64, "resized from 32"),
        architecture=code("dcgan64", "first discriminator block without batch-norm"),
        latent_dim=code(100),
        latent=code("normal"),
        batch_size=code(64),
        last_batch=code("keep"),
        fake_batch=code("real"),
        step_fakes=code("reuse", "the D step's fakes again, D now updated"),
        init=code("dcgan", "convolutions N(0, 0.02); batch-norm weight N(1, 0.02), bias 0"),
        lr_g=code(2e-4),
        lr_d=code(2e-4),
        betas_g=code(DCGAN_BETAS),
        betas_d=code(DCGAN_BETAS),
        adam_eps=_EPS,
        epochs=code(25),
        dataset_repeats=_WHOLE,
        log_every=chosen(100, "the article prints every step"),
        remarks="The article shows images only.",
    ),
    Recipe(
        name="mnist-mlp-z100",
        article=Article(key="A4", title="pytorch实现GAN", outlet="CSDN 96485095"),
        dataset=code("mnist"),
        image_size=code(28, "as a vector of 784"),
        architecture=code("mlp"),
        latent_dim=code(100),
        latent=code("normal"),
        batch_size=code(128),
        last_batch=code("keep"),
        fake_batch=code("real"),
        step_fakes=code("fresh"),
        init=code("default"),
        lr_g=code(3e-4),
        lr_d=code(3e-4),
        betas_g=code(ADAM_BETAS, "Adam's default"),
        betas_d=code(ADAM_BETAS, "Adam's default"),
        adam_eps=_EPS,
        epochs=code(100),
        dataset_repeats=_WHOLE,
        log_every=code(100),
        remarks="The article shows images only.",
    ),
)
RECIPES: Registry[Recipe] = Registry("recipe", "recipes", Recipe, {each.name: each for each in _RECIPES})
