"""Several trials' networks computed at once: the same layers, each with its own weights, stacked along a leading axis.

A linear layer becomes a batched matrix product, a convolution one with a group for every trial, batch-norm one over
the channels of all. The weights lie in one memory, of which the trials' own modules and optimizers hold views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from gan_bench.config.trial import Precision
from gan_bench.models import mlp
from gan_bench.training.fast.engine import is_sequential
from gan_bench.training.fast.flat_adam import fused_adam
from gan_bench.training.fast.linear_stack import are_plain
from gan_bench.training.objective import Objective
from gan_bench.training.precision import pair_in
from gan_bench.training.state import TrainState
from gan_bench.training.step import Batch, GANPair, update


def can_stack(state: TrainState) -> bool:
    """True if trials with such networks can train together: known forwards, known layers, nothing else."""
    networks = (state.generator, state.discriminator)
    are_mlps = tuple(map(type, networks)) == (mlp.Generator, mlp.Discriminator) and are_plain(*networks)
    if not (are_mlps or is_sequential(state)):
        return False
    known = _ACTIVATIONS + (_LINEAR if are_mlps else _CONVOLUTIONAL)
    layers = [layer for network in networks for layer in _layers(network)]
    return all(type(layer) in known and _is_stackable(layer) for layer in layers)


_ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.ReLU, nn.LeakyReLU, nn.Tanh)
_LINEAR: tuple[type[nn.Module], ...] = (nn.Linear,)
_CONVOLUTIONAL: tuple[type[nn.Module], ...] = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)


def _is_stackable(layer: nn.Module) -> bool:
    match layer:
        case nn.LeakyReLU():
            return layer.negative_slope >= 0
        case nn.Conv2d() | nn.ConvTranspose2d():
            return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        case nn.BatchNorm2d():
            return layer.training and layer.affine and layer.track_running_stats and layer.momentum is not None
    return True


def _layers(network: nn.Module) -> list[nn.Module]:
    found = network.layers
    assert isinstance(found, nn.Sequential)  # noqa: S101 - the known architectures have no other
    return list(found)


def biases_before_norm(network: nn.Module) -> set[nn.Parameter]:
    """Return the biases of layers that batch-norm follows, which subtracts them again."""
    followed = [layer for layer, after in pairwise(_layers(network)) if isinstance(after, nn.BatchNorm2d)]
    return {layer.bias for layer in followed if isinstance(layer.bias, nn.Parameter)}


def stacked_step(states: Sequence[TrainState], objective: Objective, precision: Precision) -> Callable[[Batch], Tensor]:
    """Return the update of several trials on their own batches, stacked along a leading axis.

    Args:
        states: Trials of equal networks that stand at the same step; their tensors are moved into one memory.
        objective: What all of them minimise.
        precision: In which products are computed.

    Returns:
        A function that gives (K, 4) float64, as ``step.update`` does.
    """
    generators, discriminators = [s.generator for s in states], [s.discriminator for s in states]
    adam_g = StackedAdam(generators, [s.optimizer_g for s in states])
    adam_d = StackedAdam(discriminators, [s.optimizer_d for s in states])
    network_g = _StackedNetwork(generators, adam_g.weights, adam_g.gradients)
    network_d = _StackedNetwork(discriminators, adam_d.weights, adam_d.gradients)
    pair = pair_in(precision, GANPair(network_g, network_d, adam_g, adam_d))
    return partial(update, pair, objective=objective)


class StackedAdam:
    """The optimizers of K equal networks; neighbours with equal settings step in one fused call.

    Parameters, gradients and moments become views of stacks, in place: every module and optimizer keeps its own.

    Attributes:
        weights: (K, ...) for every parameter.
        gradients: The same for their gradients.
    """

    def __init__(self, networks: Sequence[nn.Module], optimizers: Sequence[Optimizer]) -> None:
        groups = [optimizer.param_groups[0] for optimizer in optimizers]
        settings = [{"lr": g["lr"], "betas": tuple(g["betas"]), "eps": g["eps"]} for g in groups]
        ends = [i for i in range(1, len(settings) + 1) if settings[i : i + 1] != settings[i - 1 : i]]
        self._runs = [(slice(start, stop), settings[start]) for start, stop in pairwise([0, *ends])]
        self._counts: list[list[Tensor]] = [[] for _ in self._runs]
        moved = [
            self._stack(parameters, [optimizer.state[p] for optimizer, p in zip(optimizers, parameters, strict=True)])
            for parameters in zip(*(network.parameters() for network in networks), strict=True)
        ]
        self._stacks: list[list[Tensor]] = [list(each) for each in zip(*moved, strict=True)]
        self.weights, self.gradients = self._stacks[:2]

    def _stack(self, parameters: Sequence[nn.Parameter], states: Sequence[dict[str, Tensor]]) -> tuple[Tensor, ...]:
        """Move one parameter of all networks; return the stacks of weights, gradients and both moments."""
        zero = torch.zeros_like(parameters[0], memory_format=torch.contiguous_format)
        weights = torch.stack([p.detach() for p in parameters])
        gradients = torch.zeros_like(weights)
        first, second = (torch.stack([state.get(name, zero) for state in states]) for name in ("exp_avg", "exp_avg_sq"))
        for (run, _), counts in zip(self._runs, self._counts, strict=True):
            counted = states[run.start].get("step", torch.zeros((), dtype=torch.float32))
            counts.append(counted.to(weights.device, copy=True))
            for k in range(run.start, run.stop):
                parameters[k].data, parameters[k].grad = weights[k], gradients[k]
                states[k].update(step=counts[-1], exp_avg=first[k], exp_avg_sq=second[k])
        return weights, gradients, first, second

    def zero_grad(self) -> None:
        """Set all gradients to zero, keeping them."""
        torch._foreach_zero_(self.gradients)

    def step(self) -> None:
        """Update all networks from their gradients."""
        for (run, settings), counts in zip(self._runs, self._counts, strict=True):
            weights, gradients, first, second = ([stack[run] for stack in each] for each in self._stacks)
            fused_adam(weights, gradients, first, second, counts, settings)


def stack_buffers(networks: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Move the buffers of equal networks into stacks and make the networks hold views; return the stacks by name."""
    stacks = {}
    for name, _ in networks[0].named_buffers():
        stacks[name] = together = torch.stack([network.get_buffer(name) for network in networks])
        path, _, last = name.rpartition(".")
        for network, row in zip(networks, together, strict=True):
            setattr(network.get_submodule(path), last, row)
    return stacks


