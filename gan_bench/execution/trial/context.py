"""Where trials run: the device, and what several of them share there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypedDict, TypeVar

import torch
from torch import Tensor

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.measures import MEASURES
from gan_bench.config.trial import TrialConfig
from gan_bench.core.preparing import report_progress
from gan_bench.core.registry import REGISTRIES, foreign_sources
from gan_bench.core.sources import Source
from gan_bench.data.datasets import DATASETS, ImageSet, load
from gan_bench.data.splits import Split
from gan_bench.metrics.evaluator import Evaluator
from gan_bench.metrics.extractors import load_extractor, resolve
from gan_bench.metrics.features import Extractor
from gan_bench.metrics.reference import Reference, is_cached, reference
from gan_bench.models.architectures import ARCHITECTURES, fingerprint
from gan_bench.models.losses import LOSSES
from gan_bench.randomness import shuffled
from gan_bench.records.earlier import Identity
from gan_bench.records.schema import Part
from gan_bench.training.engine import Engine, ReferenceEngine
from gan_bench.training.fast.engine import FastEngine, unsupported
from gan_bench.training.group.group import CapturedEngine, can_record
from gan_bench.training.state import TrainState

T = TypeVar("T")


@dataclass(frozen=True)
class RunContext:
    """A device with the images, extractors and reference statistics that its trials share.

    Attributes:
        data: The data folder.
        device: What computes.
        stop: Says whether to stop at the next step.
        engine_choice: ``auto``, or the name of an engine.
    """

    data: DataRoot
    device: torch.device
    stop: Callable[[], bool]
    engine_choice: str = "auto"
    _shared: dict[tuple[object, ...], object] = field(default_factory=dict, repr=False, compare=False)

    def images(self, dataset: str, split: Split, size: int) -> ImageSet:
        """Return a prepared split, in main memory.

        Raises:
            DataError: It cannot be read or fetched.
        """

        def read() -> ImageSet:
            report_progress(f"reading the {split} images of {dataset}", 0.0)
            return load(dataset, self.data, split, size)

        return self._once(("pictures", dataset, split, size), read)

    def training_images(self, config: TrialConfig) -> Tensor:
        """Return the (N, C, H, W) uint8 images a trial trains on, in main memory.

        A limited trial takes a fixed random subset: the first images of a sorted dataset would be all of one class.
        """
        images = self.images(config.dataset, "train", config.image_size).images
        if config.train_limit is None or config.train_limit >= len(images):
            return images
        key = ("subset", config.dataset, config.image_size, config.train_limit)
        return self._once(key, lambda: shuffled(images, config.train_limit))

    def held_out(self, config: TrialConfig) -> ImageSet | None:
        """Return real images the trial does not train on, or None where the dataset has none."""
        has_test = "test" in DATASETS[config.dataset].counts
        return self.images(config.dataset, "test", config.image_size) if has_test else None

    def digests(self, config: TrialConfig) -> tuple[str, str | None]:
        """Return the digests of a trial's training and held-out images, None where there are none of these."""
        held_out = self.held_out(config)
        return self.images(config.dataset, "train", config.image_size).sha256, held_out.sha256 if held_out else None

    def extractor(self, name: str) -> Extractor:
        """Return a loaded extractor.

        Raises:
            UserError: Its name is unknown or its weights cannot be had.
        """
        return self._once(("extractor", name), lambda: load_extractor(name, self.device))

    def extractors(self, config: TrialConfig) -> list[Extractor]:
        """Return the extractors a trial is scored with on this machine."""
        return [self.extractor(name) for name in self.extractor_names(config)]

    def extractor_names(self, config: TrialConfig) -> tuple[str, ...]:
        """Return what they are called; none is loaded."""
        return resolve(config.evaluation.extractors, DATASETS[config.dataset].channels, self.device)

    def reference(
        self, config: TrialConfig, extractor: Extractor, between: Callable[[], None] = lambda: None
    ) -> Reference:
        """Return what the trial's images are compared with: the whole training split, limited or not.

        Args:
            config: The trial.
            extractor: The frozen network.
            between: Called before every chunk of images where it is computed; what it raises ends that.
        """

        def compute() -> Reference:
            train = self.images(config.dataset, "train", config.image_size)
            what = (
                f"running {len(train.images):,} {config.dataset} images through {extractor.name}, kept for later runs"
            )
            held_out = self.held_out(config)
            return reference(
                train, held_out, "train", extractor, lambda fraction: report_progress(what, fraction), between
            )

        return self._once(("reference", config.dataset, config.image_size, extractor.name), compute)

    def has_references(self, config: TrialConfig) -> bool:
        """True if the reference statistics of a trial are there without being computed."""
        train, held_out = self.images(config.dataset, "train", config.image_size), self.held_out(config)
        return all(is_cached(train, held_out, extractor) for extractor in self.extractors(config))

    def evaluator(self, config: TrialConfig, between: Callable[[], None] = lambda: None) -> Evaluator:
        """Return what scores a trial's generators; ``between`` as ``reference`` takes it.

        Raises:
            DataError: Its images cannot be read or fetched.
            UserError: A part of it is unknown, or weights of an extractor cannot be had.
        """
        extractors = self.extractors(config)
        references = {extractor.name: self.reference(config, extractor, between) for extractor in extractors}
        return Evaluator(extractors, references, DATASETS[config.dataset].class_extractor)

    def parts(self, config: TrialConfig) -> list[tuple[str, str]]:
        """Return every part that a trial uses, as plural of its registry and name."""
        extractors = self.extractor_names(config)
        return [
            ("datasets", config.dataset),
            ("architectures", config.architecture),
            ("losses", config.loss),
            *(("extractors", name) for name in extractors),
            *(("measures", name) for name, measure in MEASURES.items() if measure.metric),
        ]

    def identity(self, config: TrialConfig) -> Identity:
        """Return what a trial is made of beside its config, and what computes it."""
        key = ("networks", config.architecture, config.latent_dim)
        networks = self._once(key, lambda: fingerprint(ARCHITECTURES[config.architecture], config.latent_dim))
        train, held_out = self.digests(config)
        return {
            "data_sha256": train,
            "held_out_sha256": held_out,
            "networks_sha256": networks,
            "d_output": LOSSES[config.loss].output,
            "torch": str(torch.__version__),
            "device": str(self.device),
            **self._once(("parts", *(used := tuple(self.parts(config)))), lambda: _sources_of(used)),
        }

    def engine(self, config: TrialConfig, way: str | None = None) -> Engine:
        """Make the engine of a trial at its very beginning.

        Args:
            config: The trial.
            way: The way it took its steps in before, where the same bits are wanted.
        """
        key = ("on the device", config.dataset, config.image_size, config.train_limit)
        images = self._once(key, lambda: self.training_images(config).to(self.device))
        state = TrainState.start(config, self.device)
        if self.engine_choice == "reference" or unsupported(config):
            return ReferenceEngine(config, images, state)
        fast = FastEngine(config, images, state)
        if self.device.type != "cuda" or not can_record(fast):
            return fast
        captured = CapturedEngine(config, images, state)
        captured.way = way
        return captured

    def _once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        if key not in self._shared:
            self._shared[key] = make()
        found: T = self._shared[key]  # type: ignore[assignment]
        return found


class _Sources(TypedDict):
    parts: dict[str, Part]
    in_program: dict[str, Part]


def _sources_of(parts: Iterable[tuple[str, str]]) -> _Sources:
    """Return what parts are of, as an identity has it: once for a run, in which no part changes."""
    found = foreign_sources(parts)
    own = {key: REGISTRIES[key.partition("/")[0]].in_program(key.partition("/")[2]) for key in found}
    return {
        "parts": {key: _part(source) for key, source in found.items()},
        "in_program": {key: _part(source) for key, source in own.items()},
    }


def _part(source: Source) -> Part:
    return {"name": source.name, "version": source.version, "sha256": source.sha256, "path": source.path}
