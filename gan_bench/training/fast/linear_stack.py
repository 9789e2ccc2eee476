"""A stack of linear layers with explicit forward and backward passes into reused buffers.

The fully connected nets of the articles are so small that autograd and allocation cost more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def are_plain(*networks: nn.Module) -> bool:
    """True if networks that apply their ``layers`` have PyTorch's own layers only.

    Only such networks do at every step what one can read from their layers: layers of a user's own may leave weights
    without gradients at times, look at how tensors lie in memory, or count their calls.
    """
    named = [each for network in networks for each in network.named_parameters(remove_duplicate=False)]
    of_layers = list[str]()
    for network in networks:
        layers = network._modules.get("layers")
        if type(layers) is not nn.Sequential or not _inherits_all_but_forward(type(network)):
            return False
        if not all(type(module).__module__.startswith("torch.nn.modules.") for module in layers.modules()):
            return False
        of_layers += [name for name, _ in layers.named_parameters("layers", remove_duplicate=False)]
    is_each_once = len({parameter.data_ptr() for _, parameter in named}) == len(named)
    return (
        [name for name, _ in named] == of_layers
        and is_each_once
        and all(map(_is_as_made, (module for network in networks for module in network.modules())))
        and all(parameter.requires_grad and parameter.dim() < 5 for _, parameter in named)
        and not any(getattr(parameter, name, None) for _, parameter in named for name in _HOOKS)
    )


_METHODS = {name for name in dir(nn.Module) if callable(getattr(nn.Module, name)) and not name.startswith("__annotate")}
_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_post_accumulate_grad_hooks",
)  # fmt: skip
"""Of modules and of parameters."""


def _inherits_all_but_forward(kind: type[nn.Module]) -> bool:
    """True if a class and its bases override at most ``__init__`` and ``forward`` of the methods of ``nn.Module``."""
    own = kind.__mro__[: kind.__mro__.index(nn.Module)]
    return not {name for each in own for name in vars(each)} & (_METHODS - {"__init__", "forward"})


def _is_as_made(module: nn.Module) -> bool:
    """True if a module has no replaced methods and no hooks, and its weights are parameters."""
    weights = (getattr(module, name, None) for name in ("weight", "bias"))
    return (
        not vars(module).keys() & _METHODS
        and not any(getattr(module, name, None) for name in _HOOKS)
        and all(weight is None or isinstance(weight, nn.Parameter) for weight in weights)
    )


def _alternate(layers: Sequence[nn.Module]) -> bool:
    """True if layers are linear ones, the first one too, each with a bias and at most one known activation behind."""
    for before, layer in zip([None, *layers], layers, strict=False):
        is_known = type(layer) in (nn.ReLU, nn.LeakyReLU, nn.Tanh) and getattr(layer, "negative_slope", 0) >= 0
        is_activation = type(before) is nn.Linear and is_known
        if not (is_activation or (type(layer) is nn.Linear and layer.bias is not None)):
            return False
    return bool(layers)


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
    def fits(*networks: nn.Module) -> bool:
        """True if networks are such stacks."""
        if not ({*map(type, networks)} <= {mlp.Generator, mlp.Discriminator} and are_plain(*networks)):
            return False
        return all(_alternate(list(network.get_submodule("layers").children())) for network in networks)

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
