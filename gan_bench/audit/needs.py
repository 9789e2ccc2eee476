"""What is needed to train a record again: its number of threads, and parts that gan_bench does not ship."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import torch

from gan_bench.core import __version__
from gan_bench.core.errors import UserError
from gan_bench.core.program_code import PROGRAM
from gan_bench.core.registry import REGISTRIES
from gan_bench.core.text import printable
from gan_bench.records.layout import SUITE
from gan_bench.records.reader import StoredTrial
from gan_bench.records.schema import EnvironmentFile

MOST_THREADS = 1024
"""More threads than a record may ask for: a library that starts too many ends the process."""


def use_threads_of(before: EnvironmentFile, device: torch.device) -> None:
    """Take as many threads as a record says, where both are of a CPU: bits depend on them.

    Raises:
        UserError: They are too many.
    """
    if device.type == "cpu" and before.get("device") == "cpu":
        if (threads := before.get("threads", 1)) > MOST_THREADS:
            raise UserError(f"it says that {threads:,} threads trained it, and at most {MOST_THREADS:,} are taken here")
        torch.set_num_threads(threads)


def missing_part(stored: StoredTrial) -> str | None:
    """Return which part of a trial is missing, its source and the remedy, or None."""
    config = stored.trial["config"]
    for plural, field in (("datasets", "dataset"), ("architectures", "architecture"), ("losses", "loss")):
        if (name := config[field]) in REGISTRIES[plural]:
            continue
        part = stored.environment.get("parts", {}).get(f"{plural}/{name}")
        if part and (path := part.get("path")):
            named = f"put it where {printable(stored.path.parent.name)}/{SUITE} names it"
            remedy = f"{named}, read it, and audit again with --allow-plugins"
            return f"{plural}/{name} is of the file {path} (SHA-256 {part['sha256'][:12]}); {remedy}"
        if part and part["name"] == PROGRAM:
            remedy = "put it into a file that the suite names under plugins:, and run the suite again"
            return f"{plural}/{name} was registered by the program that trained it; {remedy}"
        if part and part["name"]:
            return f"{plural}/{name} is of the package {part['name']} {part['version']}, {_instead(part['name'])}"
        if field != "dataset":
            return f"{plural}/{name} is not in gan_bench {__version__}; audit it with the version that trained it"
        return f"{plural}/{name} is known to its suite file alone; put {SUITE}, and what it names, beside the records"
    return None


def _instead(package: str) -> str:
    try:
        return f"and {version(package)} is installed here, which does not have it"
    except PackageNotFoundError:
        return "which is not installed"
