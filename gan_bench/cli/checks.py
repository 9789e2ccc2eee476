"""``check``, ``verify`` and ``doctor``: each says whether all is well, and ends with exit code 1 where not."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan_bench.cli.options import AllowPlugins, Data, Results
from gan_bench.config.image_folder import data_root
from gan_bench.core.errors import UserError
from gan_bench.core.text import plural
from gan_bench.terminal.console import PlainConsole, console

if TYPE_CHECKING:
    import torch

    from gan_bench.config.image_folder import DataRoot, ImageFolder
    from gan_bench.config.suite import Plan
    from gan_bench.config.trial import TrialConfig
    from gan_bench.data.datasets import Dataset

LEAST_GIB = 0.5
"""Free space below which no suite is worth a start."""


def check(
    target: Annotated[str, typer.Argument(help="A suite, an installed package, or a Python file, which is run.")],
    data: Data = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Check a suite, or parts against the contract of their kinds; exit code 1 when one breaks it."""
    from gan_bench.config.suite import suite_of_name
    from gan_bench.contract.check import check_part, parts_of

    if target.endswith((".yaml", ".yml")) or suite_of_name(target):
        _check_suite(target, data_root(data), allow_plugins=allow_plugins)
        return
    root, broken, count, out = data_root(data), 0, 0, console()
    for kind, name in parts_of(target):
        for each in check_part(kind, name, root):
            count += 1
            broken += each.fault is not None
            if each.fault or each.skipped:
                word, style = ("broken", "red") if each.fault else ("not checked", "yellow")
                out.say(f"{word:<11} {each.part}: {each.what}: {each.fault or each.skipped}", style=style)
            else:
                out.say(f"{'ok':<11} {each.part}: {each.what}")
    out.say(f"{plural(count, 'check')}: " + (f"{broken} broken" if broken else "every part keeps its contract"))
    raise typer.Exit(min(broken, 1))


def _check_suite(suite: str, root: DataRoot, *, allow_plugins: bool) -> None:
    """Check what a run would before it reads images; without its plug-ins, names of parts cannot be looked up.

    Raises:
        UserError: The suite cannot run.
    """
    from gan_bench.config.cuts import PlanOptions
    from gan_bench.config.suite import find_suite, make_plan
    from gan_bench.execution.preflight.checks import check_fit, check_names, check_sources
    from gan_bench.execution.trial.context import RunContext
    from gan_bench.execution.trial.environment import choose_device

    options = PlanOptions(profile="full", allow_plugins=allow_plugins)
    plan, out = make_plan(find_suite(suite), options, run_plugins=allow_plugins), console()
    check_sources(plan)
    is_whole = allow_plugins or not plan.files
    if is_whole:
        own = {folder.name: folder.transform for folder in plan.folders}
        check_names(plan, set(own))
        check_fit(plan.trials, RunContext(root, choose_device("cpu"), lambda: False), own)
    settings = len({trial.setting for trial in plan.trials})
    out.say(f"ok: {plural(len(plan.trials), 'trial')} of {plural(settings, 'setting')}")
    if not is_whole:
        files = ", ".join(file.name for file in plan.files)
        said = f"not checked: whether parts exist and fit, as plug-ins did not run ({files}); --allow-plugins runs them"
        out.say(said, style="yellow")


def verify(
    results: Annotated[Path, typer.Argument(help="Results folder of earlier runs, one record, or a card.")],
    rerun: Annotated[
        str | None, typer.Option(help="Train again the first steps of trials: a glob or a part of their names.")
    ] = None,
    data: Data = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Name planned trials that have not begun.")] = False,
) -> None:
    """Check every record: digests, completeness, that history, scores and status agree."""
    from gan_bench.records.folders import existing
    from gan_bench.records.verify import verify as verify_records

    _check_rerun(rerun, results)
    root, out = data_root(data), console()
    bad = count = planned = withdrawn = partial = 0
    for verdict in verify_records(existing(results)):
        bad += bool(verdict.faults)
        count += verdict.checked
        planned += verdict.planned and not verdict.withdrawn
        withdrawn += verdict.withdrawn
        partial += verdict.partial
        if verdict.planned and not verbose:
            continue
        for fault in verdict.faults:
            out.say(f"{verdict.name}: {fault}", style="red")
        for remark in verdict.remarks:
            out.say(f"{verdict.name}: {remark}", style="yellow")
    if not verbose:
        _count_not_begun(out, planned, "planned and not begun")
        _count_not_begun(out, withdrawn, "no longer planned and never began")
    if not count and not bad:
        raise UserError(f"{results} holds no trial records; name the results folder of an earlier run")
    if rerun:
        from gan_bench.audit.rerun import rerun as rerun_trials

        for verdict in rerun_trials(results, rerun, root):
            bad += bool(verdict.faults)
            for text in (*verdict.faults, *verdict.remarks):
                out.say(f"{verdict.name}: {text}", style="red" if verdict.faults else None)
    whole = "what is there is as it was saved" if partial else "every record is whole"
    out.say(f"{count} checked: {f'{bad} invalid' if bad else whole}")
    raise typer.Exit(min(bad, 1))


