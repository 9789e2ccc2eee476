"""What a node is like: its software, and whether it sees the results folder. To ask for it loads no torch."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gan_bench.core.sources import package_digest
from gan_bench.core.version import __version__


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

    def missing_on(self, host: str) -> str:
        """Return the sentence for a node that does not see the folder."""
        return (
            f"the node {host} does not see the results folder {self.path}; mount it on every node at that path, or run "
            "the suite on that machine by itself, with --seeds of its own, and copy the records into one folder"
        )


@cache
def versions() -> dict[str, str]:
    """Return the versions that must be the same on every node, for bits and for what travels between them."""
    return {
        "gan_bench": f"{__version__} ({package_digest('gan_bench')[:8]})",
        "torch": version("torch").partition("+")[0],  # builds for CPU and for CUDA go together
        "Ray": version("ray"),
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }


@dataclass(frozen=True)
class NodeReport:
    """What a node is like.

    Attributes:
        host: Its name.
        versions: What runs there.
        shares: Whether it sees the results folder.
    """

    host: str
    versions: Mapping[str, str]
    shares: bool


def report_node(folder: SharedFolder) -> NodeReport:
    """Describe this node's software and resources."""
    return NodeReport(socket.gethostname(), versions(), folder.is_here())


def ask(answer: Any) -> Any:  # noqa: ANN401 - whatever an actor returns
    """Wait for an answer in another thread: Ray lends the CPU of a task that waits in its own to the next task."""
    import ray

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ray.get, answer).result()
