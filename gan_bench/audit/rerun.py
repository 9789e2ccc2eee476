"""Train the first steps of recorded trials again and compare the bits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

from gan_bench.audit.again import as_step, has_diverged, steps_judged
from gan_bench.audit.standards import lone_way
from gan_bench.config.image_folder import DataRoot
from gan_bench.config.naming import chosen_trials
from gan_bench.config.suite import named_files
from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import UserError
from gan_bench.core.program_code import PROGRAM, is_other_code
from gan_bench.core.registry import REGISTRIES
from gan_bench.core.text import as_typed, names_instead
from gan_bench.core.torch_settings import torch_settings_kept
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.environment import choose_device, describe_environment, fix_bits
from gan_bench.execution.workers.inline import run_alone, steps_until
from gan_bench.records.folders import scan
from gan_bench.records.json_files import finite
from gan_bench.records.layout import SUITE
from gan_bench.records.plan import suite_files
from gan_bench.records.reader import StoredTrial
from gan_bench.records.schema import NO_RECORD, STATISTICS, EnvironmentFile, Statistics, StepLine
from gan_bench.records.verify import RecordCheck

MOST_THREADS = 1024
"""More threads than a record may ask for: a library that starts too many ends the process."""


def rerun(results: Path, pattern: str, data: DataRoot) -> Iterator[RecordCheck]:
    """Train the first steps of trials again and compare them with their history.

    Args:
        results: The results folder.
        pattern: Glob or part of the names of trials.
        data: Where the images are.

    Yields:
        What was found of every trial that matches. On the same device, engine, threads and libraries the bits must be
        the same, or as near as an audit allows machines that round otherwise, where it knows a bound; elsewhere a
        remark names the difference, or why it was not trained again, as where its device is not here.

    Raises:
        UserError: No trial with a logged step matches, or its data is not there.
    """
    begun = [stored for stored in scan(results) if isinstance(stored, StoredTrial) and stored.history]
    asked = chosen_trials(((stored.trial["name"], stored.trial["config"]) for stored in begun), pattern)
    if not asked:
        hint = names_instead([stored.trial["name"] for stored in begun], pattern)
        raise UserError(f"no trial with a history under {results} matches {pattern!r}; {hint}")
    yield from (_again(stored, data) for stored in begun if stored.trial["name"] in asked)


@torch_settings_kept(random=False)
def _again(stored: StoredTrial, data: DataRoot) -> RecordCheck:
    config, before, name = TrialConfig.from_json(stored.trial["config"]), stored.environment, stored.trial["name"]
    if missing := missing_part(stored):
        return RecordCheck(name, (), (f"not trained again: {missing}",))
    if not {"threads", "device", "engine"} <= set(before):
        return RecordCheck(name, ("environment.json does not say on what it ran",))
    if fault := threads_fault(before):
        return RecordCheck(name, (fault,))
    try:
        device = _device_of(before)
    except UserError as error:  # of this record, and none of the others
        return RecordCheck(name, (), (f"not trained again: {error}",))
    use_threads_of(before, device)
    fix_bits(device)
    context = RunContext(data, device, lambda: False, before["engine"])
    line = as_step(stored.history[0])
    engine = context.engine(config, lone_way(stored.record or NO_RECORD))
    seen = finite(run_alone(steps_until(engine, line["step"])).last)
    if all(seen[each] == line[each] for each in STATISTICS):
        return RecordCheck(name, (), (f"step {line['step']} is the same to the bit",))
    return _differing(stored, line, seen, context)


def _differing(stored: StoredTrial, line: StepLine, seen: Statistics, context: RunContext) -> RecordCheck:
    """Say of a step that is not the same to the bit what may have made it so, or that nothing may have."""
    name, config = stored.trial["name"], TrialConfig.from_json(stored.trial["config"])
    pairs = ((seen[each], line[each]) for each in STATISTICS)
    gaps = (abs(a - b) for a, b in pairs if a is not None and b is not None)
    text = f"step {line['step']} differs by up to {max(gaps, default=math.inf):.3g}"
    if others := _other_than(stored, context, config):
        return RecordCheck(name, (), (f"{text}, as it may: other {', '.join(others)}",))
    verdict, why = steps_judged(line, seen, "same", context, config, diverged=has_diverged(stored))
    if verdict == "holds":
        return RecordCheck(name, (), (f"{text}: machines of one name may round otherwise ({why})",))
    return RecordCheck(name, (f"{text} on the same machine",))  # also where nothing bounds a difference


def _device_of(before: EnvironmentFile) -> torch.device:
    """Return the device that a record names.

    Raises:
        UserError: There is none of it here.
    """
    if not (named := before["device"]):
        raise UserError("its environment.json names no device")
    try:
        return choose_device(named)
    except UserError:
        raise UserError(f"it ran on {as_typed(named)}, and none is here") from None


def _other_than(stored: StoredTrial, context: RunContext, config: TrialConfig) -> list[str]:
    """Return what is other here than it was, and may change bits."""
    before, identity = stored.environment, context.identity(config)
    now = describe_environment(context.device, before["engine"], identity)
    watched = ("device", "device_name", "libraries", "data_sha256", "networks_sha256", "engine", "threads")
    others = [name for name in watched if before.get(name, now.get(name)) != now.get(name)]  # older records lack some
    parts, own, kinds = now["parts"], identity["in_program"], ("architectures/", "losses/", "datasets/")
    others += [
        f"code of {key}"
        for key, part in before.get("parts", {}).items()
        if key.startswith(kinds) and (key not in parts or is_other_code(part, parts[key], own[key]))
    ]
    if (stored.record or NO_RECORD).get("group", 1) > 1:
        others.append("step: it trained in a group, and this one alone")
    return others


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