def _count_not_begun(out: PlainConsole, trials: int, how: str) -> None:
    if trials:
        are = "is" if trials == 1 else "are"
        out.say(f"{plural(trials, 'trial')} {are} {how} (--verbose names them)", style="yellow")


def _check_rerun(rerun: str | None, results: Path) -> None:
    from gan_bench.records.layout import TRIAL

    if rerun and (results / TRIAL).is_file():
        raise UserError(f"--rerun takes a results folder, and {results} is one record; name the folder and a glob")


@dataclass(frozen=True)
class Finding:
    """What ``doctor`` sees.

    Attributes:
        line: What is said.
        fatal: Whether a run would fail of it.
    """

    line: str
    fatal: bool = False


def examine(
    data: DataRoot, results: Path, suite: str | None = None, *, allow_plugins: bool = False
) -> Iterator[Finding]:
    """Look at what a run needs, one line each.

    Args:
        data: The data folder.
        results: The results folder.
        suite: A suite that is to run: what its datasets and extractors lack is fatal; others are passed over.
        allow_plugins: Whether the files of parts that the suite names run; parts of theirs are not looked at else.
    """
    import torch

    from gan_bench.execution.trial.environment import choose_device, describe_environment

    device = choose_device("auto")
    facts = describe_environment(device, "reference")
    needs = _needs(suite, data, device, allow_plugins=allow_plugins) if suite else _everything(data)
    yield Finding(f"gan_bench {facts['gan_bench']}, Python {facts['python']}, {facts['platform']}")
    yield Finding("libraries: " + ", ".join(f"{name} {version}" for name, version in facts["libraries"].items()))
    yield Finding(
        f"device: {facts['device']} ({facts['device_name']}), {plural(torch.get_num_threads(), 'CPU thread')}"
    )
    yield from needs
    yield _space(results)


def _everything(data: DataRoot) -> Iterator[Finding]:
    """Look at all datasets and extractors."""
    from gan_bench.data.datasets import DATASETS
    from gan_bench.metrics.extractors import EXTRACTORS

    for name in DATASETS:
        yield _dataset(name, data, is_needed=False)
    for name in EXTRACTORS:
        yield _extractor(name, is_needed=False)


def _needs(suite: str, data: DataRoot, device: torch.device, *, allow_plugins: bool) -> Iterator[Finding]:
    """Plan a suite, and return looks at its files of parts, datasets and extractors.

    Raises:
        UserError: It is no suite, or a file of parts cannot be run.
    """
    from gan_bench.config.cuts import PlanOptions
    from gan_bench.config.suite import find_suite, make_plan, named_files
    from gan_bench.core.errors import UnrunPluginsError

    path = find_suite(suite)
    try:
        plan = make_plan(path, PlanOptions(allow_plugins=allow_plugins), run_plugins=allow_plugins)
    except UnrunPluginsError as error:
        files, folders = named_files(path)
        own = {folder.name: folder for folder in folders}
        there = (_dataset(name, data, is_needed=True, own=own) for name in own)
        return chain(map(_plugin, files), there, [Finding(f"not looked at: what else the suite needs: {error}")])
    return _look_at(plan, data, device, [] if allow_plugins else [file.name for file in plan.files])


