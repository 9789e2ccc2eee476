"""``score --add``: further measures and extractors for ended trials, from their kept weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.image_folder import DataRoot
from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.config.suite import find_suite, make_plan
from gan_bench.config.trial import TrialConfig
from gan_bench.core import __version__
from gan_bench.core.errors import DamagedError, RecordError, UserError
from gan_bench.core.registry import did_you_mean
from gan_bench.core.text import as_typed, printable
from gan_bench.data.datasets import DATASETS
from gan_bench.data.own_images import register_folder
from gan_bench.execution.trial.context import RunContext
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.records import schema
from gan_bench.records.folders import existing, scan, suite_folders
from gan_bench.records.json_files import finite, read_optional, write_object
from gan_bench.records.layout import KEPT, SUITE, RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.plan import suite_files
from gan_bench.records.reader import ADD_AGAIN, StoredTrial
from gan_bench.records.record import Score
from gan_bench.sampling import load_generator

SAME_DEVICE, OTHER_DEVICE = 0.01, 0.1
"""Largest relative difference of a repeated primary score: rounding on the same kind of device, other noise on another,
as CPU and CUDA draw different numbers."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """The scores added to one trial.

    Attributes:
        trial: Its name.
        scores: How many scores.
        epochs: At which epochs.
        other: Evaluated epochs that lack something and may have been scored with other held-out images.
        without: Evaluated epochs that lack something and have no weights.
        kept: Whether the trial kept weights of them, which are not here.
        fault: Why nothing was added, as a sentence without its end, or nothing.
    """

    trial: str
    scores: int = 0
    epochs: tuple[int, ...] = ()
    other: tuple[int, ...] = ()
    without: tuple[int, ...] = ()
    kept: bool = False
    fault: str = ""


def add_scores(
    results: Path, names: Sequence[str], data: DataRoot, device: torch.device, *, allow_plugins: bool = False
) -> Iterator[Added]:
    """Add missing scores of finished trials: of some measures, or of all under some extractors.

    Each trial is scored as it was: the same noise, images and reference. Of its record only ``added.json`` changes.

    Args:
        results: A results folder, or one suite's folder in it.
        names: Measures and extractors.
        data: The data folder.
        device: What computes.
        allow_plugins: Whether the local files that architectures are of may run.

    Yields:
        What came of every finished trial, and of every record that cannot be read.

    Raises:
        UserError: A name is unknown, or there is no finished trial.
    """
    contexts, known = SuiteContexts(data, device, allow_plugins=allow_plugins), {*MEASURES, *EXTRACTORS}
    for folder in suite_folders(existing(results)):
        contexts.of(folder)
        known |= {*MEASURES, *EXTRACTORS}
    if unknown := next((name for name in names if name not in known), None):
        more = "" if allow_plugins else "; a suite's own files run with --allow-plugins alone"
        raise UserError(f'unknown measure or extractor "{as_typed(unknown)}" ({did_you_mean(unknown, known)}){more}')
    context = RunContext(data=data, device=device, stop=lambda: False)
    for extractor in names:
        if extractor in EXTRACTORS:
            context.extractor(extractor)  # a missing package is reported once
    count = 0
    for stored in scan(existing(results), steps=False):
        if isinstance(stored, RecordError):
            yield Added(trial=stored.folder or str(results), fault=str(stored))
        elif stored.record and stored.record["status"] == "done":
            count += 1
            suite = stored.path.parent
            context = contexts.of(suite)
            given = [name for name in names if name in MEASURES or name in EXTRACTORS]
            added = _of_trial(stored, given, context, allow_plugins=allow_plugins)
            yield _with_cause(added, [name for name in names if name not in given], contexts.fault(suite))
    if not count:
        raise UserError(f"{results} holds no finished trial; run a suite first")


def _with_cause(added: Added, missing: Sequence[str], why: str) -> Added:
    """Add why a suite's own file registered nothing, if a trial needed what it registers."""
    if why and missing:
        return replace(added, fault=f'unknown measure or extractor "{missing[0]}"; {why}')
    return replace(added, fault=f"{added.fault}; {why}") if added.fault.startswith("unknown ") and why else added


