"""What the training of a record needs here: its threads, and parts that gan_bench does not ship."""

from __future__ import annotations

import torch

from gan_bench.core.program_code import PROGRAM
from gan_bench.core.registry import REGISTRIES
from gan_bench.records.layout import SUITE
from gan_bench.records.reader import StoredTrial
from gan_bench.records.schema import EnvironmentFile

MOST_THREADS = 1024
"""More threads than a record may ask for: a library that starts too many ends the process."""


def threads_fault(before: EnvironmentFile) -> str:
    """Return that a record names a number of threads that no machine has, or nothing."""
    threads = before.get("threads", 1)
    return f"it says that {threads:,} threads trained it, more than any machine has" if threads > MOST_THREADS else ""


def use_threads_of(before: EnvironmentFile, device: torch.device) -> None:
    """Take as many threads as a record says, where both are of a CPU: bits depend on them."""
    if device.type == "cpu" and before.get("device") == "cpu":
        torch.set_num_threads(before.get("threads", 1))


def missing_part(stored: StoredTrial) -> str | None:
    """Return which part of a trial is not here, what it is of, and what helps, or None."""
    config = stored.trial["config"]
    for plural, field in (("datasets", "dataset"), ("architectures", "architecture"), ("losses", "loss")):
        if (name := config[field]) in REGISTRIES[plural]:
            continue
        part = stored.environment.get("parts", {}).get(f"{plural}/{name}")
        if part and (path := part.get("path")):
            remedy = f"put it where {SUITE} names it, read it, then allow it with `gan-bench audit --allow-plugins`"
            return f"{plural}/{name} is of the file {path} (SHA-256 {part['sha256'][:12]}); {remedy}"
        if part and part["name"] == PROGRAM:
            remedy = "put it into a file that the suite names under plugins:, and run the suite again"
            return f"{plural}/{name} was registered by the program that trained it; {remedy}"
        if part and part["name"]:
            return f"{plural}/{name} is of the package {part['name']}, which is not installed"
        return f"{plural}/{name} is known to its suite file alone; put {SUITE}, and what it names, beside the records"
    return None
