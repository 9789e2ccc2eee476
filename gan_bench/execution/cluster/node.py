"""A node's software and results folder, and the resources of one task. Loads no torch."""

from __future__ import annotations

import platform
import secrets
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gan_bench.core import __version__
from gan_bench.core.atomic import ASIDE
from gan_bench.core.errors import UserError
from gan_bench.core.sources import package_digest
from gan_bench.records.lock import lock_fault


@dataclass(frozen=True)
class SharedFolder:
    """A results folder, and a file by which other machines recognise it.

    Attributes:
        path: The folder.
        mark: The file.
        token: Its content.
    """

    path: Path
    mark: Path
    token: str

    def is_here(self) -> bool:
        """True if this machine sees the same folder."""
        try:
            return self.mark.read_text(encoding="utf-8") == self.token
        except OSError:
            return False

    def fault_on(self, host: str) -> str | None:
        """Return why this node cannot use the results folder, or None."""
        if not self.is_here():
            return (
                f"the node {host} does not see the results folder {self.path}; mount it on every node at that path, or "
                "run the suite on that machine by itself, with --seeds of its own, and copy the records into one folder"
            )
        if why := lock_fault(self.path / f".shared-{secrets.token_hex(8)}{ASIDE}"):
            return (
                f"the node {host} cannot write and lock files in the results folder {self.path} ({why}); mount it "
                "there as on the driver's machine"
            )
        return None


@cache
def versions() -> dict[str, str]:
    """Return the versions that must be equal on every node, for equal bits and for messages between them."""
    return {
        "gan_bench": f"{__version__} ({package_digest('gan_bench')[:8]})",
        "torch": version("torch").partition("+")[0],  # builds for CPU and for CUDA go together
        "Ray": version("ray"),
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }


def check_node(folder: SharedFolder | None, wanted: Mapping[str, str]) -> None:
    """Refuse to work on a node with other software than the driver's machine, or that cannot write its results folder.

    Every node is asked before anything trains, and each task asks again: nodes join later.

    Args:
        folder: What the node must see; None where nothing is written.
        wanted: ``versions`` of the driver's machine.
    """
    host = socket.gethostname()
    for name, here in versions().items():
        if wanted.get(name) != here:
            raise UserError(
                f"the node {host} has {name} {here}, and the driver's machine has {wanted.get(name)}; install the same "
                "versions on every node"
            )
    if folder and (fault := folder.fault_on(host)):
        raise UserError(fault)


def get_in_thread(answer: Any) -> Any:  # noqa: ANN401 - actors return any type
    """Wait with ``ray.get`` in another thread: Ray gives away the CPU of a task whose main thread waits."""
    import ray

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ray.get, answer).result()


@dataclass(frozen=True)
class Share:
    """The resources of one task."""

    cpus: float
    gpus: float

    def slots(self, node: Mapping[str, float]) -> int:
        """Return how many such tasks a node with these resources runs at a time."""
        cores = int(node.get("CPU", 0.0) / self.cpus + 1e-6)
        if not self.gpus:
            return cores
        return min(cores, self.on_each * int(node.get("GPU", 0.0) + 1e-6))

    @property
    def on_each(self) -> int:
        """Tasks that share a GPU: a share lies on one; 1 where tasks take none."""
        return int(1 / self.gpus + 1e-6) if self.gpus else 1

    @property
    def threads(self) -> int:
        """CPU threads of a task."""
        return max(1, int(self.cpus))

    @property
    def environment(self) -> dict[str, object]:
        """Ray's ``runtime_env`` of a task; tasks that have it in common take turns in the same processes."""
        return {"env_vars": dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))}

    def __str__(self) -> str:
        """Return it as text."""
        return f"{self.gpus:g} GPU and {self.cpus:g} CPU" if self.gpus else f"{self.cpus:g} CPU"


def share_of(gpus: float | None, cpus: float, device: str, nodes: list[Mapping[str, float]]) -> Share:
    """Choose the resources of a task.

    Args:
        gpus: GPUs that are asked for, a fraction shares one; None takes one where the cluster has GPUs.
        cpus: CPU cores that are asked for.
        device: ``auto``, ``cpu`` or ``cuda``.
        nodes: The resources of the cluster's nodes.

    Raises:
        UserError: No node has that much, so that tasks would wait for ever.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device} names a GPU, and Ray chooses it; use --device auto, cpu or cuda")
    if cpus <= 0 or (cpus > 1 and cpus != int(cpus)):
        raise UserError("--cpus-per-trial must be a positive number, whole above 1")
    most = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    if gpus is None:
        gpus = 1.0 if device == "cuda" or (device == "auto" and most) else 0.0
    if not 0 <= gpus <= 1:
        raise UserError("--gpus-per-trial lies between 0 and 1: a trial trains on one GPU, or shares it")
    if device == "cpu" and gpus:
        raise UserError("--device cpu and --gpus-per-trial do not go together; leave one out")
    if device == "cuda" and not gpus:
        raise UserError("--device cuda needs --gpus-per-trial above 0")
    share = Share(cpus, gpus)
    if not any(share.slots(node) for node in nodes):
        largest = max(nodes, key=lambda node: (node.get("GPU", 0.0), node.get("CPU", 0.0)), default={})
        raise UserError(
            f"no node of the cluster has room for a trial ({share}); the largest has {largest.get('GPU', 0.0):g} GPU "
            f"and {largest.get('CPU', 0.0):g} CPU, so lower --gpus-per-trial or --cpus-per-trial"
        )
    return share