class SuiteContexts:
    """Run contexts of several suites, each with the parts and images of its own suite file.

    Suites may call different parts alike; a process has those of one suite at a time.
    """

    def __init__(self, data: DataRoot, device: torch.device, *, allow_plugins: bool) -> None:
        self._data, self._device, self._allow_plugins = data, device, allow_plugins
        self._faults = dict[Path, str]()
        self._contexts = dict[Path, RunContext]()
        self._here: Path | None = None

    def of(self, suite: Path) -> RunContext:
        """Register the parts and images of a suite's file, replacing another suite's, and return its context."""
        here = suite.resolve()
        if here != self._here:
            self._here = here
            self._faults[here] = register_parts(here, allow_plugins=self._allow_plugins)
        return self._contexts.setdefault(here, RunContext(self._data, self._device, lambda: False))

    def fault(self, suite: Path) -> str:
        """Return why the parts that a suite's file names could not be registered, or an empty text."""
        return self._faults.get(suite.resolve(), "")


def register_parts(suite: Path, *, allow_plugins: bool) -> str:
    """Register the images and parts of a suite's file as a run does, parts only if their files may run.

    The file that was run comes first: paths in it are relative to its own folder.

    Returns:
        Why that could not be, or nothing; trials that need none of it need not care.
    """
    faults = list[str]()
    for file in (*suite_files(suite), suite / SUITE):
        if file.is_file():
            try:
                options = PlanOptions(allow_plugins=allow_plugins)
                plan = make_plan(find_suite(str(file)), options, may_skip_plugins=True, has_run=True)
                for folder in plan.folders:
                    register_folder(folder, anew=True)
            except UserError as error:
                faults.append(str(error))
            else:
                return ""
    return faults[0] if faults else ""


def _of_trial(stored: StoredTrial, names: Sequence[str], context: RunContext, *, allow_plugins: bool) -> Added:
    name, directory = printable(stored.trial["name"]), RecordDirectory(stored.path)
    if fault := stored.fault or stored.added_fault:  # before anything is scored that could not be written
        return Added(trial=name, fault=str(fault))
    try:
        with trial_lock(directory) as lock:
            if (holder := lock.acquire()) is not None:
                return Added(trial=name, fault=f"another command is at it, {holder}; repeat this when that has ended")
            return _fill(stored, names, context, allow_plugins=allow_plugins)
    except UserError as error:  # data, code or weights of this trial only; others continue
        return Added(trial=name, fault=str(error))
    except OSError as error:
        return Added(trial=name, fault=f"{directory.added} cannot be written ({error.strerror})")


def _fill(stored: StoredTrial, names: Sequence[str], context: RunContext, *, allow_plugins: bool) -> Added:
    """Score every epoch with weights and missing scores, and write the new ones."""
    name, directory = printable(stored.trial["name"]), RecordDirectory(stored.path)
    config = TrialConfig.from_json(stored.trial["config"])
    extractors = [each for each in names if each in EXTRACTORS]
    had = list(dict.fromkeys(score["extractor"] for _, score in stored.scores()))
    asked = replace(config, evaluation=replace(config.evaluation, extractors=tuple(dict.fromkeys([*had, *extractors]))))
    if why := _given_nowhere(names, asked.evaluation.extractors):
        return Added(trial=name, fault=why)
    lacking = [line for line in stored.evaluations if _lacks(line, names, asked, context)]
    other = tuple(line["epoch"] for line in lacking if stored.may_have_other_images(line["epoch"]))
    lacking = [line for line in lacking if line["epoch"] not in other]
    found: dict[int, list[Score]] = {}
    without = []
    for line in lacking:
        epoch = line["epoch"]
        last = epoch == config.epochs
        weights = {
            average: path
            for average in (False, True)
            if (path := _weights(directory, epoch, last=last, average=average)).is_file()
        }
        if False not in weights:
            without.append(epoch)
            continue
        if not found and (why := _other_images(stored, config, context)):
            return Added(trial=name, fault=why)
        scores: list[Score] = []
        for average, path in weights.items():
            network = load_generator(path, average=average, allow_plugins=allow_plugins, device=context.device).network
            made = context.evaluator(asked).evaluate(network, asked, config.evaluation.draws if last else 1)
            scores += [replace(score, weights="ema") for score in made] if average else made
        if why := _differs(line, scores, same=stored.environment.get("device") == context.device.type):
            return Added(trial=name, fault=why)
        has = {score["name"] for score in line["scores"]}
        new = [score for score in scores if score.name not in has and {score.metric, score.extractor} & set(names)]
        if new:
            found[epoch] = new
    if found:
        _write(directory, found, context.device)
    return Added(
        trial=name,
        scores=sum(map(len, found.values())),
        epochs=tuple(found),
        other=other,
        without=tuple(without),
        kept=any(path.startswith(f"{KEPT}/") for path in (stored.record or schema.NO_RECORD).get("files") or {}),
    )


