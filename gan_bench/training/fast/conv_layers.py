"""Convolutions as matrix products, where the library's kernels are slow on a CPU.

These are transposed convolutions of single pixels, convolutions that end in one, and those from or to an image of one
or three channels. On two cores of an AMD EPYC (torch 2.15, medians of four interleaved rounds) the 28x28 pair trained
2,317 images/s with all four and 2,040 with none, and each one alone was worth 4 to 8 %; the 64x64 pair did not gain.
On another such machine, half as fast, all four were worth 25 % and 2 % (medians of three interleaved pairs); on two
cores of an Intel Xeon nothing (0.97 and 1.00 of the rate without, medians of eleven and five interleaved pairs).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from gan_bench.training.fast.matmul import multiply, product

THIN = 4
"""Most channels of an image."""


def forward(layers: nn.Sequential) -> Callable[[Tensor], Tensor]:
    """Return a function that computes what ``layers`` computes.

    Args:
        layers: Layers of one of the convolutional nets.

    Returns:
        A function of (N, C, H, W) images or features; differentiable in them and in the layers' weights.
    """
    steps = list(zip([None, *layers], layers, strict=False))

    def run(x: Tensor) -> Tensor:
        for before, layer in steps:
            x = _activate(layer, x) if _overwritable(before) else _apply(layer, x)
        return x

    return run


def _is_replaceable(layer: nn.Module) -> bool:
    """True if the replacements can compute a convolution."""
    return (
        type(layer) in (nn.Conv2d, nn.ConvTranspose2d)
        and layer.bias is None
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and getattr(layer, "output_padding", (0, 0)) == (0, 0)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def _overwritable(layer: nn.Module | None) -> bool:
    """True if a layer's backward pass does not need its output."""
    return type(layer) in (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)


def _activate(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply an activation in place, which made the pairs 4 % and 2 % faster; other layers unchanged."""
    if type(layer) is nn.ReLU:
        return F.relu_(x)
    if type(layer) is nn.LeakyReLU and layer.negative_slope > 0:
        return F.leaky_relu_(x, layer.negative_slope)
    return _apply(layer, x)


def _apply(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer, or the replacement of a convolution."""
    match layer:
        case nn.ConvTranspose2d() if _is_replaceable(layer):
            if x.shape[2:] == (1, 1) and layer.padding == (0, 0):
                return _conv_transpose_1x1(layer, x)
            if layer.out_channels <= THIN:
                return _conv_transpose_thin(layer, x)
        case nn.Conv2d() if _is_replaceable(layer):
            if x.shape[2:] == layer.kernel_size and layer.padding == (0, 0):
                return _conv_to_1x1(layer, x)
            if layer.in_channels <= THIN:
                return _thin_conv(layer, _channels_last(x))
    out: Tensor = layer(x)
    return out


def _channels_last(images: Tensor) -> Tensor:
    """Convert images to channels last, also single-channel ones, which have both layouts."""
    n, channels, height, width = images.shape
    if channels == 1 and images.is_contiguous():
        return images.view(n, height, width, 1).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def _conv_transpose_1x1(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """One pixel to a small image: a matrix product."""
    weight = layer.weight.permute(0, 2, 3, 1)  # free in channels_last
    inputs, height, width, outputs = weight.shape
    made = multiply(x.flatten(1), weight.reshape(inputs, -1))
    return made.view(-1, height, width, outputs).permute(0, 3, 1, 2)


def _conv_to_1x1(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A small image to one pixel: a matrix product."""
    rows = x.permute(0, 2, 3, 1).reshape(len(x), -1)
    weight = layer.weight.permute(0, 2, 3, 1).reshape(layer.out_channels, -1)
    return multiply(rows, weight.t())[:, :, None, None]


def _conv_transpose_thin(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Features to an image of few channels: a matrix product and a sum of overlapping patches."""
    n, channels, height, width = x.shape
    patches = multiply(x.permute(0, 2, 3, 1).reshape(-1, channels), layer.weight.reshape(channels, -1))
    columns = patches.view(n, height * width, -1).transpose(1, 2)
    pads = tuple(map(int, layer.padding))
    sides = zip((height, width), layer.stride, pads, layer.kernel_size, strict=True)
    size = tuple((length - 1) * stride - 2 * pad + kernel for length, stride, pad, kernel in sides)
    return F.fold(columns, size, layer.kernel_size, padding=pads, stride=layer.stride)


def _thin_conv(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolution of an image of few channels, with a replaced input gradient if one is needed."""
    out: Tensor = _ThinConv2d.apply(x, layer.weight, layer.stride, layer.padding) if x.requires_grad else layer(x)
    return out


class _ThinConv2d(torch.autograd.Function):
    """A convolution of an image of few channels, whose input gradient is a matrix product and a sum of patches."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN401
        x, weight = ctx.saved_tensors
        inputs = weights = None
        if ctx.needs_input_grad[0]:
            n, channels = gradient.shape[:2]
            patches = product(gradient.permute(0, 2, 3, 1).reshape(-1, channels), weight.reshape(channels, -1))
            columns = patches.view(n, -1, patches.shape[1]).transpose(1, 2)
            inputs = F.fold(columns, x.shape[2:], weight.shape[2:], padding=ctx.padding, stride=ctx.stride)
        if ctx.needs_input_grad[1]:
            weights = conv2d_weight(x, weight.shape, gradient, ctx.stride, ctx.padding)  # type: ignore[no-untyped-call]
        return inputs, weights, None, None
