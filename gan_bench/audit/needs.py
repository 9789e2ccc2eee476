"""What the training of a record needs here: its threads, and parts that gan_bench does not ship."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

from gan_bench.config.suite import named_files
from gan_bench.core.errors import UserError
from gan_bench.core.program_code import PROGRAM
from gan_bench.core.registry import REGISTRIES
from gan_bench.records.layout import SUITE
from gan_bench.records.plan import suite_files
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
    """Return which part of a trial is not here, what it is of, and where that must lie, or None."""
    config = stored.trial["config"]
    for plural, field in (("datasets", "dataset"), ("architectures", "architecture"), ("losses", "loss")):
        if (name := config[field]) in REGISTRIES[plural]:
            continue
        part = stored.environment.get("parts", {}).get(f"{plural}/{name}")
        if part and (path := part.get("path")):
            place, is_there = _place_of(stored, Path(path).name)
            put = "" if is_there else f"put it, with the SHA-256 {part['sha256'][:12]}, at {place}; "
            remedy = f"{put}read it, then allow it with `gan-bench audit --allow-plugins`"
            return f"{plural}/{name} is of the file {path}, which only its suite runs; {remedy}"
        if part and part["name"] == PROGRAM:
            remedy = "put it into a file that the suite names under plugins:, and run the suite again"
            return f"{plural}/{name} was registered by the program that trained it; {remedy}"
        if part and part["name"]:
            return f"{plural}/{name} is of the package {part['name']}, which is not installed"
        has_suite = (stored.path.parent / SUITE).is_file()
        what, (place, _) = ("its images" if has_suite else "that"), _place_of(stored, name if has_suite else SUITE)
        return f"{plural}/{name} is known to its suite file alone; put {what} at {place}"
    return None


def _place_of(stored: StoredTrial, name: str) -> tuple[str, bool]:
    """Return where the suite of a trial looks for a plug-in or for images of a name, and whether they are there.

    What lies in the results folder is named from there: audits are published.
    """
    suite = stored.path.parent
    place = suite / name
    for file in filter(Path.is_file, (*suite_files(suite), suite / SUITE)):  # as ``register_parts`` takes them
        with suppress(UserError):
            plugins, folders = named_files(file)
            places = {path.name: path for path in plugins} | {folder.name: folder.path for folder in folders}
            place = places.get(name, place)
            break
    home = suite.resolve().parent.parent
    shown = place.resolve()
    return str(shown.relative_to(home) if shown.is_relative_to(home) else place), place.exists()
