"""The same update in less time: measured optimisations, each in one place.

Fully connected nets: passes written out into fixed buffers (``linear_stack``), real and fake images in one pass of D.
Convolutional nets: channels last in memory, weak kernels replaced (``conv_layers``). Both: one fused Adam
(``flat_adam``).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_bench.config.trial import Precision, TrialConfig
from gan_bench.models.dcgan import SequentialDiscriminator, SequentialGenerator
from gan_bench.models.losses import LOSSES
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast import conv_layers
from gan_bench.training.fast.flat_adam import FlatAdam
from gan_bench.training.fast.linear_stack import LinearStack, are_plain
from gan_bench.training.objective import ARTICLES, Objective
from gan_bench.training.precision import pair_in
from gan_bench.training.state import TrainState
from gan_bench.training.step import Batch, Computed, GANPair, update


def unsupported(config: TrialConfig) -> str | None:
    """Return what this engine does not support of a trial, which the reference engine then trains; else None.

    Penalties differentiate gradients, which the replaced layers cannot; its Adam is the only optimizer it has;
    spectral norms replace the layers themselves; and its G step shows D no real images.
    """
    for name, off in (("gradient_penalty", 0), ("r1_gamma", 0), ("spectral_norm", False),
                      ("optimizer_g", "adam"), ("optimizer_d", "adam")):  # fmt: skip
        if getattr(config, name) != off:
            return name if off in (0, False) else f"{name}={getattr(config, name)}"
    if LOSSES[config.loss].generator is None:
        return f"loss={config.loss}"
    return None


def no_real_images() -> Tensor:
    """Placeholder for D's outputs of real images in the G step, which no loss of this engine needs."""
    raise AssertionError("losses that look at real images in the G step are the reference engine's")


Body = Callable[[], None]
Capture = Callable[[Body], Body]
"""Takes an iteration and returns a function that repeats it."""


class FastEngine(ReferenceEngine):
    """Does what the reference engine does, faster; its checkpoints are interchangeable.

    Attributes:
        capture: What records an iteration on its device, or None.
    """

    name = "fast"
    capture: Capture | None = None
    _step: FastStep | None = None

    def _update(self, batch: Batch, *, g_step: bool) -> Tensor:
        return self.step()(batch, g_step=g_step)

    @property
    def repeats(self) -> bool:
        """True if all steps are equal, so that they can be recorded and grouped with other trials'."""
        return self.objective.d_steps == 1

    def step(self, *, anew: bool = False) -> FastStep:
        """Return the update; made at its first use, as a checkpoint may be loaded until then.

        Any pair of networks has one, and an unknown one at least one Adam call.
        """
        if self._step is None or anew:
            state, precision = self.state, self.config.precision
            if precision != "bf16" and LinearStack.fits(state.generator, state.discriminator):
                self._step = LinearStep(state, self.config.batch_size, self.objective)
            else:
                self._step = ModuleStep(state, self.objective, precision)
        return self._step

    def moved(self) -> None:
        """Drop views of the state's tensors, whose memory has moved."""
        self._step = None


