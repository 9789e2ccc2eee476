"""What ``list``, ``show`` and ``doctor`` say."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.measures import MEASURES, Measure
from gan_bench.config.recipes import RECIPES, Recipe
from gan_bench.config.suite import find_suite, make_plan, suites_folder
from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import UserError
from gan_bench.core.registry import Registry, did_you_mean
from gan_bench.core.text import plural
from gan_bench.records.record import Score

if TYPE_CHECKING:
    from gan_bench.config.data_root import DataRoot
    from gan_bench.data.datasets import Dataset


T = TypeVar("T")


def listing(kind: str) -> list[tuple[str, str]]:
    """Return (name, one line) of everything of a kind."""
    return list(_LISTS[kind]())


def _suites() -> Iterator[tuple[str, str]]:
    folders = (suites_folder(), Path("benchmarks"))  # later ones win, as in find_suite
    for path in sorted({path.name: path for folder in folders for path in folder.glob("*.yaml")}.values()):
        try:
            yield path.stem, _suite_line(path)
        except UserError as error:
            yield path.stem, f"invalid: {str(error).splitlines()[0]}"


def _suite_line(path: Path) -> str:
    plan = make_plan(path, PlanOptions())
    quick = make_plan(path, PlanOptions(profile="quick"))
    return f"{plural(len(plan.trials), 'trial')} ({len(quick.trials)} quick): {plan.description.strip()}"


def _recipes() -> Iterator[tuple[str, str]]:
    return _entries(RECIPES, lambda r: f"{r.article.key}: {r.article.title} ({r.article.outlet})")


def _datasets() -> Iterator[tuple[str, str]]:
    from gan_bench.data.datasets import DATASETS

    return _entries(DATASETS, lambda dataset: dataset.description)


def _architectures() -> Iterator[tuple[str, str]]:
    from gan_bench.models.architectures import ARCHITECTURES

    return _entries(ARCHITECTURES, lambda architecture: architecture.description)


def _losses() -> Iterator[tuple[str, str]]:
    from gan_bench.models.losses import LOSSES

    return _entries(LOSSES, lambda loss: f"{loss.description} ({loss.source})")


def _extractors() -> Iterator[tuple[str, str]]:
    from gan_bench.metrics.extractors import EXTRACTORS

    return _entries(EXTRACTORS, lambda entry: entry.description)


def _measures() -> Iterator[tuple[str, str]]:
    return _entries(MEASURES, _measure_line)


def _measure_line(measure: Measure) -> str:
    return f"{measure.description}; {'lower' if measure.lower_is_better else 'higher'} is better"


def _entries(registry: Registry[T], text: Callable[[T], str]) -> Iterator[tuple[str, str]]:
    """Yield (name, one line) of every entry; of one whose package is broken, what is wrong."""
    for name in registry:
        try:
            source = registry.source(name)
            yield name, text(registry[name]) + (f" [{source.name} {source.version}".rstrip() + "]" if source else "")
        except UserError as error:
            yield name, f"broken: {error}"


_LISTS: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "suites": _suites,
    "recipes": _recipes,
    "datasets": _datasets,
    "architectures": _architectures,
    "losses": _losses,
    "extractors": _extractors,
    "measures": _measures,
}


def describe(name: str, kind: str | None = None, *, allow_plugins: bool = False) -> RenderableType:
    """Describe the thing of that name.

    Args:
        name: Its name.
        kind: Look only among these; among all kinds when None.
        allow_plugins: Whether the Python files that a suite names may run.

    Raises:
        UserError: There is none.
    """
    if kind is None and name.endswith((".yaml", ".yml")):
        return _describe_suite(name, allow_plugins=allow_plugins)
    kinds = [kind] if kind else list(_LISTS)
    known: list[str] = []
    for each in kinds:
        names = [entry for entry, _ in listing(each)]
        known += names
        found = name if name in names else next((n for n in names if n.lower() == name.lower()), None)
        if found:
            return _DESCRIPTIONS[each](found)
    raise UserError(f'nothing is called "{name}" ({did_you_mean(name, dict.fromkeys(known))})')


def _describe_recipe(name: str) -> RenderableType:
    recipe: Recipe = RECIPES[name]
    table = Table(title=Text(f"{name}: {recipe.article.key}, {recipe.article.title} ({recipe.article.outlet})"))
    for title in ("field", "value", "provenance", "note"):
        table.add_column(title)
    for field, fact in recipe.facts().items():
        table.add_row(field, Text(str(fact.value)), fact.provenance, Text(fact.note))
    return Group(table, Text(recipe.remarks))


def _describe_suite(name: str, *, allow_plugins: bool = False) -> RenderableType:
    plan = make_plan(find_suite(name), PlanOptions(allow_plugins=allow_plugins))
    table = Table(title=Text(f"{name}, version {plan.version}: {plan.description.strip()}"))
    for title in ("setting", "epochs", "evaluated at", "seeds"):
        table.add_column(title, overflow="fold")
    settings: dict[str, list[TrialConfig]] = {}
    for trial in plan.trials:
        settings.setdefault(trial.setting, []).append(trial.config)
    for setting, configs in settings.items():
        at = ", ".join(map(str, configs[0].evaluation.epochs))
        table.add_row(Text(setting), str(configs[0].epochs), at, ", ".join(str(config.seed) for config in configs))
    return table


def _describe_dataset(name: str) -> RenderableType:
    from gan_bench.data.datasets import DATASETS

    dataset = DATASETS[name]
    counts = ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items())
    classes = f"; {dataset.classes} classes" if dataset.classes else ""
    return Text(f"{name}: {dataset.description}; {counts}{classes}; {_fetched(dataset)}")


def _fetched(dataset: Dataset) -> str:
    """Say how a dataset comes to a machine."""
    if dataset.fetch is None:
        return "nothing to download"
    if not dataset.can_fetch:
        return f"a run fetches it with {dataset.fetch_needs}, which is not installed: pip install {dataset.fetch_needs}"
    return "a run fetches it where it is missing"


def _describe_architecture(name: str) -> RenderableType:
    from gan_bench.models.architectures import ARCHITECTURES

    architecture = ARCHITECTURES[name]
    nets = {"generator": architecture.generator(100), "discriminator": architecture.discriminator()}
    lines = [f"{name}: {architecture.description}; images {architecture.image_shape}"]
    for role, net in nets.items():
        count = sum(parameter.numel() for parameter in net.parameters())
        latent = ", latent 100" if role == "generator" else ""
        lines.append(f"\n{role} ({count:,} parameters{latent})\n{net}")
    return Text("\n".join(lines))


def _describe_extractor(name: str) -> RenderableType:
    from gan_bench.metrics.extractors import EXTRACTORS, card

    line, known = f"{name}: {EXTRACTORS[name].description}", card(name)
    if not known:
        return Text(line)
    table = Table(title=Text(line))
    for title in ("field", "value"):
        table.add_column(title)
    for key, value in known.items():
        table.add_row(key, Text(str(value)))
    return table


def _describe_loss(name: str) -> RenderableType:
    from gan_bench.models.losses import LOSSES

    loss = LOSSES[name]
    smoothing = "takes label_smoothing" if loss.smoothed else "has no target to smooth"
    output = "the logit of a probability" if loss.output == "logit" else "a score without bounds"
    return Text(f"{name}: {loss.description}; source: {loss.source}; D's output is {output}; {smoothing}")


def _describe_measure(name: str) -> RenderableType:
    measure = MEASURES[name]
    low, high = ("" if bound is None else f"{bound:g}" for bound in measure.bounds)
    bounds = f"; from {low or '-inf'} to {high or 'inf'}" if low or high else ""
    shown = f"; shown as {', '.join(sorted(measure.roles))}" if measure.roles else ""
    line = f"{name} ({measure.title}): {_measure_line(measure)}{bounds}{shown}; computed by {measure.metric}"
    return Text(f"{line}\n{measure.explanation}".rstrip())


_DESCRIPTIONS: dict[str, Callable[[str], RenderableType]] = {
    "suites": _describe_suite,
    "recipes": _describe_recipe,
    "datasets": _describe_dataset,
    "architectures": _describe_architecture,
    "losses": _describe_loss,
    "extractors": _describe_extractor,
    "measures": _describe_measure,
}


def present(name: str, data: DataRoot) -> Iterator[str]:
    """Say what is there of a dataset: images per split, how many of them differ, and what was left out."""
    import hashlib

    from gan_bench.core.errors import DataError
    from gan_bench.data.datasets import DATASETS

    dataset = DATASETS[name]
    for split in dataset.counts:
        try:
            images, _ = dataset.read(data.path, split)
        except DataError as error:
            yield f"{split}: not there: {error}"
            continue
        distinct = len({hashlib.sha256(image.numpy().tobytes()).digest() for image in images})
        yield f"{split}: {len(images):,} images, {distinct:,} distinct"


@dataclass(frozen=True)
class Finding:
    """What ``doctor`` sees.

    Attributes:
        line: What is said.
        fatal: Whether a run would fail of it.
    """

    line: str
    fatal: bool = False


def examine(data: DataRoot, results: Path, suite: str | None = None) -> Iterator[Finding]:
    """Look at what a run needs, one line each.

    Args:
        data: The data folder.
        results: The results folder.
        suite: A suite that is to run: what its datasets lack is then fatal.
    """
    import torch

    from gan_bench.data.datasets import DATASETS
    from gan_bench.execution.environment import choose_device, describe
    from gan_bench.metrics.extractors import EXTRACTORS
    from gan_bench.metrics.inception import weights_path

    facts = describe(choose_device("auto"), "reference")
    needed = {trial.config.dataset for trial in make_plan(find_suite(suite), PlanOptions()).trials} if suite else set()
    yield Finding(f"gan_bench {facts['gan_bench']}, Python {facts['python']}, {facts['platform']}")
    yield Finding("libraries: " + ", ".join(f"{name} {version}" for name, version in facts["libraries"].items()))
    yield Finding(f"device: {facts['device']} ({facts['device_name']}), {torch.get_num_threads()} CPU threads")
    for name in DATASETS:
        try:
            dataset = DATASETS[name]
            for split in dataset.counts:
                dataset.read(data.path, split)
            yield Finding(f"dataset {name}: ready")
        except UserError as error:
            known = DATASETS[name] if name in DATASETS.shipped() and not data.given else None
            how = _fetched(known) if known and known.fetch else f"not ready: {error}"
            yield Finding(f"dataset {name}: {how}", fatal=name in needed and not (known and known.can_fetch))
    for name in EXTRACTORS:
        try:
            if name != "inception":
                EXTRACTORS[name].load(torch.device("cpu"))
                yield Finding(f"extractor {name}: ready")
        except UserError as error:
            yield Finding(f"extractor {name}: not ready: {error}", fatal=name in EXTRACTORS.shipped())
    found = weights_path()
    yield Finding(f"extractor inception: weights {found}" if found else "extractor inception: fetched when first named")
    yield _space(results)


def _space(results: Path) -> Finding:
    """Look at the results folder, or at what it would be made in."""
    folder = next(path for path in (results.resolve(), *results.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free / 2**30
    if not os.access(folder, os.W_OK):
        return Finding(f"results: {results} cannot be written; choose another folder with --results", fatal=True)
    return Finding(f"results: {results}, {free:.1f} GiB free", fatal=free < LEAST_GIB)


LEAST_GIB = 0.5
"""Free space below which no suite is worth a start."""


def score_line(score: Score, real: float | None) -> str:
    """Write a score for people.

    Args:
        score: The score.
        real: What as many held-out real images score, or None where there are none.
    """
    value = "no value" if score.value is None else f"{score.value:.6g}"
    spread = "" if score.std is None else f" ± {score.std:.3g}"
    note = f"  ({score.note})" if score.note else ""
    facts = []
    if score.metric in MEASURES:
        facts.append(f"{'lower' if MEASURES[score.metric].lower_is_better else 'higher'} is better")
    if real is not None:
        facts.append(f"held-out real images: {real:.6g}")
    told = f"  ({'; '.join(facts)})" if facts else ""
    return f"{score.name} = {value}{spread}{told}{note}"
