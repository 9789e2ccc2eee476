"""Protects torch's settings and the current folder from changes by other code.

Torch is imported when it is asked for them: this floor stands without it, and so do reports.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NamedTuple

_LIBRARIES = (
    ("cudnn", "enabled"),
    ("cudnn", "benchmark"),
    ("cudnn", "deterministic"),
    ("mkldnn", "enabled"),
    ("mkldnn", "deterministic"),
)
"""Settings of ``torch.backends`` that choose the library that computes, and so the rounding."""


@contextmanager
def torch_settings_kept(*, random: bool = True) -> Iterator[None]:
    """Restore the global settings that a file of parts, a network's constructor or a loss changes.

    A default dtype, a number of threads or gradients that are switched off there would change the numbers of trials
    that have nothing to do with it, under the same ids. What is kept: the default dtype and device, gradients, threads,
    deterministic algorithms, the libraries that compute (``_LIBRARIES``), precisions of float32 products, autocast,
    anomaly detection, the random numbers of the CPU, and the current folder.

    Args:
        random: Whether random numbers are kept. They are the process's: where others draw meanwhile in threads of their
            own, setting them back makes these draw the same numbers again.
    """
    torch: Any = import_module("torch")
    numbers, anomaly = torch.get_rng_state(), torch.is_anomaly_enabled()
    autocast = [(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]
    device, grad = torch.get_default_device(), torch.is_grad_enabled()
    try:
        with process_settings_kept(), folder_kept():
            yield
    finally:
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_grad_enabled(grad)
        if torch.is_anomaly_enabled() != anomaly:
            torch.set_anomaly_enabled(anomaly)
        for kind, enabled, lower in autocast:
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, lower)
        if random:
            torch.set_rng_state(numbers)


@contextmanager
def folder_kept() -> Iterator[None]:
    """Return to the current folder, even if it is renamed meanwhile: results and data may be relative to it."""
    folder = None
    with suppress(OSError):  # the current folder was deleted
        folder = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
    try:
        yield
    finally:
        if folder is not None:
            os.fchdir(folder)
            os.close(folder)


@contextmanager
def process_settings_kept() -> Iterator[None]:
    """Restore settings shared by all threads of a process; threads may end blocks that another one began."""
    torch: Any = import_module("torch")
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    strict, warns = _determinism(torch)
    libraries = [(getattr(torch.backends, library), name) for library, name in _LIBRARIES]
    before = [(module, name, getattr(module, name)) for module, name in libraries if hasattr(module, name)]
    try:
        with precisions_kept():
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if _determinism(torch) != (strict, warns):  # the call loads torch's compiler
            torch.use_deterministic_algorithms(strict, warn_only=warns)
        for module, name, value in before:
            setattr(module, name, value)


@contextmanager
def precisions_kept() -> Iterator[None]:
    """Restore torch's precisions of float32 products.

    The older interface (``allow_tf32``, ``set_float32_matmul_precision``) raises when it is read after the newer one
    (``fp32_precision``) said something that it cannot, so it is set back only where it could be read.
    """
    torch: Any = import_module("torch")
    cudnn, mkldnn = torch.backends.cudnn, torch.backends.mkldnn
    kinds = [cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul, mkldnn.conv, mkldnn.rnn, mkldnn.matmul]
    precisions = [kind.fp32_precision for kind in kinds]
    convolutions = products = None
    with suppress(RuntimeError):
        convolutions = cudnn.allow_tf32
    with suppress(RuntimeError):
        products = torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        if [kind.fp32_precision for kind in kinds] != precisions:
            if convolutions is not None:
                cudnn.allow_tf32 = convolutions
            if products is not None:
                torch.set_float32_matmul_precision(products)
            for kind, precision in zip(kinds, precisions, strict=True):
                if kind.fp32_precision != precision:
                    kind.fp32_precision = precision


def _determinism(torch: Any) -> tuple[bool, bool]:  # noqa: ANN401 - a module
    """Return whether algorithms must be deterministic, and whether others only warn."""
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


class Tf32(NamedTuple):
    """Where a GPU rounds factors to TensorFloat-32, ten bits of mantissa instead of 23.

    Attributes:
        convolutions: In cuDNN's convolutions.
        products: In matrix products.
    """

    convolutions: bool
    products: bool


PYTORCHS = Tf32(convolutions=True, products=False)
"""What PyTorch starts with (its notes on CUDA semantics)."""


def tf32_in_use() -> Tf32:
    """Return where TensorFloat-32 is used now, through whichever of torch's two interfaces it was asked for."""
    backends: Any = import_module("torch.backends")
    return Tf32(backends.cudnn.conv.fp32_precision == "tf32", backends.cuda.matmul.fp32_precision == "tf32")


@contextmanager
def tf32(flags: Tf32) -> Iterator[None]:
    """Use TensorFloat-32 as ``flags`` say (full float32 on a CPU), and restore the setting afterwards."""
    torch: Any = import_module("torch")
    cudnn, mkldnn = torch.backends.cudnn, torch.backends.mkldnn
    before = tf32_in_use()  # settings that are right already stay with torch.backends.fp32_precision
    with precisions_kept():
        if before.convolutions != flags.convolutions:
            cudnn.allow_tf32 = flags.convolutions
            if not flags.convolutions:  # the older interface does not override that
                cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"
        if before.products != flags.products:
            torch.set_float32_matmul_precision("high" if flags.products else "highest")
        for kind in (mkldnn.conv, mkldnn.rnn, mkldnn.matmul):
            if kind.fp32_precision not in ("none", "ieee"):
                kind.fp32_precision = "ieee"
        yield