class LinearStep:
    """The update of two fully connected nets, with its gradients written out.

    Args:
        state: The trial; its networks and optimisers are changed in place.
        rows: Most real and most fake images of a step.
        objective: What is minimised.
    """

    def __init__(self, state: TrainState, rows: int, objective: Objective) -> None:
        self._adam_g = FlatAdam(state.optimizer_g)
        self._adam_d = FlatAdam(state.optimizer_d)
        self._g = LinearStack(state.generator.layers, rows)  # type: ignore[arg-type]
        self._d = LinearStack(state.discriminator.layers, 2 * rows)  # type: ignore[arg-type]
        self._objective = objective
        self._bce = objective.loss == ARTICLES.loss and not objective.label_smoothing
        weight = next(state.discriminator.parameters())
        self._both = weight.new_empty(2 * rows, weight.shape[1])
        self._slope = weight.new_empty(2 * rows, 1)

    @torch.no_grad()
    def __call__(self, batch: Batch, *, g_step: bool = True) -> Tensor:
        """Train on one batch; as ``step.update`` without the state."""
        n, m, loss = len(batch.real), len(batch.z_d), self._objective.loss
        images = self._both[: n + m]
        images[:n] = batch.real.flatten(1)
        images[n:] = self._g.forward(batch.z_d)
        outputs = self._d.forward(images)
        statistics, slope = self._slope_d(outputs, n)
        if not g_step:
            statistics[1] = loss.of_generator(outputs[n:, 0], lambda: outputs[:n, 0])
        self._d.backward(slope, weights=True, inputs=False)
        self._adam_d.step()
        self._objective.clip([self._adam_d.weights])
        if not g_step:
            return torch.stack(statistics).double()

        fake = self._g.forward(batch.z_d if batch.z_g is None else batch.z_g)
        statistics[1], slope = self._slope_g(self._d.forward(fake))
        gradient = self._d.backward(slope, weights=False, inputs=True)
        assert gradient is not None  # noqa: S101 - it was asked for
        self._g.backward(gradient, weights=True, inputs=False)
        self._adam_g.step()
        return torch.stack(statistics).double()

    def _slope_d(self, outputs: Tensor, n: int) -> tuple[list[Tensor], Tensor]:
        """Return the four statistics, with that of G still to come, and the gradient of D's loss in its outputs."""
        real, fake, loss = outputs[:n], outputs[n:], self._objective.loss
        if not self._bce:
            loss_of = self._objective.discriminator_loss
            loss_d, slope = slope_of(lambda leaf: loss_of(leaf[:n, 0], leaf[n:, 0]), outputs)
            return [loss_d, loss_d, loss.mean_output(real[:, 0]), loss.mean_output(fake[:, 0])], slope
        loss_d = F.softplus(-real).mean() + F.softplus(fake).mean()
        probabilities, slope = torch.sigmoid(outputs), self._slope[: len(outputs)]
        d_real, d_fake = probabilities[:n].mean(), probabilities[n:].mean()
        torch.sub(probabilities[:n], 1, out=slope[:n]).div_(n)  # d softplus(-s) / ds = sigmoid(s) - 1
        torch.div(probabilities[n:], len(fake), out=slope[n:])
        return [loss_d, loss_d, d_real, d_fake], slope

    def _slope_g(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return G's loss, and its gradient in D's outputs."""
        if not self._bce:
            return slope_of(lambda leaf: self._objective.loss.of_generator(leaf[:, 0], no_real_images), outputs)
        slope = torch.sub(torch.sigmoid(outputs), 1, out=self._slope[: len(outputs)]).div_(len(outputs))
        return F.softplus(-outputs).mean(), slope


def slope_of(loss: Callable[[Tensor], Tensor], outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss, () of a trial or (K,) of several, and its gradient in D's outputs, zero where no image is."""
    with torch.enable_grad():
        leaf = outputs.detach().clone().requires_grad_()
        value = loss(leaf)
        (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


class ModuleStep:
    """The update of any two nets, through autograd; of known ones with one Adam call and, on a CPU, faster layers.

    One call for all parameters counts a step of each. Code of a user's own may do without some of them in some steps,
    and then their Adam waits: networks with such code keep the optimizers that they have.

    Args:
        state: The trial; its networks and optimisers are changed in place.
        objective: What is minimised.
        precision: In which products are computed; the faster layers are float32's.
    """

    def __init__(self, state: TrainState, objective: Objective, precision: Precision) -> None:
        generator, discriminator = state.generator, state.discriminator
        cpu, known = next(generator.parameters()).device.type == "cpu", is_sequential(state)
        replaced = cpu and precision != "bf16" and known
        if replaced:
            for network in (generator, discriminator):
                network.to(memory_format=torch.channels_last)
        known = known or LinearStack.fits(generator, discriminator)
        optimizers = state.optimizer_g, state.optimizer_d
        adams = map(FlatAdam, optimizers) if known else optimizers
        if replaced:
            through_g, through_d = (conv_layers.forward(network.layers) for network in (generator, discriminator))  # type: ignore[arg-type]
            self._pair: GANPair = GANPair(
                Computed(generator, lambda noise: through_g(noise[:, :, None, None])),
                Computed(discriminator, lambda images: through_d(images).flatten()),
                *adams,
            )
        else:
            self._pair = pair_in(precision, GANPair(generator, discriminator, *adams))
        self._objective = objective

    def __call__(self, batch: Batch, *, g_step: bool = True) -> Tensor:
        """Train on one batch; as ``step.update`` without the state."""
        return update(self._pair, batch, self._objective, g_step=g_step)


FastStep = LinearStep | ModuleStep
"""A function that does one update."""


def is_sequential(state: TrainState) -> bool:
    """True if both convolutional networks only apply their layers."""
    networks = (state.generator, state.discriminator)
    forwards = tuple(type(network).forward for network in networks)
    return forwards == (SequentialGenerator.forward, SequentialDiscriminator.forward) and are_plain(*networks)
