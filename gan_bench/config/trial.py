"""The values that name a training run: no torch, no files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gan_bench.core.canonical import canonical_json

Latent = Literal["normal", "uniform"]
LastBatch = Literal["keep", "drop"]
FakeBatch = Literal["real", "full"]
StepFakes = Literal["fresh", "reuse"]
Init = Literal["default", "dcgan"]
OptimizerName = Literal["adam", "rmsprop", "sgd"]
Precision = Literal["default", "tf32", "bf16"]
Profile = Literal["full", "quick"]
Keep = Literal["nothing", "weights"]

RESERVED_NAMES = frozenset({"report", "published", "mlartifacts"})
"""Folders of a results folder that are no suite's."""
LIMITS: Mapping[str, tuple[int, int]] = {
    "suite_version": (1, 2**31 - 1),
    "image_size": (1, 4_096),
    "latent_dim": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "epochs": (1, 1_000_000),
    "d_steps": (1, 1_000),
    "dataset_repeats": (1, 10_000),
    "log_every": (1, 1_000_000),
    "train_limit": (2, 1_000_000_000),
    "seed": (0, 2**31 - 1),
    "samples": (2, 10_000_000),
    "draws": (1, 100),
    "count": (1, 10_000),
}
"""The least and the greatest value of every whole number of a trial."""
RATES = ("lr_g", "lr_d", "adam_eps")
"""Fields between 0 and 1, without either."""
BELOW: Mapping[str, float] = {
    "momentum": 1.0,
    "label_smoothing": 0.5,
    "weight_clip": 1e3,
    "gradient_penalty": 1e6,
    "r1_gamma": 1e6,
    "ema_decay": 1.0,
}
"""Fields that enable something when above 0, with their exclusive upper bounds."""
BOTH = {"lr": ("lr_g", "lr_d"), "betas": ("betas_g", "betas_d"), "optimizer": ("optimizer_g", "optimizer_d")}
"""Shorthands that set a value of both networks."""
MAX_DIRECTORY = 200
"""Bytes of a record directory's name: file systems take 255, and locks and temporary files append to it."""


LATER: Mapping[str, bool] = {"later": True}
"""Marks a field that the first trials did not have: at its default it is not part of a trial's identity, so that trials
keep their ids when configs grow."""
UNWRITTEN: Mapping[str, bool] = {**LATER, "unwritten": True}
"""Marks a later field that is not written at its default either: earlier versions can read such trials, and names made
from a whole config, such as a setting in MLflow, do not change."""


def check_limits(values: Mapping[str, int | None]) -> None:
    """Compare whole numbers with their limits; None is not compared.

    Raises:
        ValueError: One lies outside.
    """
    for name, value in values.items():
        low, high = LIMITS[name]
        if value is not None and not low <= value <= high:
            bound = f"at least {low:,}" if value < low else f"at most {high:,}"
            raise ValueError(f"{name} must be {bound}, got {value}")


