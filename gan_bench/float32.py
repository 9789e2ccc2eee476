"""How exactly torch multiplies float32 numbers: settings of the process, which callers of gan_bench own too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, cast

import torch
from torch.backends import cuda, cudnn, mkldnn

from gan_bench.core.torch_settings import precisions_kept


class _Kind(Protocol):
    """Operations of one kind on one backend; torch declares modules that do not have it."""

    fp32_precision: str


class Tf32(NamedTuple):
    """Where a GPU rounds factors to TensorFloat-32, ten bits of mantissa instead of 23.

    Attributes:
        convolutions: In cuDNN's convolutions.
        products: In matrix products.
    """

    convolutions: bool
    products: bool


_CONVOLUTIONS, _RECURRENT = cast(_Kind, cudnn.conv), cast(_Kind, cudnn.rnn)  # type: ignore[attr-defined]
_PRODUCTS = cast(_Kind, cuda.matmul)
_ON_CPU = [cast(_Kind, kind) for kind in (mkldnn.conv, mkldnn.rnn, mkldnn.matmul)]  # type: ignore[attr-defined]

PYTORCHS = Tf32(convolutions=True, products=False)
"""What PyTorch starts with (its notes on CUDA semantics)."""


def tf32_in_use() -> Tf32:
    """Return where TensorFloat-32 is used now, through whichever of torch's two interfaces it was asked for."""
    return Tf32(_CONVOLUTIONS.fp32_precision == "tf32", _PRODUCTS.fp32_precision == "tf32")


@contextmanager
def tf32(flags: Tf32) -> Iterator[None]:
    """Use TensorFloat-32 where ``flags`` say, on a CPU full float32, and give back what was set before."""
    before = tf32_in_use()  # what is so already is left to torch.backends.fp32_precision, as it may be
    with precisions_kept():
        if before.convolutions != flags.convolutions:
            cudnn.allow_tf32 = flags.convolutions
            if not flags.convolutions:  # the older interface leaves what it switches off to that
                _CONVOLUTIONS.fp32_precision = _RECURRENT.fp32_precision = "ieee"
        if before.products != flags.products:
            torch.set_float32_matmul_precision("high" if flags.products else "highest")
        for kind in _ON_CPU:
            if kind.fp32_precision not in ("none", "ieee"):
                kind.fp32_precision = "ieee"
        yield
