"""The values that name a training run: no torch, no files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, get_args

from gan_bench.core.canonical import canonical_json

Latent = Literal["normal", "uniform"]
LastBatch = Literal["keep", "drop"]
FakeBatch = Literal["real", "full"]
StepFakes = Literal["fresh", "reuse"]
Init = Literal["default", "dcgan"]
Profile = Literal["full", "quick"]

RESERVED_NAMES = frozenset({"report", "published", "mlartifacts"})
"""Folders of a results folder that are no suite's."""
LIMITS: Mapping[str, tuple[int, int]] = {
    "suite_version": (1, 2**31 - 1),
    "image_size": (1, 4_096),
    "latent_dim": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "epochs": (1, 1_000_000),
    "dataset_repeats": (1, 10_000),
    "log_every": (1, 1_000_000),
    "train_limit": (2, 1_000_000_000),
    "seed": (0, 2**31 - 1),
    "samples": (2, 10_000_000),
    "draws": (1, 100),
}
"""The least and the greatest value of every whole number of a trial."""
MAX_DIRECTORY = 200
"""Bytes of a record directory's name: file systems take 255, and locks and temporary files append to it."""


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


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """When a trial is scored and on how much.

    Attributes:
        epochs: Finished epochs after which scores are taken, ascending; 0 is the untrained generator.
        samples: Generated images per evaluation.
        extractors: Names of feature extractors, or ``("auto",)``.
        draws: Evaluations of the finished generator, each with noise of its own; their spread is the noise of
            evaluating.
    """

    epochs: tuple[int, ...]
    samples: int
    extractors: tuple[str, ...] = ("auto",)
    draws: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "epochs", tuple(self.epochs))
        object.__setattr__(self, "extractors", tuple(self.extractors))
        if list(self.epochs) != sorted(set(self.epochs)) or (self.epochs and self.epochs[0] < 0):
            raise ValueError(f"evaluation epochs must ascend from 0, got {list(self.epochs)}")
        check_limits({"samples": self.samples, "draws": self.draws})
        if not self.extractors:
            raise ValueError("at least one extractor must be named")


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Everything that decides the bits of one training run, and nothing else.

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
        lr_g: Adam learning rate of the generator.
        lr_d: Adam learning rate of the discriminator.
        betas_g: Adam betas of the generator.
        betas_d: Adam betas of the discriminator.
        adam_eps: Adam epsilon of both.
        epochs: Epochs to train.
        dataset_repeats: Passes over the images that the article calls one epoch.
        train_limit: Use a fixed random subset of this many training images; None uses all.
        log_every: Steps between two ``step`` lines of the history.
        seed: Seed of every random draw, through ``derive_seed``.
        profile: ``full`` is the article's protocol, ``quick`` is cut down.
        evaluation: When and how the trial is scored.

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

    def __post_init__(self) -> None:
        for name in ("lr_g", "lr_d", "adam_eps"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("betas_g", "betas_d"):
            object.__setattr__(self, name, tuple(float(b) for b in getattr(self, name)))
        self._check_ranges()
        self._check_choices()

    def _check_ranges(self) -> None:
        for name in ("lr_g", "lr_d", "adam_eps"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("betas_g", "betas_d"):
            betas = getattr(self, name)
            if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
                raise ValueError(f"{name} must be two numbers in [0, 1), got {list(betas)}")
        check_limits({name: getattr(self, name) for name in _LIMITED})
        if self.evaluation.epochs and self.evaluation.epochs[-1] > self.epochs:
            raise ValueError(f"evaluation epoch {self.evaluation.epochs[-1]} lies after the last, {self.epochs}")

    def _check_choices(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.step_fakes == "reuse" and self.fake_batch == "full":
            raise ValueError("step_fakes: reuse goes only with fake_batch: real")

    def to_json(self) -> dict[str, Any]:
        """Return the config as a JSON-able dict that ``from_json`` takes back."""
        plain: dict[str, Any] = json.loads(self._canonical())
        return plain

    def _canonical(self) -> str:
        plain = {name: getattr(self, name) for name in _FIELDS}
        plain["evaluation"] = {name: getattr(self.evaluation, name) for name in _EVALUATION_FIELDS}
        return canonical_json(plain)

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
        """The trial's identity: eight hex digits of the SHA-256 of its canonical JSON."""
        return hashlib.sha256(self._canonical().encode()).hexdigest()[:8]


_FIELDS = tuple(f.name for f in fields(TrialConfig))
_EVALUATION_FIELDS = tuple(f.name for f in fields(EvaluationConfig))
_LIMITED = tuple(name for name in _FIELDS if name in LIMITS)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "latent": get_args(Latent),
    "last_batch": get_args(LastBatch),
    "fake_batch": get_args(FakeBatch),
    "step_fakes": get_args(StepFakes),
    "init": get_args(Init),
    "profile": get_args(Profile),
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A config with the names people call it by.

    Attributes:
        setting: What is compared: the recipe and what differs from it, without the seed.
        config: The trial itself.
        provenance: Where each of the recipe's values comes from, by field name.
    """

    setting: str
    config: TrialConfig
    provenance: Mapping[str, str] = field(default_factory=dict, compare=False)

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
        end = f"--{self.id}"
        return self.name.encode(errors="replace")[: MAX_DIRECTORY - len(end)].decode(errors="ignore") + end
