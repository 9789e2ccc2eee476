"""Where trials run: the device, and what several of them share there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from gan_bench.architectures import ARCHITECTURES, fingerprint
from gan_bench.datasets import DATASETS, DataRoot, Pictures, load
from gan_bench.evaluation import Evaluator, shuffled
from gan_bench.metrics.extractors import EXTRACTORS, resolve
from gan_bench.metrics.features import Extractor
from gan_bench.reference import Reference, reference
from gan_bench.sources import Split
from gan_bench.training.engine import Engine, ReferenceEngine
from gan_bench.training.fast import Capture, FastEngine
from gan_bench.training.group import CapturedEngine, cuda_capture
from gan_bench.training.state import TrainState
from gan_bench.trial import TrialConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Workplace:
    """A device with the pictures, extractors and reference statistics that its trials share.

    Attributes:
        data: The data folder.
        device: What computes.
        stop: Says whether to stop at the next step.
        engine_wish: ``auto``, or the name of an engine.
    """

    data: DataRoot
    device: torch.device
    stop: Callable[[], bool]
    engine_wish: str = "auto"
    _shared: dict[tuple[object, ...], object] = field(default_factory=dict, repr=False, compare=False)

    def pictures(self, dataset: str, split: Split, size: int) -> Pictures:
        """Return a prepared split, in main memory.

        Raises:
            DataError: It cannot be read or fetched.
        """
        return self._once(("pictures", dataset, split, size), lambda: load(dataset, self.data, split, size))

    def training_pictures(self, config: TrialConfig) -> Tensor:
        """Return the (N, C, H, W) uint8 pictures a trial trains on, in main memory.

        A limited trial takes a fixed random subset: the first pictures of a sorted dataset would be all of one class.
        """
        images = self.pictures(config.dataset, "train", config.image_size).images
        if config.train_limit is None or config.train_limit >= len(images):
            return images
        key = ("subset", config.dataset, config.image_size, config.train_limit)
        return self._once(key, lambda: shuffled(images, config.train_limit))

    def held_out(self, config: TrialConfig) -> Pictures | None:
        """Return real pictures the trial does not train on, or None where the dataset has none."""
        has_test = "test" in DATASETS[config.dataset].counts
        return self.pictures(config.dataset, "test", config.image_size) if has_test else None

    def extractor(self, name: str) -> Extractor:
        """Return a loaded extractor.

        Raises:
            UserError: Its name is unknown or its weights cannot be had.
        """
        return self._once(("extractor", name), lambda: EXTRACTORS[name].load(self.device))

    def extractors(self, config: TrialConfig) -> list[Extractor]:
        """Return the extractors a trial is scored with on this machine."""
        names = resolve(config.evaluation.extractors, DATASETS[config.dataset].channels, self.device)
        return [self.extractor(name) for name in names]

    def reference(self, config: TrialConfig, extractor: Extractor) -> Reference:
        """Return what the trial's pictures are compared with: the whole training split, limited or not."""

        def compute() -> Reference:
            train = self.pictures(config.dataset, "train", config.image_size)
            return reference(train, self.held_out(config), "train", extractor)

        return self._once(("reference", config.dataset, config.image_size, extractor.name), compute)

    def evaluator(self, config: TrialConfig) -> Evaluator:
        """Return what scores a trial's generators."""
        extractors = self.extractors(config)
        references = {extractor.name: self.reference(config, extractor) for extractor in extractors}
        return Evaluator(extractors, references, DATASETS[config.dataset].judge)

    def identity(self, config: TrialConfig) -> dict[str, str]:
        """Return what a trial is made of beside its config: digests of pictures and networks, and torch's version."""
        key = ("networks", config.architecture, config.latent_dim)
        networks = self._once(key, lambda: fingerprint(ARCHITECTURES[config.architecture], config.latent_dim))
        pictures = self.pictures(config.dataset, "train", config.image_size)
        return {"data_sha256": pictures.sha256, "networks_sha256": networks, "torch": str(torch.__version__)}

    def engine(self, config: TrialConfig) -> Engine:
        """Make the engine of a trial at its very beginning."""
        key = ("on the device", config.dataset, config.image_size, config.train_limit)
        pictures = self._once(key, lambda: self.training_pictures(config).to(self.device))
        state = TrainState.start(config, self.device)
        if self.engine_wish == "reference":
            return ReferenceEngine(config, pictures, state)
        return (CapturedEngine if self.capture else FastEngine)(config, pictures, state)

    @property
    def capture(self) -> Capture | None:
        """What records iterations on the device, or None."""
        return cuda_capture if self.device.type == "cuda" else None

    def _once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        if key not in self._shared:
            self._shared[key] = make()
        found: T = self._shared[key]  # type: ignore[assignment]
        return found