def _look_at(plan: Plan, data: DataRoot, device: torch.device, unrun: Sequence[str]) -> Iterator[Finding]:
    """Look at what a plan needs, but at no parts that may be of files that did not run."""
    from gan_bench.data.datasets import DATASETS
    from gan_bench.metrics.extractors import EXTRACTORS

    yield from map(_plugin, plan.files)
    own = {folder.name: folder for folder in plan.folders}
    configs = [trial.config for trial in plan.trials]
    for name in sorted({config.dataset for config in configs}):
        is_of_them = unrun and name not in own and name not in DATASETS
        yield _unlooked("dataset", name, unrun) if is_of_them else _dataset(name, data, is_needed=True, own=own)
    for name in dict.fromkeys(_wanted(configs, device)):
        is_of_them = unrun and name not in EXTRACTORS
        yield _unlooked("extractor", name, unrun) if is_of_them else _extractor(name, is_needed=True)


def _unlooked(kind: str, name: str, files: Sequence[str]) -> Finding:
    said = f"not looked at, as plug-ins did not run ({', '.join(files)}); --allow-plugins runs them"
    return Finding(f"{kind} {name}: {said}")


def _plugin(file: Path) -> Finding:
    """Look whether a file of parts can be read."""
    from gan_bench.config.plugins import read_plugin

    try:
        read_plugin(file)
    except UserError as error:
        return Finding(f"plug-in {file.name}: not ready: {error}", fatal=True)
    return Finding(f"plug-in {file.name}: there")


def _wanted(configs: Iterable[TrialConfig], device: torch.device) -> Iterator[str]:
    """Yield the extractors that trials are scored with; those of a dataset that is not there are not known."""
    from gan_bench.data.datasets import DATASETS
    from gan_bench.metrics.extractors import resolve

    for names, dataset in dict.fromkeys((config.evaluation.extractors, config.dataset) for config in configs):
        if names != ("auto",):
            yield from names
        else:
            with contextlib.suppress(UserError):  # which was said where the dataset was looked at
                yield from resolve(names, DATASETS[dataset].channels, device)


def _dataset(name: str, data: DataRoot, *, is_needed: bool, own: Mapping[str, ImageFolder] | None = None) -> Finding:
    """Look for a dataset, or say how it is got: the images of one that is needed are read, and prepared as runs do.

    Args:
        name: Its name.
        data: The data folder.
        is_needed: Whether a run would fail without it.
        own: A suite's own images by name, which are made datasets here.
    """
    from gan_bench.cli.describe import how_fetched
    from gan_bench.data.datasets import DATASETS, read_split
    from gan_bench.data.own_images import register_folder

    folder = (own or {}).get(name)
    try:
        dataset = register_folder(folder, anew=True) if folder else DATASETS[name]
        if not is_needed and (place := _images_of(dataset, data.path)):
            return Finding(f"dataset {name}: ready ({place} is there; the first run prepares its images)")
        for split in dataset.counts:
            read_split(dataset, data.path, split)
    except UserError as error:
        is_fetched = not folder and name in DATASETS.shipped() and not data.given
        known = DATASETS[name] if is_fetched else None
        how = how_fetched(known) if known and known.fetch else f"not ready: {error}"
        return Finding(f"dataset {name}: {how}", fatal=is_needed and not (known and known.can_fetch))
    return Finding(f"dataset {name}: ready")


def _images_of(dataset: Dataset, folder: Path) -> Path | None:
    """Return the whole zip file or the folder of images that a dataset is; None for other files, which are soon read.

    Raises:
        DataError: It is not there, or damaged.
    """
    from gan_bench.core.errors import DataError
    from gan_bench.data.file_kinds import wrong_with_zip

    place = dataset.source(folder) if dataset.source else None
    if place is None or (place.suffix != ".zip" and place.name != dataset.name):
        return None
    if place.suffix == ".zip" and (wrong := wrong_with_zip(place)):
        raise DataError(f"{place} {wrong}; get it again")
    return place


def _extractor(name: str, *, is_needed: bool) -> Finding:
    """Load an extractor; of one whose weights are fetched, say where they are."""
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
    """Look at the results folder, or at what it would be made in."""
    folder = next(path for path in (results.resolve(), *results.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free / 2**30
    if not os.access(folder, os.W_OK):
        return Finding(f"results: {results} cannot be written; choose another folder with --results", fatal=True)
    return Finding(f"results: {results}, {free:.1f} GiB free", fatal=free < LEAST_GIB)


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
