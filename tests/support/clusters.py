"""Ray clusters on this machine: a head that runs nothing, and nodes that can be lost, sharing its files or not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from support.commands import wait_for

MEMORY = 80 * 1024 * 1024
RAY = str(Path(sys.executable).parent / "ray")
ALONE = ["unshare", "--mount"]
"""Gives a process its own view of which file systems are mounted."""


def can_stand_alone() -> bool:
    """Say whether this process may give a node a file system of its own."""
    return (
        subprocess.run([*ALONE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode
        == 0
    )


class LocalCluster:
    """A head without CPUs, to which nodes of one CPU are added."""

    def __init__(self):
        os.environ["RAY_AUTH_MODE"] = "disabled"
        from ray.cluster_utils import Cluster

        soon = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000}  # a lost node is noticed
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY, "_system_config": soon}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._apart = []

    @property
    def address(self):
        return self._cluster.address

    def add(self, **options):
        """Add a node that shares the files of this machine."""
        return self._cluster.add_node(num_cpus=1, object_store_memory=MEMORY, **options)

    def lose(self, node):
        """Kill a node."""
        self._cluster.remove_node(node, allow_graceful=False)

    def clear(self):
        """Take all nodes away but the head, and wait until it knows."""
        for process in self._apart:
            kill_all(process)
        self._apart.clear()
        for node in list(self._cluster.worker_nodes):
            self._cluster.remove_node(node)
        wait_for(lambda: len(self.nodes()) == 1)

    def add_apart(self, hidden):
        """Add a node for which a folder is empty and its own."""
        known = self.nodes()
        folder = Path(hidden)
        folder.mkdir(parents=True, exist_ok=True)
        starts = f"{RAY} start --address={self.address} --num-cpus=1 --object-store-memory={MEMORY} --block"
        command = [*ALONE, "sh", "-c", f"mount -t tmpfs none {folder} && exec {starts}"]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._apart.append(process)
        wait_for(lambda: self.nodes() - known)
        return process

    def nodes(self):
        """Return the nodes that the head takes to be alive, itself included."""
        return set(self._cluster.global_state._live_node_ids())

    def close(self):
        for process in self._apart:
            kill_all(process)
        self._cluster.shutdown()


def kill_all(process):
    """Kill a process with everything of its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