def setting_key(config: Mapping[str, Any], without: Collection[str] = ()) -> str:
    """Return the key that trials of one setting share: the config without the seed and some other fields."""
    left_out = {"seed", *without}
    kept = {
        name: value
        for name, value in config.items()
        if name not in left_out and (name, value) not in UNWRITTEN_DEFAULTS.items()
    }
    if "evaluation" in kept:
        kept["evaluation"] = {name: value for name, value in kept["evaluation"].items() if name != "keep"}
    return canonical_json(kept)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """When a trial is scored, and on how many images.

    Attributes:
        epochs: Finished epochs after which scores are taken, ascending; 0 is the untrained generator.
        samples: Generated images per evaluation.
        extractors: Names of feature extractors, or ``("auto",)``.
        draws: Evaluations of the finished generator, each with noise of its own; their spread is the noise of
            evaluating.
        keep: What stays of every evaluated epoch beside its scores: with the generator's weights, measures can be added
            later. It changes no number, so it is no part of a trial's identity.
    """

    epochs: tuple[int, ...]
    samples: int
    extractors: tuple[str, ...] = ("auto",)
    draws: int = 1
    keep: Keep = "nothing"

    def __post_init__(self) -> None:
        if self.keep not in get_args(Keep):
            raise ValueError(f"keep must be one of {', '.join(get_args(Keep))}, got {self.keep!r}")
        object.__setattr__(self, "epochs", tuple(self.epochs))
        object.__setattr__(self, "extractors", tuple(self.extractors))
        if list(self.epochs) != sorted(set(self.epochs)) or (self.epochs and self.epochs[0] < 0):
            raise ValueError(f"evaluation epochs must ascend from 0, got {list(self.epochs)}")
        check_limits({"samples": self.samples, "draws": self.draws})
        if not self.extractors:
            raise ValueError("at least one extractor must be named")


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """The values that determine the bits of one training run.

    Attributes:
        suite: Name of the suite the trial belongs to.
        suite_version: Version of that suite; a changed meaning gives new trials.
        recipe: Name of the article's recipe the trial starts from.
        dataset: Dataset name.
        image_size: Height and width in pixels that the images are prepared to.
        architecture: Name of the generator and discriminator pair.
        latent_dim: Length of the noise vector.
        latent: Distribution of the noise: standard normal, or uniform on [-1, 1].
        batch_size: Real images per step.
        last_batch: Whether the smaller last batch of an epoch is used.
        fake_batch: Fake images in the D step: as many as real ones, or always ``batch_size``.
        step_fakes: Fakes of the G step: from fresh noise, or the D step's again.
        init: Initial weights: PyTorch's defaults, or DCGAN's N(0, 0.02).
        lr_g: Learning rate of the generator.
        lr_d: Learning rate of the discriminator.
        betas_g: Adam betas of the generator; other optimizers have none.
        betas_d: Adam betas of the discriminator.
        adam_eps: Epsilon of Adam and RMSprop, for both networks.
        epochs: Epochs to train.
        dataset_repeats: Passes over the images that the article calls one epoch.
        train_limit: Use a fixed random subset of this many training images; None uses all.
        log_every: Steps between two ``step`` lines of the history.
        seed: Seed of every random draw, through ``derive_seed``.
        profile: ``full`` is the article's protocol, ``quick`` is cut down.
        evaluation: When and how the trial is scored.
        loss: Name of the loss.
        d_steps: D steps for each G step; every one takes its own batch, so an epoch still shows every image once.
        optimizer_g: Optimizer of the generator.
        optimizer_d: Optimizer of the discriminator.
        momentum: Of SGD and RMSprop, for both networks.
        label_smoothing: Real images get the target 1 minus this (Salimans et al. 2016); 0 is none, as below.
        weight_clip: D's weights are clamped to plus and minus this after each D step (Arjovsky et al. 2017).
        gradient_penalty: Weight of (|grad D| - 1)^2 between real and fake images (Gulrajani et al. 2017).
        r1_gamma: Half of it weighs |grad D|^2 at real images (Mescheder et al. 2018).
        spectral_norm: Whether D's layers are divided by their spectral norm (Miyato et al. 2018).
        ema_decay: Decay, per G step, of an exponential moving average of G that is scored beside G.
        precision: In which a GPU multiplies: PyTorch's default, TensorFloat-32 in all products, or bfloat16.

    Raises:
        ValueError: A value is outside its range.
    """

    suite: str
    suite_version: int
    recipe: str
    dataset: str
    image_size: int
    architecture: str
    latent_dim: int
    latent: Latent
    batch_size: int
    last_batch: LastBatch
    fake_batch: FakeBatch
    step_fakes: StepFakes
    init: Init
    lr_g: float
    lr_d: float
    betas_g: tuple[float, float]
    betas_d: tuple[float, float]
    adam_eps: float
    epochs: int
    dataset_repeats: int
    train_limit: int | None = None
    log_every: int = 100
    seed: int
    profile: Profile
    evaluation: EvaluationConfig
    loss: str = field(default="non_saturating", metadata=LATER)
    d_steps: int = field(default=1, metadata=LATER)
    optimizer_g: OptimizerName = field(default="adam", metadata=LATER)
    optimizer_d: OptimizerName = field(default="adam", metadata=LATER)
    momentum: float = field(default=0.0, metadata=LATER)
    label_smoothing: float = field(default=0.0, metadata=LATER)
    weight_clip: float = field(default=0.0, metadata=LATER)
    gradient_penalty: float = field(default=0.0, metadata=LATER)
    r1_gamma: float = field(default=0.0, metadata=LATER)
    spectral_norm: bool = field(default=False, metadata=LATER)
    ema_decay: float = field(default=0.0, metadata=LATER)
    precision: Precision = field(default="default", metadata=UNWRITTEN)

    def __post_init__(self) -> None:
        for name in (*RATES, *BELOW):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("betas_g", "betas_d"):
            object.__setattr__(self, name, tuple(float(b) for b in getattr(self, name)))
        self._check_ranges()
        self._check_choices()

    def _check_ranges(self) -> None:
        for name in RATES:
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("betas_g", "betas_d"):
            betas = getattr(self, name)
            if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
                raise ValueError(f"{name} must be two numbers in [0, 1), got {list(betas)}")
        for name, bound in BELOW.items():
            if not 0 <= getattr(self, name) < bound:
                raise ValueError(f"{name} must be at least 0 and below {bound:g}, got {getattr(self, name)}")
        if not isinstance(self.loss, str) or not isinstance(self.spectral_norm, bool):
            raise TypeError("loss must be a name, and spectral_norm true or false")
        check_limits({name: getattr(self, name) for name in _FIELDS if name in LIMITS})
        if self.evaluation.epochs and self.evaluation.epochs[-1] > self.epochs:
            raise ValueError(f"evaluation epoch {self.evaluation.epochs[-1]} lies after the last, {self.epochs}")

    def _check_choices(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.step_fakes == "reuse" and self.fake_batch == "full":
            raise ValueError("step_fakes: reuse goes only with fake_batch: real")
        if self.momentum and self.optimizer_g == self.optimizer_d == "adam":
            raise ValueError("momentum is that of sgd and rmsprop; Adam's is the first of its betas")

    def to_json(self) -> dict[str, object]:
        """Return the config as a JSON-able dict that ``from_json`` takes back."""
        plain: dict[str, object] = json.loads(canonical_json(self._recorded_fields()))
        return plain

    def _recorded_fields(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in _FIELDS}
        plain = {name: value for name, value in plain.items() if (name, value) not in UNWRITTEN_DEFAULTS.items()}
        plain["evaluation"] = dict(vars(self.evaluation))
        if self.evaluation.keep == "nothing":  # as all trials were written before there was a choice
            del plain["evaluation"]["keep"]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> TrialConfig:
        """Build the config that ``to_json`` described.

        Raises:
            ValueError: A field is unknown, missing or out of range.
        """
        unknown = set(plain) - set(_FIELDS)
        if unknown:
            raise ValueError(f"unknown trial fields: {', '.join(sorted(unknown))}")
        try:
            return cls(**{**plain, "evaluation": EvaluationConfig(**plain["evaluation"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"incomplete trial: {error}") from error

    @cached_property
    def id(self) -> str:
        """The trial's identity: eight hex digits of the SHA-256 of its canonical JSON without later defaults."""
        known = {
            name: value
            for name, value in self._recorded_fields().items()
            if (name, value) not in LATER_DEFAULTS.items()
        }
        known["evaluation"].pop("keep", None)
        return hashlib.sha256(canonical_json(known).encode()).hexdigest()[:8]


_FIELDS = tuple(f.name for f in fields(TrialConfig))
LATER_DEFAULTS: Mapping[str, object] = {f.name: f.default for f in fields(TrialConfig) if f.metadata.get("later")}
"""Fields that the first trials did not have, with the defaults at which they are not part of a trial's identity."""
UNWRITTEN_DEFAULTS: Mapping[str, object] = {f.name: f.default for f in fields(TrialConfig) if "unwritten" in f.metadata}
"""Those that are not written at their defaults either."""
_CHOICES = {name: get_args(form) for name, form in get_type_hints(TrialConfig).items() if get_origin(form) is Literal}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A config with its names.

    Attributes:
        setting: What is compared: the recipe and what differs from it, without the seed.
        config: The trial itself.
        provenance: Where each of the recipe's values comes from, by field name.
        drawn: Fields whose values were drawn at random, as one of several.
    """

    setting: str
    config: TrialConfig
    provenance: Mapping[str, str] = field(default_factory=dict, compare=False)
    drawn: tuple[str, ...] = field(default=(), compare=False)

    def to_json(self) -> dict[str, object]:
        """Return the trial as a JSON-able dict."""
        return {
            "setting": self.setting,
            "config": self.config.to_json(),
            "provenance": dict(self.provenance),
            "drawn": list(self.drawn),
        }

    @property
    def name(self) -> str:
        """The setting with its seed."""
        return f"{self.setting},seed={self.config.seed}"

    @property
    def id(self) -> str:
        """The identity of the config."""
        return self.config.id

    @property
    def directory(self) -> str:
        """Name of the record directory inside the suite's folder; a long name is cut, its id tells trials apart."""
        return directory_name(self.name, self.id)


def directory_name(name: str, trial_id: str) -> str:
    """Name the record directory of a trial inside its suite's folder."""
    end = f"--{trial_id}"
    return name.encode(errors="replace")[: MAX_DIRECTORY - len(end)].decode(errors="ignore") + end