def unstack(states: Sequence[TrainState]) -> None:
    """Copy trials out of the stacks, as a view would keep a whole stack in memory.

    They are freed one after the other, gradients first, which every step makes anew.
    """
    generators, discriminators = [s.generator for s in states], [s.discriminator for s in states]
    for network in (*generators, *discriminators):
        network.zero_grad(set_to_none=True)
    optimizers = [s.optimizer_g for s in states], [s.optimizer_d for s in states]
    for networks, adams in zip((generators, discriminators), optimizers, strict=True):
        for parameters in zip(*(network.parameters() for network in networks), strict=True):
            for parameter in parameters:
                parameter.data = parameter.data.clone()
            for adam, parameter in zip(adams, parameters, strict=True):
                moments = adam.state.get(parameter, {})  # some members may have none if memory ran out
                moments.update({name: tensor.clone() for name, tensor in moments.items()})
        for name, _ in networks[0].named_buffers():
            path, _, last = name.rpartition(".")
            for network in networks:
                setattr(network.get_submodule(path), last, network.get_buffer(name).clone())
    for state in states:
        state.step_stats = state.step_stats.clone()


class _StackedNetwork:
    """K equal networks as one function of (K, N, ...) inputs.

    Args:
        networks: The networks; their buffers are moved into stacks too.
        weights: Stacks of their parameters, in order.
        gradients: The same for gradients.
    """

    def __init__(self, networks: Sequence[nn.Module], weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        self._k = len(networks)
        self._leaves = [nn.Parameter(stack) for stack in weights]
        for leaf, gradient in zip(self._leaves, gradients, strict=True):
            leaf.grad = gradient
        self._own: dict[str, Tensor] = dict(zip(dict(networks[0].named_parameters()), self._leaves, strict=True))
        self._own |= stack_buffers(networks)
        self._layers = _layers(networks[0])
        self._convolutional = not isinstance(self._layers[0], nn.Linear)

    def parameters(self) -> Sequence[Tensor]:
        """Return the stacks of all parameters."""
        return self._leaves

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """Compute all networks.

        Args:
            inputs: (K, N, latent_dim) noise or (K, N, C, H, W) images.

        Returns:
            (K, N, ...) images, flat ones of fully connected networks, or (K, N) logits.
        """
        if not self._convolutional:
            return self._through(inputs.flatten(2)).squeeze(2)
        k, n, *shape = inputs.shape
        shape = shape if len(shape) == 3 else [*shape, 1, 1]
        channels = inputs.view(k, n, *shape).transpose(0, 1).reshape(n, k * shape[0], *shape[1:])
        made = self._through(channels)
        outputs = made.view(n, k, -1, *made.shape[2:]).transpose(0, 1)
        return outputs.flatten(1) if outputs.shape[2:] == (1, 1, 1) else outputs

    def _through(self, x: Tensor) -> Tensor:
        for index, layer in enumerate(self._layers):
            x = self._apply(layer, f"layers.{index}.", x)
        return x

    def _apply(self, layer: nn.Module, prefix: str, x: Tensor) -> Tensor:
        weight, bias = self._own.get(f"{prefix}weight"), self._own.get(f"{prefix}bias")
        if weight is None:
            stateless: Tensor = layer(x)
            return stateless
        match layer:
            case nn.Linear():
                if bias is None:
                    return torch.bmm(x, weight.mT)
                return torch.baddbmm(bias[:, None], x, weight.mT)
            case nn.BatchNorm2d():
                self._own[f"{prefix}num_batches_tracked"].add_(1)
                mean, variance = (self._own[f"{prefix}running_{what}"].view(-1) for what in ("mean", "var"))
                assert bias is not None and layer.momentum is not None  # noqa: S101, PT018 - can_stack looked
                return F.batch_norm(
                    x, mean, variance, weight.flatten(), bias.flatten(), True, layer.momentum, layer.eps
                )
        weight, bias = weight.flatten(0, 1), None if bias is None else bias.flatten()
        if isinstance(layer, nn.ConvTranspose2d):
            assert not isinstance(layer.padding, str)  # noqa: S101 - can_stack looked
            more = layer.output_padding, self._k, layer.dilation
            return F.conv_transpose2d(x, weight, bias, layer.stride, layer.padding, *more)
        assert isinstance(layer, nn.Conv2d)  # noqa: S101 - can_stack looked
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, self._k)