def _weights(directory: RecordDirectory, epoch: int, *, last: bool, average: bool) -> Path:
    if last:
        return directory.average_weights if average else directory.weights
    return directory.kept_weights(epoch, average=average)


def _given_nowhere(names: Sequence[str], extractors: Sequence[str]) -> str:
    """Return that a measure has no value under any of a trial's extractors, or an empty text."""
    for name in names:
        if name in MEASURES and not any(map(MEASURES[name].is_for, extractors)):
            fitting = ", ".join(each for each in EXTRACTORS if MEASURES[name].is_for(each))
            return f"{name} is not given under {', '.join(extractors)}; add one that it is given under: {fitting}"
    return ""


def _can_give(measure: str, extractor: str, config: TrialConfig, context: RunContext) -> bool:
    """True if a trial can have a measure under an extractor."""
    entry = MEASURES[measure]
    if entry.sees == "classes":
        return entry.is_for(extractor) and extractor == DATASETS[config.dataset].class_extractor
    return entry.is_for(extractor) and (entry.sees == "features" or context.extractor(extractor).classes > 1)


def _lacks(line: schema.EvaluationLine, names: Sequence[str], config: TrialConfig, context: RunContext) -> bool:
    """True if an evaluation lacks a possible score: of a measure, or any under an extractor."""
    has = {(score["metric"], score["extractor"]) for score in line["scores"]}
    measures = [name for name in names if name in MEASURES]
    missing = ((m, each) for m in measures for each in config.evaluation.extractors if (m, each) not in has)
    return any(_can_give(measure, each, config, context) for measure, each in missing) or any(
        not any(found == name for _, found in has) for name in names if name in EXTRACTORS
    )


def _other_images(stored: StoredTrial, config: TrialConfig, context: RunContext) -> str:
    """Return that the images are not those of the trial's scores, or an empty text."""
    train, held_out = context.digests(config)
    folder, what = DATASETS[config.dataset].folder, "images"
    if stored.environment.get("data_sha256") in (None, train):
        if stored.held_out_sha256 in (None, held_out or ""):
            return ""
        what = "held-out images"
    if folder is None:
        return f"the {what} of {config.dataset} are not those that it was scored against; name their folder with --data"
    if what == "held-out images" and not stored.held_out_sha256:
        return f"{printable(str(folder.path))} holds images out, and it was scored without any; move those elsewhere"
    # other held-out images retrain no trial
    again = "" if what == "held-out images" else ", or run the suite again with these"
    return (
        f"the {what} in {printable(str(folder.path))} are not those that it was scored against; bring those back{again}"
    )


def _differs(line: schema.EvaluationLine, scores: Sequence[Score], *, same: bool) -> str:
    """Return that an existing score differs when repeated here, or an empty text."""
    known = {score["name"]: score["value"] for score in line["scores"]}
    for score in scores:
        before = known.get(score.name)
        if score.metric != primary_measure() or before is None or score.value is None:
            continue
        if abs(score.value - before) > (SAME_DEVICE if same else OTHER_DEVICE) * max(before, 1.0):
            return (
                f"{score.name} at epoch {line['epoch']} is {score.value:.4g} here and {before:.4g} in the record: its "
                "weights, images or extractor are not what they were"
            )
    return ""


def _write(directory: RecordDirectory, found: dict[int, list[Score]], device: torch.device) -> None:
    try:
        earlier = read_optional(directory.added, schema.ADDED)
    except DamagedError as error:  # damaged since it was checked
        raise DamagedError(f"{str(error).partition(';')[0]}; {ADD_AGAIN}") from None
    at = datetime.now(UTC).isoformat(timespec="seconds")
    how = {"at": at, "version": __version__, "device": device.type}
    new = [{"epoch": epoch, **how, "scores": [score.to_json() for score in scores]} for epoch, scores in found.items()]
    content = {"schema": schema.VERSION, "additions": [*(earlier["additions"] if earlier else ()), *new]}
    write_object(directory.added, finite(content))
