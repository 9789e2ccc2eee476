"""What a running trial carries from step to step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from gan_bench.config.trial import TrialConfig
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.models.initialise import build
from gan_bench.models.randomness import generator_for

STATISTICS = ("loss_d", "loss_g", "d_real", "d_fake")
"""Order of the four values that every step yields."""


@dataclass
class TrainState:
    """Networks, optimisers and position of one trial.

    Attributes:
        generator: G, in train mode.
        discriminator: D, in train mode.
        optimizer_g: Adam over G.
        optimizer_d: Adam over D.
        epoch: Epochs finished.
        batch: Steps done in the epoch under way.
        step: Steps done in all.
        step_stats: (steps, 4) float64 on the device, ``STATISTICS`` of every step of the epoch under way; rows from
            ``batch`` on are stale. An engine reserves the room.
    """

    generator: nn.Module
    discriminator: nn.Module
    optimizer_g: Adam
    optimizer_d: Adam
    step_stats: Tensor
    epoch: int = 0
    batch: int = 0
    step: int = 0

    @classmethod
    def start(cls, config: TrialConfig, device: torch.device, dtype: torch.dtype = torch.float32) -> TrainState:
        """Build a trial's first state: initial weights depend on its seed alone, not on the device."""
        architecture = ARCHITECTURES[config.architecture]

        def network(role: str, make: Callable[[], nn.Module]) -> nn.Module:
            return build(make, config.init, generator_for(config.seed, f"init/{role}")).to(device, dtype)

        generator = network("generator", partial(architecture.generator, config.latent_dim))
        discriminator = network("discriminator", architecture.discriminator)

        def adam(net: nn.Module, lr: float, betas: tuple[float, float]) -> Adam:
            return Adam(net.parameters(), lr=lr, betas=betas, eps=config.adam_eps)

        return cls(
            generator=generator,
            discriminator=discriminator,
            optimizer_g=adam(generator, config.lr_g, config.betas_g),
            optimizer_d=adam(discriminator, config.lr_d, config.betas_d),
            step_stats=torch.zeros(0, len(STATISTICS), dtype=torch.float64, device=device),
        )

    def reserve(self, steps: int) -> None:
        """Make room for the statistics of an epoch of so many steps."""
        self.step_stats = self.step_stats.new_zeros(steps, len(STATISTICS))

    def finite(self) -> bool:
        """Say whether every weight and buffer of both networks is finite; waits for the device."""
        tensors = [*self.generator.state_dict().values(), *self.discriminator.state_dict().values()]
        return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())

    def state_dict(self) -> dict[str, Any]:
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
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        Raises:
            KeyError, RuntimeError, ValueError: The state is of another shape.
        """
        for name in ("generator", "discriminator", "optimizer_g", "optimizer_d"):
            getattr(self, name).load_state_dict(state[name])
        for optimizer in (self.optimizer_g, self.optimizer_d):
            for moments in optimizer.state.values():  # the fast engine's parameters share one counter
                moments["step"] = moments["step"].clone()
        self.step_stats[: len(state["trace"])].copy_(state["trace"])
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
