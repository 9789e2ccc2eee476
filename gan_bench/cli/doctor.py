"""``doctor``: what a run needs, and whether this machine has it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan_bench.cli.options import AllowPlugins, Data, Results
from gan_bench.config.image_folder import data_root
from gan_bench.core.errors import DeviceError, UserError
from gan_bench.core.text import plural
from gan_bench.terminal.console import console

if TYPE_CHECKING:
    import torch

    from gan_bench.config.image_folder import DataRoot, ImageFolder
    from gan_bench.config.suite import Plan
    from gan_bench.config.trial import TrialConfig
    from gan_bench.data.datasets import Dataset

LEAST_GIB = 0.5
"""Free space below which no suite is worth a start."""


def doctor(
    suite: Annotated[str | None, typer.Argument(help="A suite whose datasets and extractors must be there.")] = None,
    data: Data = None,
    results: Results = Path("results"),
    allow_plugins: AllowPlugins = False,
) -> None:
    """Check this machine: versions, device, data, weights and space; exit code 1 when a run would fail."""
    fatal, out = False, console()
    for finding in examine(data_root(data), results, suite, allow_plugins=allow_plugins):
        fatal |= finding.fatal
        out.say(finding.line, style="red" if finding.fatal else None)
    raise typer.Exit(int(fatal))


@dataclass(frozen=True)
class Finding:
    """A finding of ``doctor``.

    Attributes:
        line: What is said.
        fatal: Whether a run would fail of it.
    """

    line: str
    fatal: bool = False


def examine(
    data: DataRoot, results: Path, suite: str | None = None, *, allow_plugins: bool = False
) -> Iterator[Finding]:
    """Check what a run needs, one line each.

    Args:
        data: The data folder.
        results: The results folder.
        suite: A suite that is to run: what its datasets and extractors lack is fatal; others are passed over.
        allow_plugins: Whether the files of parts that the suite names run; parts of theirs are not looked at else.
    """
    import torch

    from gan_bench.data.datasets import DATASETS
    from gan_bench.execution.trial.environment import choose_device, describe_environment
    from gan_bench.metrics.extractors import EXTRACTORS

    fault = None
    try:
        device = choose_device("auto")
    except DeviceError as error:
        device, fault = torch.device("cpu"), str(error)
    facts = describe_environment(device, "reference")
    if suite:
        needs = _needs(suite, data, device, allow_plugins=allow_plugins)
    else:
        datasets = (_dataset(name, data, is_needed=False) for name in DATASETS)
        needs = chain(datasets, (_extractor(name, is_needed=False) for name in EXTRACTORS))
    yield Finding(f"gan_bench {facts['gan_bench']}, Python {facts['python']}, {facts['platform']}")
    yield Finding("libraries: " + ", ".join(f"{name} {version}" for name, version in facts["libraries"].items()))
    here = f"{facts['device']} ({facts['device_name']}), {plural(torch.get_num_threads(), 'CPU thread')}"
    yield Finding(f"device: {fault or here}", fatal=fault is not None)
    yield from needs
    yield _space(results)


def _needs(suite: str, data: DataRoot, device: torch.device, *, allow_plugins: bool) -> Iterator[Finding]:
    """Plan a suite, and check its files of parts, datasets and extractors.

    Raises:
        UserError: It is no suite, or a file of parts cannot be run.
    """
    from gan_bench.config.cuts import PlanOptions
    from gan_bench.config.suite import find_suite, make_plan, named_files
    from gan_bench.core.errors import UnrunPluginsError

    path = find_suite(suite)
    try:
        plan = make_plan(path, PlanOptions(allow_plugins=allow_plugins), may_skip_plugins=True)
    except UnrunPluginsError as error:
        files, folders = named_files(path)
        there = (_dataset(folder.name, data, is_needed=True, folder=folder) for folder in folders)
        return chain(map(_plugin, files), there, [Finding(f"not looked at: what else the suite needs: {error}")])
    return _findings_of(plan, data, device, [] if allow_plugins else [file.name for file in plan.files])


def _findings_of(plan: Plan, data: DataRoot, device: torch.device, unrun: Sequence[str]) -> Iterator[Finding]:
    """Check what a plan needs, except parts that may come from files that did not run."""
    from gan_bench.data.datasets import DATASETS
    from gan_bench.metrics.extractors import EXTRACTORS

    yield from map(_plugin, plan.files)
    own = {folder.name: folder for folder in plan.folders}
    configs = [trial.config for trial in plan.trials]
    for name in sorted({config.dataset for config in configs}):
        is_of_them = unrun and name not in own and name not in DATASETS
        yield (
            _unlooked("dataset", name, unrun)
            if is_of_them
            else _dataset(name, data, is_needed=True, folder=own.get(name))
        )
    for name in dict.fromkeys(_wanted(configs, device)):
        is_of_them = unrun and name not in EXTRACTORS
        yield _unlooked("extractor", name, unrun) if is_of_them else _extractor(name, is_needed=True)


def _unlooked(kind: str, name: str, files: Sequence[str]) -> Finding:
    said = f"not looked at, as plug-ins did not run ({', '.join(files)}); --allow-plugins runs them"
    return Finding(f"{kind} {name}: {said}")


def _plugin(file: Path) -> Finding:
    """Check whether a file of parts can be read."""
    from gan_bench.config.plugins import read_plugin

    try:
        read_plugin(file)
    except UserError as error:
        return Finding(f"plug-in {file.name}: not ready: {error}", fatal=True)
    return Finding(f"plug-in {file.name}: there")


def _wanted(configs: Iterable[TrialConfig], device: torch.device) -> Iterator[str]:
    """Yield the extractors of trials; those of a missing dataset are unknown."""
    from gan_bench.data.datasets import DATASETS
    from gan_bench.metrics.extractors import resolve

    for names, dataset in dict.fromkeys((config.evaluation.extractors, config.dataset) for config in configs):
        if names != ("auto",):
            yield from names
        else:
            with contextlib.suppress(UserError):  # reported with the dataset
                yield from resolve(names, DATASETS[dataset].channels, device)


def _dataset(name: str, data: DataRoot, *, is_needed: bool, folder: ImageFolder | None = None) -> Finding:
    """Check a dataset, or return how to get it; the images of a needed one are read and prepared as by a run.

    Args:
        name: Its name.
        data: The data folder.
        is_needed: Whether a run would fail without it.
        folder: A suite's own images, which are made a dataset here.
    """
    from gan_bench.cli.describe import how_fetched
    from gan_bench.core.errors import DataError
    from gan_bench.data.datasets import DATASETS, read_split, remarks_on
    from gan_bench.data.own_images import register_folder

    try:
        dataset = register_folder(folder, anew=True) if folder else DATASETS[name]
        if not is_needed and (place := _images_of(dataset, data.path)):
            return Finding(f"dataset {name}: ready ({place} is there; the first run prepares its images)")
        splits = {split: read_split(dataset, data.path, split)[0] for split in dataset.counts}
        remarks = () if folder else remarks_on(dataset, data.path, splits)
    except UserError as error:
        is_fetched = not folder and isinstance(error, DataError) and not data.given
        known = DATASETS[name] if is_fetched else None
        how = how_fetched(known) if known and known.fetch else f"not ready: {error}"
        return Finding(f"dataset {name}: {how}", fatal=is_needed and not (known and known.can_fetch))
    return Finding("; but ".join((f"dataset {name}: ready", *remarks)))


def _images_of(dataset: Dataset, folder: Path) -> Path | None:
    """Return the whole zip file or the folder of images that a dataset is; None for other files, which are soon read.

    Raises:
        DataError: It is not there, or damaged.
    """
    from gan_bench.core.errors import DataError
    from gan_bench.data.datasets import source_of
    from gan_bench.data.file_kinds import wrong_with_zip

    place = source_of(dataset, folder)
    if place is None or (place.suffix != ".zip" and place.name != dataset.name):
        return None
    if place.suffix == ".zip" and (wrong := wrong_with_zip(place)):
        raise DataError(f"{place} {wrong}; get it again")
    return place


def _extractor(name: str, *, is_needed: bool) -> Finding:
    """Load an extractor, or return where its weights are fetched from."""
    import torch

    from gan_bench.metrics.extractors import EXTRACTORS, has_extra, load_extractor

    try:
        entry = EXTRACTORS[name]
        if entry.weights:
            has_it = not entry.extra or has_extra(entry.extra)
            lacks = "" if has_it else f"; it needs gan_bench[{entry.extra}]"
            return Finding(f"extractor {name}: {entry.weights.state()}{lacks}", fatal=is_needed and not has_it)
        load_extractor(name, torch.device("cpu"))
    except UserError as error:
        is_part_of_it = name in EXTRACTORS.shipped() and EXTRACTORS[name].extra is None
        return Finding(f"extractor {name}: not ready: {error}", fatal=is_needed or is_part_of_it)
    return Finding(f"extractor {name}: ready")


def _space(results: Path) -> Finding:
    """Check the space in the results folder, or in the folder that it would be created in."""
    place = results.absolute()
    folder = next(path for path in (place, *place.parents) if os.path.lexists(path))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Finding(f"results: {results} cannot be written; choose another folder with --results", fatal=True)
    free = shutil.disk_usage(folder).free / 2**30
    return Finding(f"results: {results}, {free:.1f} GiB free", fatal=free < LEAST_GIB)
