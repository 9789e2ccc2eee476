"""Compile the Triton kernels for NVIDIA cards without having one, and print what each launch takes.

    python benchmarks/speed/kernels.py [--small] [--precision tf32|ieee|bf16]

Every launch of a step of the DCGANs, at batch 64, is compiled for sm_80 (A100) and sm_90 (H100, H200). The exit status
is 1 when one spills registers to memory.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import triton
from torch import Tensor, nn
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gan_bench.models.dcgan import Discriminator28, Discriminator64, Generator28, Generator64
from gan_bench.training.kernels import products
from gan_bench.training.kernels.conv_stack import ConvStack

KERNELS = ("convolve", "weight_gradient", "add_parts", "norm_forward", "norm_backward")
ARCHITECTURES = (80, 90)
BATCH, LATENT = 64, 100
TYPES = {torch.float32: "*fp32", torch.int32: "*i32"}


class Launch(NamedTuple):
    """What a kernel was called with."""

    kernel: Any
    given: tuple[Any, ...]
    constants: dict[str, Any]
    options: dict[str, Any]
    grid: tuple[int, ...]


class _Small(nn.Module):
    """Every kind of layer once."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(16, 1, 4, 2, 1, bias=False),
        )  # fmt: skip


def launches(network: Callable[[], nn.Module], size: tuple[int, int], sets: int, precision: str) -> list[Launch]:
    """List the launches of both passes of two stacked networks, which are not run: their tensors have no memory."""
    found: list[Launch] = []

    class _Noted:
        def __init__(self, kernel: Any) -> None:  # noqa: ANN401 - Triton's own
            self.kernel = kernel

        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            def note(*given: Any, enable_fp_fusion: bool, **constants: Any) -> None:  # noqa: ANN401 - as Triton's
                options = {"enable_fp_fusion": enable_fp_fusion}
                found.append(Launch(self.kernel, given, constants, options, grid))

            return note

    noted = {name: _Noted(getattr(products, name)) for name in KERNELS}
    with patch.multiple(products, **noted), torch.device("meta"):
        one = network()
        weights = {name: torch.empty(2, *value.shape) for name, value in one.named_parameters()}
        buffers = {name: torch.empty(2, *value.shape) for name, value in one.named_buffers()}
        stack = ConvStack(one, size, weights, weights, buffers, precision)
        channels = one.layers[0].in_channels  # type: ignore[index, union-attr]
        outputs = stack.forward(torch.empty(2, sets, BATCH, *size, channels), torch.empty(sets, dtype=torch.int32))
        stack.backward(outputs, weights=True, inputs=True)
    return found


def compiled(launch: Launch, architecture: int) -> tuple[int, int, int]:
    """Compile a launch.

    Returns:
        Registers of a thread, bytes of shared memory, bytes spilled.
    """
    signature, aligned = {}, {}
    for index, name in enumerate(launch.kernel.arg_names):
        if index >= len(launch.given):
            signature[name] = "constexpr"
            continue
        value = launch.given[index]
        assert not isinstance(value, float), f"{name} is rounded to float32 at a launch; make it a tl.constexpr"
        signature[name] = TYPES[value.dtype] if isinstance(value, Tensor) else "i32"
        if isinstance(value, Tensor) or (isinstance(value, int) and value % 16 == 0):
            aligned[index,] = [["tt.divisibility", 16]]
    source = ASTSource(launch.kernel, signature, launch.constants, aligned)
    made = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=launch.options)
    ptx = str(made.asm["ptx"])
    target = re.search(r"\.target (\w+)", ptx)
    assert target is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.ptx")
        file.write_text(ptx)
        said = ""
        for tool in (knobs.nvidia.ptxas, getattr(knobs.nvidia, "ptxas_blackwell", knobs.nvidia.ptxas)):
            command = [tool.path, "-v", "--gpu-name", target[1], str(file), "-o", "/dev/null"]
            said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
            if "Used" in said:  # an assembler that is older than Triton's PTX refuses it
                break
    registers, spilled = re.search(r"Used (\d+) registers", said), re.search(r"(\d+) bytes spill stores", said)
    assert registers is not None and spilled is not None, said  # noqa: PT018
    return int(registers[1]), int(made.metadata.shared), int(spilled[1])


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a network of two layers instead of the DCGANs")
    parser.add_argument("--precision", choices=("tf32", "ieee", "bf16"), default="tf32")
    options = parser.parse_args()
    networks: list[tuple[Callable[[], nn.Module], tuple[int, int], int]] = [(_Small, (12, 12), 1)]
    if not options.small:
        networks = [
            (partial(Generator28, LATENT), (1, 1), 1),
            (Discriminator28, (28, 28), 2),
            (partial(Generator64, LATENT), (1, 1), 1),
            (partial(Discriminator64, first_norm=False), (64, 64), 2),
        ]
    worst, seen = 0, set()
    print("| kernel | card | registers | shared memory, bytes | spilled, bytes | tile |")
    print("|:--|:--|--:|--:|--:|:--|")
    for network, size, sets in networks:
        for launch in launches(network, size, sets, options.precision):
            name, constants = launch.kernel.fn.__name__, launch.constants
            key = (name, *sorted((k, str(v)) for k, v in constants.items()))
            if key in seen:
                continue
            seen.add(key)
            tile = " x ".join(str(constants[k]) for k in ("ROWS", "COLUMNS", "DEPTH") if k in constants)
            for architecture in ARCHITECTURES:
                registers, shared, spilled = compiled(launch, architecture)
                worst = max(worst, spilled)
                print(f"| `{name}` | sm_{architecture} | {registers} | {shared:,} | {spilled} | {tile} |", flush=True)
    return int(worst > 0)


if __name__ == "__main__":
    sys.exit(main())
