"""What a trial ran on: versions, device, commit and the settings that fix its bits."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gan_bench.config.trial import Precision
from gan_bench.core import __version__
from gan_bench.core.errors import DeviceError, UserError, brief
from gan_bench.core.shared_settings import Shared
from gan_bench.core.text import as_typed
from gan_bench.core.torch_settings import PYTORCHS, process_settings_kept, tf32
from gan_bench.records.earlier import Identity
from gan_bench.records.schema import VERSION, EnvironmentFile
from gan_bench.training.precision import tf32_on

_WORKSPACES = "CUBLAS_WORKSPACE_CONFIG"
"""Names the memory of cuBLAS to it, which chooses by it whether products repeat their bits."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device that exists and computes.

    Raises:
        DeviceError: It does not exist, or it cannot be used, as one that is full or too old for this PyTorch.
        UserError: Its name is unknown.
    """
    device = _named_device(name)
    if device.type == "cpu":
        return device
    try:
        torch.ones(1, device=device).item()  # one kernel
        return torch.device("cuda", torch.cuda.current_device()) if device.index is None else device
    except RuntimeError as error:
        raise unusable(device, error) from error


def unusable(device: torch.device, error: Exception) -> DeviceError:
    """Return what says that a device cannot be used, and why."""
    return DeviceError(f"{device} cannot be used ({brief(error)}); free or repair it, or use --device cpu")


def _named_device(name: str) -> torch.device:
    """Return the device of a name; of ``auto``, where there are any GPUs, the current one without its number."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise UserError(f'device "{as_typed(name)}" is unknown; use auto, cpu, cuda or cuda:N')
    if device.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError("--device cuda was asked for, but torch sees no CUDA device; use --device cpu or auto")
    index = device.index or 0
    if index >= torch.cuda.device_count():
        raise DeviceError(f"{name} does not exist; torch sees cuda:0 to cuda:{torch.cuda.device_count() - 1}")
    return torch.device("cuda", index)


def fix_bits(device: torch.device) -> None:
    """Set what makes the same trial give the same bits, before the first parallel operation of the process.

    Flush-to-zero keeps late training at full speed: Adam's moments and saturated units fill with denormals. It is a
    setting of a thread that pool threads inherit when they are made. Deterministic algorithms are asked for on CUDA
    alone: what the networks use on a CPU is deterministic at a given number of threads, and the call loads torch's
    compiler, seconds of every start.
    """
    for kind in (np.float32, np.float64):  # NumPy before 2.4 measures them when asked first, and would warn of zeros
        np.finfo(kind)
    torch.set_flush_denormal(True)
    _keep_memory()
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs are made on the current one
        os.environ.setdefault(_WORKSPACES, ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs a kernel each


@contextmanager
def as_in_a_command() -> Iterator[None]:
    """Give torch the settings that it has in a command; those of a caller of the Python interface come back afterwards.

    Flush-to-zero, the default device, the current GPU and autocast are settings of a thread, the others of the process:
    calls that overlap in several threads share them, and the last one gives them back.
    """
    # torch.set_default_device and a block of "with torch.device" alike
    elsewhere = torch.get_default_device().type != "cpu"
    with contextlib.ExitStack() as own:
        if elsewhere:
            own.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):  # as in a caller's own mixed-precision loop
                own.enter_context(torch.autocast(kind, enabled=False))
        flushes = float(torch.tensor([1e-40], dtype=torch.float32) * 1) == 0
        try:
            with _current_gpu_kept(), _shared_settings():
                yield
        finally:
            torch.set_flush_denormal(flushes)


@contextmanager
def _current_gpu_kept() -> Iterator[None]:
    """Set the current GPU of this thread back; it is the first one until one is used."""
    before = torch.cuda.current_device() if torch.cuda.is_initialized() else 0  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            with contextlib.suppress(RuntimeError):  # the GPU may have failed meanwhile
                torch.cuda._maybe_exchange_device(before)  # as ``torch.cuda.device`` does, which takes no memory there


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """Let torch have its own settings of the process, and give back the caller's, with what ``fix_bits`` changes."""
    deterministic: Any = torch.utils.deterministic
    fills, workspaces = deterministic.fill_uninitialized_memory, os.environ.get(_WORKSPACES)
    try:
        with process_settings_kept(), tf32(PYTORCHS):
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        deterministic.fill_uninitialized_memory = fills
        if workspaces is None:
            os.environ.pop(_WORKSPACES, None)


_shared_settings = Shared(_settings_kept)


def _keep_memory() -> None:
    """Ask glibc to keep what is freed instead of returning every large tensor to the system.

    On two cores of an AMD EPYC the convolutional pairs trained 5 to 11 % more images per second with it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes held: by tensors on a GPU, else by this process; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


POWER_SECONDS = 0.5
"""How long a reading of a GPU's power serves.

Newer GPUs give the mean of the last second; an A100 and older ones give the power of an instant (NVML's documentation
of ``nvmlDeviceGetPowerUsage``), of which this takes samples.
"""
_power: dict[torch.device, tuple[float, float | None]] = {}


def power_watts(device: torch.device) -> float | None:
    """Return the power a GPU draws, read up to ``POWER_SECONDS`` ago; None without one or without its library.

    Trials that train together ask one after the other, and training waits for every reading.
    """
    if device.type != "cuda":
        return None
    read, watts = _power.get(device, (-math.inf, None))
    if time.monotonic() - read >= POWER_SECONDS:
        try:
            watts = torch.cuda.power_draw(device) / 1000
        except Exception:  # NVML raises many kinds
            watts = None
        _power[device] = time.monotonic(), watts
    return watts


NO_TRIAL: Identity = {
    "data_sha256": None,
    "held_out_sha256": None,
    "networks_sha256": None,
    "d_output": "logit",
    "torch": str(torch.__version__),
    "device": "",
    "parts": {},
    "in_program": {},
}
"""Identity where an environment is described and no trial."""


def describe_environment(
    device: torch.device, engine: str, identity: Identity = NO_TRIAL, precision: Precision = "default"
) -> EnvironmentFile:
    """Describe this process for ``environment.json``; keys are documented in ``gan_bench.records.schema``.

    Args:
        device: What computes.
        engine: Training engine.
        identity: What a trial is made of, as ``RunContext.identity`` gives it.
        precision: In which a trial's products are computed.
    """
    commit, dirty = _git()
    rounded = {}
    if device.type == "cuda":  # what it computes in TensorFloat-32 during training
        flags = tf32_on(device, precision)
        rounded = {"cudnn_tf32": flags.convolutions, "matmul_tf32": flags.products}
    return {
        "schema": VERSION,
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "gan_bench": __version__,
        "git_commit": commit,
        "git_dirty": dirty,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "libraries": {"torch": str(torch.__version__), **{n: version(n) for n in ("torchvision", "numpy", "scipy")}},
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "data_sha256": identity["data_sha256"],
        "held_out_sha256": identity["held_out_sha256"],
        "networks_sha256": identity["networks_sha256"],
        "parts": identity["parts"],
        "engine": engine,
        "d_output": identity["d_output"],
        "threads": torch.get_num_threads(),
        "changes": [],
        "determinism": {
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "flush_denormal": True,
            **rounded,
        },
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git() -> tuple[str | None, bool | None]:
    """Return the commit of the package's own working tree and whether it is dirty, or nothing."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603
                ["git", "-C", str(folder), *arguments],  # noqa: S607
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if git("ls-files", "--error-unmatch", "environment.py") is None:
        return None, None
    changes = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "HEAD"), None if changes is None else changes != ""
