"""A convolutional net of K trials with explicit passes: one launch per layer and pass for any K."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import triton
from torch import Tensor, nn

from gan_bench.training.kernels import products
from gan_bench.training.kernels.products import ACTIVATED, AS_IT_IS, GRADIENT, PLAIN, WITH_MOMENTS, WITH_SLOPES
from gan_bench.training.kernels.shapes import (
    ROWS_PER_PART,
    Layer,
    classes,
    gradient_tile,
    layers_of,
    power_above,
    product_tile,
)

CHANNEL_BLOCK, TILE_BLOCK = 32, 32
_FUSED = {"enable_fp_fusion": True}
"""Of every launch: Triton 3.10 no longer fuses products and sums by default, which would change bits."""


@dataclass(frozen=True)
class _Values:
    """Values in the form that a kernel loads.

    Attributes:
        tensor: (K, sets, N, rows, columns, channels).
        how: What is made of them.
        coefficients: (K, sets, 4, channels), where ``how`` needs them.
        other: A second tensor of that shape, where ``how`` needs it.
        slope: Of the activation.
    """

    tensor: Tensor
    how: int
    coefficients: Tensor
    other: Tensor
    slope: float = 1.0


class ConvStack:
    """K equal networks of convolutions, batch-norms and activations.

    Args:
        network: One of the networks, which ``fits``; its batch-norms give momentum and eps.
        size: (rows, columns) of the images that go in.
        weights: Stacks (K, ...) of the parameters by name, as PyTorch lays them out.
        gradients: The same for their gradients, which ``backward`` writes.
        buffers: The same for batch-norm's running statistics, which ``forward`` moves.
        precision: ``tf32`` or ``ieee`` (float32), or ``bf16`` for the products' factors.
    """

    def __init__(
        self,
        network: nn.Module,
        size: tuple[int, int],
        weights: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        precision: str,
    ) -> None:
        assert isinstance(network.layers, nn.Sequential)  # noqa: S101 - fits looked
        layers = layers_of(network.layers, size)
        assert layers is not None  # noqa: S101 - fits looked
        self._network, self._layers = network.layers, layers
        self._weights, self._gradients, self._buffers = weights, gradients, buffers
        first = weights[f"layers.{layers[0].index}.weight"]
        self._k, self._dtype, self._device = len(first), first.dtype, first.device
        self._precision = precision if self._dtype == torch.float32 else "ieee"
        self._nothing = torch.zeros(1, dtype=self._dtype, device=self._device)
        self._unit: dict[tuple[int, int], Tensor] = {}
        self._saved: list[_Values] = []
        self._packed: list[Tensor] = []
        self._images: Tensor | None = None
        self._counts = torch.zeros(1, dtype=torch.int32, device=self._device)

    @classmethod
    def fits(cls, network: nn.Module, size: tuple[int, int]) -> bool:
        """True if a network is such a stack."""
        layers = getattr(network, "layers", None)
        return isinstance(layers, nn.Sequential) and layers_of(layers, size) is not None

    def forward(self, inputs: Tensor, counts: Tensor) -> Tensor:
        """Compute all networks, and move batch-norm's running statistics once for every set.

        Args:
            inputs: (K, sets, N, rows, columns, channels). The sets of a trial share weights, not statistics.
            counts: (sets,) int32, how many of the N images are there.

        Returns:
            (K, sets, N, rows, columns, channels); of images that are not there, anything.
        """
        self._counts, self._packed, self._saved = counts, [], []
        sets, n = inputs.shape[1:3]
        values = _Values(inputs, AS_IT_IS.value, self._nothing, self._nothing)
        for layer in self._layers:
            self._packed.append(self._pack(layer))
            self._saved.append(values)
            then = PLAIN if layer.norm is None else WITH_MOMENTS
            made, partials = self._convolve(layer, self._packed[-1], values, sets, n, then.value)
            if layer.norm is not None:
                coefficients = self._norm_forward(layer, partials, sets)
            elif layer.slope != 1:
                coefficients = self._unit_coefficients(sets, layer.outputs)
            else:
                break
            values = _Values(made, ACTIVATED.value, coefficients, self._nothing, layer.slope)
        self._images = made.tanh_() if self._layers[-1].tanh else None
        return made

    def backward(self, gradient: Tensor, *, weights: bool, inputs: bool) -> Tensor | None:
        """Carry the gradient of the last ``forward``'s outputs back.

        Args:
            gradient: As the outputs; it is overwritten, and zero where no image is.
            weights: Whether the gradients of weights are written.
            inputs: Whether the gradient of the inputs is wanted.

        Returns:
            As the inputs, or None.
        """
        if self._images is not None:
            torch.ops.aten.tanh_backward.grad_input(gradient, self._images, grad_input=gradient)
        sets, n = gradient.shape[1:3]
        values = _Values(gradient, AS_IT_IS.value, self._nothing, self._nothing)
        for i in range(len(self._layers) - 1, -1, -1):
            layer, below = self._layers[i], self._saved[i]
            if weights:
                self._weight_gradient(layer, below, values, sets, n)
            if not i:
                break
            under = self._layers[i - 1]
            made, partials = self._convolve(
                _reversed(layer), self._packed[i], values, sets, n, WITH_SLOPES.value, below, back=True
            )
            if under.norm is None:
                values = _Values(made, AS_IT_IS.value, self._nothing, self._nothing)
            else:
                coefficients = self._norm_backward(under, partials, below, sets, weights=weights)
                values = _Values(made, GRADIENT.value, coefficients, below.tensor)
        if not inputs:
            return None
        return self._convolve(_reversed(self._layers[0]), self._packed[0], values, sets, n, PLAIN.value, back=True)[0]

    def _pack(self, layer: Layer) -> Tensor:
        """Lay a layer's weights out as (K, taps, channels in, channels out), which kernels read in one piece."""
        weight = self._weights[f"layers.{layer.index}.weight"]
        order = (0, 3, 4, 1, 2) if layer.transposed else (0, 3, 4, 2, 1)
        return weight.permute(*order).contiguous()

    def _unit_coefficients(self, sets: int, channels: int) -> Tensor:
        """Coefficients of an activation without batch-norm."""
        if (sets, channels) not in self._unit:
            unit = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=self._dtype, device=self._device)
            self._unit[sets, channels] = unit[:, None].expand(self._k, sets, 4, channels).contiguous()
        return self._unit[sets, channels]

    def _convolve(
        self, layer: Layer, packed: Tensor, values: _Values, sets: int, n: int, then: int,
        below: _Values | None = None, *, back: bool = False,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Launch a product; a backward one is that of ``_reversed`` layers with transposed weights."""
        stride = layer.stride if layer.transposed else 1
        kinds, (rows, columns) = classes(stride, layer.size_out)
        taps = (-(-layer.kernel // stride)) ** 2
        tile = product_tile(layer.outputs, taps * layer.inputs)
        tiles = kinds * triton.cdiv(n * rows * columns, tile.rows)
        across = triton.cdiv(layer.outputs, tile.columns)
        shape = (self._k, sets, n, *layer.size_out, layer.outputs)
        made = torch.empty(shape, dtype=self._dtype, device=self._device)
        partials = self._nothing
        if then:
            partials = torch.empty(self._k, sets, tiles, 3, layer.outputs, dtype=self._dtype, device=self._device)
        w_in, w_out = (1, layer.inputs) if back else (layer.outputs, 1)
        products.convolve[(tiles, across, self._k * sets)](
            values.tensor, values.other, values.coefficients, packed, made, self._counts, partials,
            self._nothing if below is None else below.tensor,
            self._nothing if below is None else below.coefficients, n,
            SETS=sets, HI=layer.size_in[0], WI=layer.size_in[1], CI=layer.inputs, HO=layer.size_out[0],
            WO=layer.size_out[1], CO=layer.outputs, KERNEL=layer.kernel, STRIDE=layer.stride, PADDING=layer.padding,
            W_IN=w_in, W_OUT=w_out, W_TAP=layer.inputs * layer.outputs, TRANSPOSED=layer.transposed, HOW=values.how,
            SLOPE=values.slope, THEN=then, BELOW_SLOPE=1.0 if below is None else below.slope,
            PIXELS_FIRST=layer.transposed and layer.size_in == (1, 1), PRECISION=self._precision,
            ROWS=tile.rows, COLUMNS=tile.columns, DEPTH=tile.depth, **_FUSED,
        )  # fmt: skip
        return made, partials

    def _norm_forward(self, layer: Layer, partials: Tensor, sets: int) -> Tensor:
        norm = self._network[layer.norm or 0]
        assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - layers_of looked
        name = f"layers.{layer.norm}."
        coefficients = partials.new_empty(self._k, sets, 4, layer.outputs)
        products.norm_forward[(triton.cdiv(layer.outputs, CHANNEL_BLOCK), self._k)](
            partials, self._weights[f"{name}weight"], self._weights[f"{name}bias"],
            self._buffers[f"{name}running_mean"], self._buffers[f"{name}running_var"], coefficients,
            MOMENTUM=norm.momentum, EPS=norm.eps, SETS=sets, TILES=partials.shape[2], CHANNELS=layer.outputs,
            BLOCK=CHANNEL_BLOCK, MANY=TILE_BLOCK, **_FUSED,
        )  # fmt: skip
        self._buffers[f"{name}num_batches_tracked"].add_(sets)
        return coefficients

    def _norm_backward(self, layer: Layer, partials: Tensor, below: _Values, sets: int, *, weights: bool) -> Tensor:
        name = f"layers.{layer.norm}."
        coefficients = torch.empty_like(below.coefficients)
        products.norm_backward[(triton.cdiv(layer.outputs, CHANNEL_BLOCK), self._k)](
            partials, below.coefficients, self._counts, coefficients,
            self._gradients[f"{name}weight"], self._gradients[f"{name}bias"], SETS=sets, TILES=partials.shape[2],
            PIXELS=layer.size_out[0] * layer.size_out[1], CHANNELS=layer.outputs,
            BLOCK=CHANNEL_BLOCK, MANY=TILE_BLOCK, WEIGHTS=weights, **_FUSED,
        )  # fmt: skip
        return coefficients

    def _weight_gradient(self, layer: Layer, below: _Values, values: _Values, sets: int, n: int) -> None:
        small, large = (below, values) if layer.transposed else (values, below)
        (hx, wx), (hy, wy) = (layer.size_in, layer.size_out)[:: 1 if layer.transposed else -1]
        cx, cy = (layer.inputs, layer.outputs)[:: 1 if layer.transposed else -1]
        tile = gradient_tile(cx, layer.kernel**2 * cy)
        length = min(ROWS_PER_PART, power_above(n * hx * wx, tile.depth))
        parts = triton.cdiv(n * hx * wx, length)
        width = layer.kernel**2 * cy
        partials = small.tensor.new_empty(self._k, sets * parts, cx, width)
        grid = triton.cdiv(cx, tile.rows) * triton.cdiv(width, tile.columns), parts, self._k * sets
        products.weight_gradient[grid](
            small.tensor, small.other, small.coefficients, large.tensor, large.other, large.coefficients, partials,
            self._counts, n, SETS=sets, PARTS=parts, HX=hx, WX=wx, CX=cx, HY=hy, WY=wy, CY=cy, KERNEL=layer.kernel,
            STRIDE=layer.stride, PADDING=layer.padding, X_HOW=small.how, X_SLOPE=small.slope, Y_HOW=large.how,
            Y_SLOPE=large.slope, LENGTH=length, PRECISION=self._precision, ROWS=tile.rows, COLUMNS=tile.columns,
            DEPTH=tile.depth, **_FUSED,
        )  # fmt: skip
        gradient = self._gradients[f"layers.{layer.index}.weight"]
        products.add_parts[(triton.cdiv(cx * width, 256), self._k)](
            partials, gradient, PARTS=sets * parts, CX=cx, CY=cy, TAPS=layer.kernel**2, BLOCK=256, **_FUSED
        )


def _reversed(layer: Layer) -> Layer:
    """Return the layer that computes a layer's input gradient."""
    return Layer(
        layer.index, not layer.transposed, layer.outputs, layer.inputs, layer.kernel, layer.stride, layer.padding,
        layer.size_out, layer.size_in,
    )  # fmt: skip
