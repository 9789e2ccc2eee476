"""A stack of linear layers with forward and backward passes written out, into buffers that are made once.

The fully connected nets of the articles are so small that autograd and allocation cost more than the arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_bench.models import mlp
from gan_bench.training.fast.matmul import product

_aten = torch.ops.aten


def activate_(activation: nn.Module | None, values: Tensor) -> None:
    """Apply ReLU, LeakyReLU, Tanh or nothing, in place."""
    match activation:
        case nn.LeakyReLU(negative_slope=slope):
            nn.functional.leaky_relu_(values, slope)
        case nn.ReLU():
            values.relu_()
        case nn.Tanh():
            values.tanh_()


def carry_back_(activation: nn.Module | None, gradient: Tensor, output: Tensor) -> None:
    """Turn the gradient of an activation's output into that of its input, in place."""
    match activation:
        case nn.LeakyReLU(negative_slope=slope):
            _aten.leaky_relu_backward.grad_input(gradient, output, slope, True, grad_input=gradient)
        case nn.ReLU():
            _aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
        case nn.Tanh():
            _aten.tanh_backward.grad_input(gradient, output, grad_input=gradient)


def is_its_layers(network: nn.Module) -> bool:
    """True if a network whose class's forward is that of its ``layers`` does no more: no hook, no other container."""
    if type(network).__call__ is not nn.Module.__call__ or any("forward" in vars(each) for each in network.modules()):
        return False
    of_modules = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    of_parameters = ("_backward_hooks", "_post_accumulate_grad_hooks")
    hooks = [getattr(module, name) for module in network.modules() for name in of_modules]
    hooks += [getattr(parameter, name, None) for parameter in network.parameters() for name in of_parameters]
    return type(getattr(network, "layers", None)) is nn.Sequential and not any(hooks)


def owns_its_parameters(network: nn.Module) -> bool:
    """True if all parameters of a network are trained, and each stands in one place, which is one of its ``layers``."""
    named = list(network.named_parameters(remove_duplicate=False))
    of_layers = network.get_submodule("layers").named_parameters("layers", remove_duplicate=False)
    is_each_once = len({id(parameter) for _, parameter in named}) == len(named)
    are_trained = all(parameter.requires_grad for _, parameter in named)
    return is_each_once and are_trained and [name for name, _ in named] == [name for name, _ in of_layers]


class LinearStack:
    """Runs an ``nn.Sequential`` of linear layers, each followed by ReLU, LeakyReLU, Tanh or nothing.

    Weights and gradients are those of the module: it stays the owner of both, and every ``.grad`` must be allocated.

    Args:
        layers: The module.
        rows: Most rows of an input.
    """

    def __init__(self, layers: nn.Sequential, rows: int) -> None:
        self._linears: list[nn.Linear] = []
        self._activations: list[nn.Module | None] = []
        for layer in layers:
            if isinstance(layer, nn.Linear):
                self._linears.append(layer)
                self._activations.append(None)
            else:
                self._activations[-1] = layer
        like = self._linears[0].weight
        self._outputs = [like.new_empty(rows, linear.out_features) for linear in self._linears]
        self._gradients = [like.new_empty(rows, linear.in_features) for linear in self._linears]
        self._made: list[Tensor] = []

    @staticmethod
    def fits(network: nn.Module) -> bool:
        """True if a network is such a stack."""
        if type(network) not in (mlp.Generator, mlp.Discriminator):
            return False
        if not (is_its_layers(network) and owns_its_parameters(network)):
            return False
        layers = [*network.get_submodule("layers").children()]
        if type(layers[0]) is not nn.Linear:
            return False
        before: nn.Module | None = None
        for layer in layers:
            is_known = type(layer) in (nn.ReLU, nn.LeakyReLU, nn.Tanh) and getattr(layer, "negative_slope", 0) >= 0
            pair = type(before) is nn.Linear and is_known
            if not (pair or (type(layer) is nn.Linear and layer.bias is not None)):
                return False
            before = layer
        return True

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the stack's outputs, in a buffer that the next call overwrites.

        Args:
            inputs: (n, in_features); kept for ``backward``.
        """
        self._made = [inputs]
        rows = len(inputs)
        for linear, activation, buffer in zip(self._linears, self._activations, self._outputs, strict=True):
            inputs = product(inputs, linear.weight.t(), linear.bias, buffer[:rows])
            activate_(activation, inputs)
            self._made.append(inputs)
        return inputs

    def backward(self, gradient: Tensor, *, weights: bool, inputs: bool) -> Tensor | None:
        """Carry the gradient of the last ``forward``'s outputs back.

        Args:
            gradient: (n, out_features) of the outputs; it is overwritten.
            weights: Whether the gradients of weights and biases are written.
            inputs: Whether the gradient of the inputs is wanted.

        Returns:
            (n, in_features), in a buffer that the next call overwrites, or None.
        """
        rows = len(gradient)
        for i in range(len(self._linears) - 1, -1, -1):
            linear, below, output = self._linears[i], self._made[i], self._made[i + 1]
            carry_back_(self._activations[i], gradient, output)
            if weights:
                assert linear.weight.grad is not None and linear.bias.grad is not None  # noqa: S101, PT018 - ours
                made = product(gradient.t(), below, out=linear.weight.grad)
                if made is not linear.weight.grad:
                    linear.weight.grad.copy_(made)
                torch.sum(gradient, 0, out=linear.bias.grad)
            if i or inputs:
                gradient = product(gradient, linear.weight, out=self._gradients[i][:rows])
        return gradient if inputs else None
