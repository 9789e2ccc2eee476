"""One iteration, D step and G step, recorded once as a CUDA graph and replayed.

The nets of the articles are so small that launching their kernels one by one costs more than computing.
Everything a replay reads lies in buffers that stay where they are: the epoch's order and noise, a counter on the
device that picks the step's share of them, weights, moments and statistics. The last, smaller batch of an epoch runs
as it is. A graph that cannot be recorded, or whose first replay is not what the same step computes without it, is
given up, and the steps run one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from gan_bench.training.engine import normalise
from gan_bench.training.fast import FastEngine, make_step
from gan_bench.training.state import TrainState
from gan_bench.trial import TrialConfig

Body = Callable[[], None]
Capture = Callable[[Body], Body]
"""Takes an iteration and returns what repeats it."""

WARM_UP = 3
TOLERANCE = 1e-2
"""Mean difference of weights after one step, in learning rates, that rounding may explain: Adam's first step moves
every weight by one learning rate, and one with a gradient of almost zero either way."""


def cuda_capture(body: Body) -> Body:
    """Record an iteration as a CUDA graph, after some that let libraries choose and allocate what they need."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            body()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    replay: Body = graph.replay
    return replay


class CapturedEngine(FastEngine):
    """Replays a recorded iteration; its state and checkpoints are those of the other engines.

    Args:
        config: The trial.
        pictures: (N, C, H, W) uint8 training pictures on the device that computes.
        state: Where the trial stands; changed in place.
        capture: What records an iteration.
    """

    def __init__(
        self, config: TrialConfig, pictures: Tensor, state: TrainState, capture: Capture = cuda_capture
    ) -> None:
        super().__init__(config, pictures, state)
        self._capture = capture
        self._replay: Body | None = None
        self._tried = False
        self._loaded = 0
        size, device = config.batch_size, pictures.device
        self._whole = len(pictures) * config.dataset_repeats // size
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self._order = torch.zeros(self._whole, size, dtype=torch.int64, device=device)
        noise = (self._whole, size, config.latent_dim)
        self._noise_d = torch.zeros(noise, dtype=self._dtype, device=device)
        self._noise_g = torch.zeros(noise, dtype=self._dtype, device=device) if config.step_fakes == "fresh" else None

    def advance(self, most: int, stop: Callable[[], bool]) -> None:
        """Do at most this many steps, ending early at an epoch's end or when ``stop`` says so."""
        state = self.state
        if self._whole and not self._tried:
            self._tried = True
            self._load_draws()
            self._at.fill_(state.batch % self._whole)
            self._replay = self._record()
        if self._replay is None:
            super().advance(most, stop)
            return
        self._load_draws()
        self._at.fill_(state.batch)
        replays = min(most, self._whole - state.batch)
        for _ in range(replays):
            if stop():
                return
            self._replay()
            state.batch += 1
            state.step += 1
        if most > max(replays, 0):
            super().advance(most - max(replays, 0), stop)

    def _load_draws(self) -> None:
        """Copy the epoch's order and noise to where replays read them."""
        epoch = self.state.epoch + 1
        if self._loaded == epoch:
            return
        draws = self._draws_of(epoch)
        self._order.copy_(draws.order[: self._order.numel()].view_as(self._order))
        self._noise_d.copy_(draws.noise_d[: self._whole])
        if self._noise_g is not None and draws.noise_g is not None:
            self._noise_g.copy_(draws.noise_g[: self._whole])
        self._loaded = epoch

    def _iteration(self) -> None:
        """Do the step that the counter names, and count on; past the epoch's last whole batch it starts again."""
        order = self._order.index_select(0, self._at)[0]
        real = normalise(self.pictures.index_select(0, order), self._dtype)
        noise_g = None if self._noise_g is None else self._noise_g.index_select(0, self._at)[0]
        statistics = self._update(real, self._noise_d.index_select(0, self._at)[0], noise_g)
        self.state.trace.index_copy_(0, self._at, statistics[None])
        self._at.add_(1).remainder_(self._whole)

    def _record(self) -> Body | None:
        """Record the iteration and rehearse it; None when that fails."""
        if self._step is None:
            self._step = make_step(self.state, self.config.batch_size)
        before = self._snapshot()
        try:
            self._iteration()  # once without recording: what a replay must give
            wanted = self._weights()
            replay = self._capture(self._iteration)
            self._restore(before)
            replay()
            apart = float((self._weights() - wanted).abs().mean()) / max(self.config.lr_g, self.config.lr_d)
            if not apart <= TOLERANCE:
                raise RuntimeError(f"its first replay is off by {apart:.3g} learning rates")
        except Exception as error:  # CUDA raises many kinds
            text = f"the CUDA graph is not used ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            self._restore(before)
            return None
        self._restore(before)
        return replay

    def _tensors(self) -> list[Tensor]:
        """Everything an iteration changes."""
        state = self.state
        moments = [
            tensor
            for optimizer in (state.optimizer_g, state.optimizer_d)
            for each in optimizer.state.values()
            for tensor in each.values()
        ]
        networks = [*state.generator.state_dict().values(), *state.discriminator.state_dict().values()]
        return [*networks, *moments, state.trace, self._at]

    def _weights(self) -> Tensor:
        parameters = [*self.state.generator.parameters(), *self.state.discriminator.parameters()]
        return torch.cat([p.detach().flatten() for p in parameters]).clone()

    def _snapshot(self) -> list[Tensor]:
        return [tensor.clone() for tensor in self._tensors()]

    def _restore(self, before: list[Tensor]) -> None:
        """Put everything back in place, where the graph reads it."""
        with torch.no_grad():
            for tensor, value in zip(self._tensors(), before, strict=True):
                tensor.copy_(value)
