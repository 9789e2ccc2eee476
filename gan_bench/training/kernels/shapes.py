"""The shapes of the layers, and how kernels cut them into tiles: all arithmetic on sizes stands here.

Nothing here depends on how many trials train together: then no trial's bits do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

ROWS_PER_PART = 1024
"""Rows of images that one program sums for a weight's gradient. Shorter sums are more programs and more partial sums;
on an H200 one trial of 64 images must alone give work to many of 132 multiprocessors."""


@dataclass(frozen=True)
class Layer:
    """A convolution without bias, batch-norm or none, and an activation.

    Attributes:
        index: Place of the convolution in its ``nn.Sequential``.
        transposed: Whether it is a transposed convolution.
        inputs: Channels that go in.
        outputs: Channels that come out.
        kernel: Rows and columns of the kernel.
        stride: Its stride.
        padding: Its padding.
        size_in: (rows, columns) of an image that goes in.
        size_out: (rows, columns) of what comes out.
        norm: Place of the batch-norm, or None.
        slope: What the activation multiplies negative values by: 0 is ReLU, 1 no activation.
        tanh: Whether the activation is tanh, which only a last layer may have.
    """

    index: int
    transposed: bool
    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    size_in: tuple[int, int]
    size_out: tuple[int, int]
    norm: int | None = None
    slope: float = 1.0
    tanh: bool = False


@dataclass(frozen=True)
class Tile:
    """How much of a product one program computes.

    Attributes:
        rows: Output pixels, or input channels of a weight's gradient.
        columns: Output channels.
        depth: Terms that are added in one turn.
    """

    rows: int
    columns: int
    depth: int


def layers_of(network: nn.Sequential, size: tuple[int, int]) -> list[Layer] | None:
    """Read a network as such layers.

    Args:
        network: What computes it.
        size: (rows, columns) of the images that go in; noise is images of one pixel.

    Returns:
        None where it has something else.
    """
    found: list[Layer] = []
    for index, module in enumerate(network):
        last = found[-1] if found else None
        match module:
            case nn.Conv2d() | nn.ConvTranspose2d() if _is_supported(module):
                if last is not None and last.tanh:
                    return None
                found.append(_convolution(index, module, last.size_out if last else size))
            case nn.BatchNorm2d() if last is not None and last.norm is None and last.slope == 1 and not last.tanh:
                if not (module.affine and module.track_running_stats and module.momentum is not None):
                    return None
                found[-1] = replace(last, norm=index)
            case nn.ReLU() | nn.LeakyReLU() if last is not None and last.slope == 1 and not last.tanh:
                found[-1] = replace(last, slope=getattr(module, "negative_slope", 0.0))
            case nn.Tanh() if last is not None and last.slope == 1 and not last.tanh and last.norm is None:
                found[-1] = replace(last, tanh=True)
            case _:
                return None
    bare = found and found[-1].norm is None and found[-1].slope == 1  # the last one's outputs are what people see
    return found if bare and all(min(layer.size_out) > 0 for layer in found) else None


def _is_supported(module: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    square = all(len(set(pair)) == 1 for pair in (module.kernel_size, module.stride, module.padding))
    simple = set(module.dilation) == {1} and module.groups == 1 and set(module.output_padding) == {0}
    return square and simple and module.bias is None and module.padding_mode == "zeros"


def _convolution(index: int, module: nn.Conv2d | nn.ConvTranspose2d, size: tuple[int, int]) -> Layer:
    kernel, stride, padding = module.kernel_size[0], module.stride[0], int(module.padding[0])
    transposed = isinstance(module, nn.ConvTranspose2d)
    if transposed:
        out = tuple((each - 1) * stride - 2 * padding + kernel for each in size)
    else:
        out = tuple((each + 2 * padding - kernel) // stride + 1 for each in size)
    channels = module.in_channels, module.out_channels
    return Layer(index, transposed, *channels, kernel, stride, padding, size, (out[0], out[1]))


def power_above(count: int, least: int = 16) -> int:
    """Return the smallest power of two that holds ``count``; products take no fewer than 16 of anything."""
    return max(least, 1 << max(count - 1, 0).bit_length())


def product_tile(outputs: int, terms: int) -> Tile:
    """Cut the product that gives images.

    Args:
        outputs: Channels that come out.
        terms: Terms of each output's sum.
    """
    columns = min(64, power_above(outputs))
    return Tile(128 if columns <= 32 else 64, columns, min(32, power_above(terms)))


def gradient_tile(rows: int, columns: int) -> Tile:
    """Cut the product that gives a weight's gradient: a matrix of (channels, taps times channels)."""
    return Tile(min(64, power_above(rows)), min(64, power_above(columns)), 32)


def classes(layer_stride: int, size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Return how many classes of output pixels a transposed product has, and the pixels of one.

    Which taps of the kernel reach an output pixel depends on its place modulo the stride, in rows and in columns. The
    pixels of one such class are a dense convolution of a smaller kernel.
    """
    return layer_stride * layer_stride, (-(-size[0] // layer_stride), -(-size[1] // layer_stride))
