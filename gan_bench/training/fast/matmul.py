"""Matrix products by the faster of PyTorch's two CPU libraries.

PyTorch multiplies float32 matrices with MKL, which leaves AVX-512 unused on processors of other makers than Intel;
oneDNN, which PyTorch carries for convolutions, uses it. On two cores of an AMD EPYC (family 26, torch 2.15) a large
product ran at 217 GFLOP/s with the one and 467 with the other. The choice depends on processor, dtype and sizes alone,
never on a measurement, so that the same trial gives the same bits.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LEAST = 5_000_000
"""Multiplications from which a product is worth oneDNN's longer start, about 10 microseconds."""


@cache
def mkl_is_slow() -> bool:
    """True if this processor has AVX-512 that MKL leaves unused, and oneDNN is there."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    try:
        return "GenuineIntel" not in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def product(a: Tensor, b: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """Multiply two matrices, without gradient.

    Args:
        a: (n, k), of any strides.
        b: (k, m), of any strides.
        bias: (m,) to add to every row.
        out: (n, m) memory that may be used for the result.

    Returns:
        (n, m); ``out`` where that was of use.
    """
    (n, k), m = a.shape, b.shape[1]
    worth = n * k * m >= LEAST and k <= n * m  # oneDNN copies transposed operands, which costs most when k is long
    if worth and a.dtype == torch.float32 and a.device.type == "cpu" and mkl_is_slow():
        found: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), bias, "none", [], "")
        return found
    return torch.mm(a, b, out=out) if bias is None else torch.addmm(bias, a, b, out=out)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two matrices, (n, k) and (k, m); differentiable once in both."""
    made: Tensor = _Product.apply(a, b)
    return made


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(a, b)
        return product(a, b)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # noqa: ANN401
        a, b = ctx.saved_tensors
        return (
            product(gradient, b.t()) if ctx.needs_input_grad[0] else None,
            product(a.t(), gradient) if ctx.needs_input_grad[1] else None,
        )
