"""The state of a running trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gan_bench.config.trial import OptimizerName, TrialConfig
from gan_bench.core.cache import ensure_compiler_cache
from gan_bench.models.architectures import ARCHITECTURES, build, normalise_spectrum
from gan_bench.randomness import generator_for
from gan_bench.records.schema import STATISTICS


@dataclass
class TrainState:
    """Networks, optimisers and position of one trial.

    Attributes:
        generator: G, in train mode.
        discriminator: D, in train mode.
        optimizer_g: Optimizer of what G trains.
        optimizer_d: Optimizer of what D trains.
        epoch: Epochs finished.
        batch: Steps done in the epoch under way.
        step: Steps done in all.
        step_stats: (steps, 4) float64 on the device, ``STATISTICS`` of every step of the epoch under way; rows from
            ``batch`` on are stale. An engine reserves the room.
        average: The moving average of G, or None. Batch-norm statistics are G's own.
    """

    generator: nn.Module
    discriminator: nn.Module
    optimizer_g: Optimizer
    optimizer_d: Optimizer
    step_stats: Tensor
    epoch: int = 0
    batch: int = 0
    step: int = 0
    average: AveragedModel | None = None

    @classmethod
    def start(cls, config: TrialConfig, device: torch.device, dtype: torch.dtype = torch.float32) -> TrainState:
        """Build a trial's first state: initial weights depend on its seed alone, not on the device."""
        ensure_compiler_cache()
        architecture = ARCHITECTURES[config.architecture]

        def network(role: str, make: Callable[[], nn.Module]) -> nn.Module:
            return build(make, config.init, generator_for(config.seed, f"init/{role}"))

        generator = network("generator", partial(architecture.generator, config.latent_dim)).to(device, dtype)
        discriminator = network("discriminator", architecture.discriminator)
        if config.spectral_norm:
            normalise_spectrum(discriminator, generator_for(config.seed, "init/spectral_norm"))
        discriminator = discriminator.to(device, dtype)
        decay = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
        return cls(
            generator=generator,
            discriminator=discriminator,
            optimizer_g=_optimizer(config.optimizer_g, generator, config.lr_g, config.betas_g, config),
            optimizer_d=_optimizer(config.optimizer_d, discriminator, config.lr_d, config.betas_d, config),
            step_stats=torch.zeros(0, len(STATISTICS), dtype=torch.float64, device=device),
            average=AveragedModel(generator, multi_avg_fn=decay) if config.ema_decay else None,
        )

    def follow(self) -> None:
        """Update the moving average after a step of G.

        As ``update_parameters`` does it, which copies its counter to the device in every step, and so waits for it.
        """
        average = self.average
        if average is None:
            return
        if not average.n_averaged:  # on the CPU
            average.update_parameters(self.generator)
            return
        own, followed = ([p.detach() for p in network.parameters()] for network in (average.module, self.generator))
        assert average.multi_avg_fn is not None  # noqa: S101 - start gave it one
        average.multi_avg_fn(own, followed, average.n_averaged)
        for buffer, source in zip(average.module.buffers(), self.generator.buffers(), strict=True):
            buffer.detach().copy_(source.detach())
        average.n_averaged += 1

    def reserve(self, steps: int) -> None:
        """Allocate the statistics of an epoch of so many steps."""
        self.step_stats = self.step_stats.new_zeros(steps, len(STATISTICS))

    def finite(self) -> bool:
        """True if every weight and buffer of both networks is finite; waits for the device."""
        tensors = [*self.generator.state_dict().values(), *self.discriminator.state_dict().values()]
        return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())

    def state_dict(self) -> dict[str, object]:
        """Return everything a checkpoint needs, as tensors and plain values."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
            "trace": self.step_stats[: self.batch].clone(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            **({"average": self.average.state_dict()} if self.average is not None else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a ``state_dict``.

        Raises:
            KeyError, RuntimeError, ValueError: The state is of another shape.
        """
        for name in ("generator", "discriminator", "optimizer_g", "optimizer_d"):
            getattr(self, name).load_state_dict(state[name])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        for optimizer in (self.optimizer_g, self.optimizer_d):
            for moments in optimizer.state.values():
                if "step" in moments:  # the fast engine's parameters share one counter
                    moments["step"] = moments["step"].clone()
        self.step_stats[: len(state["trace"])].copy_(state["trace"])
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]


def _optimizer(
    name: OptimizerName, network: nn.Module, lr: float, betas: tuple[float, float], config: TrialConfig
) -> Optimizer:
    """Make the optimizer of a network's trained parameters, with PyTorch's defaults for other values."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    match name:
        case "adam":
            return Adam(parameters, lr=lr, betas=betas, eps=config.adam_eps)
        case "rmsprop":
            return RMSprop(parameters, lr=lr, eps=config.adam_eps, momentum=config.momentum)
        case "sgd":
            return SGD(parameters, lr=lr, momentum=config.momentum)
