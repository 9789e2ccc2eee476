"""Adam over all parameters of a network at once: one tensor, one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adam import adam


class FlatAdam:
    """Steps a network's own Adam with one fused call over one flat tensor.

    Parameters, gradients and both moments become views of flat tensors, in place: the module and its optimizer keep
    their ``state_dict``, so a checkpoint of either engine is one of the other.

    Args:
        optimizer: An Adam. Its parameters, which are of one dtype, are moved into one tensor, its state likewise; lr,
            betas and eps are read from it.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._group = optimizer.param_groups[0]
        parameters: list[nn.Parameter] = self._group["params"]
        self.weights = _flatten([p.detach() for p in parameters], parameters)
        self.gradients = torch.zeros_like(self.weights)
        states = [optimizer.state[p] for p in parameters]
        zeros = [torch.zeros_like(p) for p in parameters]
        first = [s.get("exp_avg", z) for s, z in zip(states, zeros, strict=True)]
        second = [s.get("exp_avg_sq", z) for s, z in zip(states, zeros, strict=True)]
        self._first, self._second = _flatten(first, parameters), _flatten(second, parameters)
        step = states[0].get("step", torch.zeros((), dtype=torch.float32))
        self._step = step.to(self.weights.device, copy=True)
        parts = (self.weights, self.gradients, self._first, self._second)
        for parameter, state, views in zip(parameters, states, _views(parts, parameters), strict=True):
            parameter.data, parameter.grad = views[0], views[1]
            state.update(step=self._step, exp_avg=views[2], exp_avg_sq=views[3])

    def zero_grad(self) -> None:
        """Set all gradients to zero, keeping them."""
        self.gradients.zero_()

    def step(self) -> None:
        """Update the parameters from the gradients."""
        fused_adam([self.weights], [self.gradients], [self._first], [self._second], [self._step], self._group)


def fused_adam(
    weights: list[Tensor], gradients: list[Tensor], first: list[Tensor], second: list[Tensor], steps: list[Tensor],
    settings: Mapping[str, Any],
) -> None:  # fmt: skip
    """Do one step of Adam in one fused call, with ``lr``, ``betas`` and ``eps`` as an optimizer's group has them."""
    beta1, beta2 = settings["betas"]
    adam(
        weights, gradients, first, second, [], steps, fused=True, amsgrad=False, beta1=beta1, beta2=beta2,
        lr=settings["lr"], weight_decay=0.0, eps=settings["eps"], maximize=False,
    )  # fmt: skip


def _channels_last(parameter: nn.Parameter) -> bool:
    return parameter.dim() == 4 and not parameter.is_contiguous()


def _flatten(tensors: Iterable[Tensor], like: list[nn.Parameter]) -> Tensor:
    """Lay tensors into one, each in the memory order of its parameter."""
    return torch.cat(
        [
            (tensor.permute(0, 2, 3, 1) if _channels_last(parameter) else tensor).reshape(-1)
            for tensor, parameter in zip(tensors, like, strict=True)
        ]
    )


def _views(flats: Iterable[Tensor], like: list[nn.Parameter]) -> Iterable[list[Tensor]]:
    """Cut flat tensors into views of the parameters' shapes and memory orders."""
    start = 0
    for parameter in like:
        stop = start + parameter.numel()
        pieces = [flat[start:stop] for flat in flats]
        if _channels_last(parameter):
            n, c, h, w = parameter.shape
            yield [piece.view(n, h, w, c).permute(0, 3, 1, 2) for piece in pieces]
        else:
            yield [piece.view(parameter.shape) for piece in pieces]
        start = stop
