"""The precision of a GPU's products, as a choice.

``default`` is what an article's loop gets from PyTorch: TensorFloat-32 in convolutions, float32 in matrix products.
``tf32`` takes TensorFloat-32 in both. ``bf16`` computes both in bfloat16, as ``torch.autocast`` does, so what passes
from layer to layer is rounded too; weights, their gradients, batch-norm's statistics, losses and Adam stay float32.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from gan_bench.config.trial import Precision
from gan_bench.core.torch_settings import PYTORCHS, Tf32, tf32, tf32_in_use
from gan_bench.training.step import Computed, GANPair, Network


def tf32_of(precision: Precision) -> Tf32:
    """Return where trials of a precision use TensorFloat-32, on a GPU that has it."""
    return _BOTH if precision == "tf32" else PYTORCHS


def tf32_on(device: torch.device, precision: Precision) -> Tf32:
    """Return where a GPU uses TensorFloat-32 for trials of a precision.

    None does before Ampere, nor where NVIDIA's libraries are told by a variable of the environment that none shall.
    """
    has_it = torch.cuda.get_device_capability(device) >= _AMPERE and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0"
    return tf32_of(precision) if has_it else Tf32(convolutions=False, products=False)


def tf32_flags(precision: Precision) -> AbstractContextManager[None]:
    """Set PyTorch's flags for a precision, overriding what the user's environment or code has set.

    A CUDA graph keeps what it was recorded with.
    """
    wanted = tf32_of(precision)
    return nullcontext() if tf32_in_use() == wanted else tf32(wanted)  # what is set already costs no time in each step


_BOTH = Tf32(convolutions=True, products=True)


def _in_bf16(network: Network) -> Computed:
    """Return a network whose products are computed in bfloat16, from float32 to float32; its weights stay float32."""

    def forward(inputs: Tensor) -> Tensor:
        # no cache of rounded weights: one that a recorded graph filled would be read after its memory was reused
        with torch.autocast(inputs.device.type, torch.bfloat16, cache_enabled=False):
            outputs = network(inputs)
        return outputs.to(inputs.dtype)

    return Computed(network, forward)


def pair_in(precision: Precision, pair: GANPair) -> GANPair:
    """Return a pair of networks in the given precision."""
    if precision != "bf16":
        return pair
    return GANPair(_in_bf16(pair.generator), _in_bf16(pair.discriminator), pair.optimizer_g, pair.optimizer_d)


def why_not(precision: Precision, device: torch.device) -> str | None:
    """Return why a device does not support a precision; None if it does."""
    if precision == "default":
        return None
    if device.type != "cuda":
        return f"{precision} is a precision of GPUs, and this runs on {device.type}"
    if torch.cuda.get_device_capability(device) < _AMPERE:
        return f"{torch.cuda.get_device_name(device)} is older than Ampere and has no {precision}"
    return None


_AMPERE = (8, 0)
"""The compute capability that brought both TensorFloat-32 and bfloat16."""
