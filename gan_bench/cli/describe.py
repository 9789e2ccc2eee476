"""The content of ``list``, ``show`` and ``data info``."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import gan_bench as gb
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.measures import MEASURES, Measure
from gan_bench.config.recipes import RECIPES, Recipe
from gan_bench.config.suite import find_suite, known_suites, make_plan
from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import UnrunPluginsError, UserError
from gan_bench.core.registry import Registry, did_you_mean
from gan_bench.core.sources import calling
from gan_bench.core.text import as_typed, plural, printable, some_of
from gan_bench.terminal.console import PlainConsole, table_console

if TYPE_CHECKING:
    from torch import Tensor

    from gan_bench.config.image_folder import DataRoot, ImageFolder
    from gan_bench.data.datasets import Dataset
    from gan_bench.data.splits import Split
    from gan_bench.report.study.table import Table


T = TypeVar("T")
Description = list["str | Table"]
"""Lines and tables, in order."""
FAULTS = ("invalid: ", "broken: ", "needs its plug-ins: ")
"""Beginnings of list lines that name a remedy and are not shortened."""


def listing(kind: str) -> list[tuple[str, str]]:
    """Return (name, one line) of every entry of a kind; for a suite, the first sentence of its description."""
    return list(_LISTS[kind]())


def _suites() -> Iterator[tuple[str, str]]:
    for path in sorted(known_suites().values()):
        try:
            yield path.stem, _suite_line(path)
        except UnrunPluginsError:
            yield path.stem, f"needs its plug-ins: `gan-bench show {shlex.quote(path.stem)} --allow-plugins` runs them"
        except UserError as error:
            yield path.stem, f"invalid: {str(error).splitlines()[0]}"


def _suite_line(path: Path) -> str:
    plan = make_plan(path, PlanOptions(), may_skip_plugins=True)
    quick = make_plan(path, PlanOptions(profile="quick"), may_skip_plugins=True)
    cut = f"{len(quick.trials)} quick" if quick.has_quick else "no quick profile"
    first_sentence = re.split(r"(?<=[.?!])\s+(?=[A-Z])", plan.description.strip(), maxsplit=1)[0].removesuffix(".")
    return f"{plural(len(plan.trials), 'trial')} ({cut}): {first_sentence}"


def _measure_line(measure: Measure) -> str:
    return f"{measure.description}; {'lower' if measure.lower_is_better else 'higher'} is better"


def _entries(registry: Registry[T], text: Callable[[T], str]) -> Iterator[tuple[str, str]]:
    """Yield (name, one line) of every entry; for a broken package, its fault."""
    for name in registry:
        try:
            source = registry.source(name)
            yield name, text(registry[name]) + (f" [{source.name} {source.version}".rstrip() + "]" if source else "")
        except UserError as error:
            yield name, f"broken: {error}"
    yield from ((name, f"broken: {why}") for name, why in registry.broken.items())


_LISTS: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "suites": _suites,
    "recipes": lambda: _entries(RECIPES, lambda r: f"{r.article.key}: {r.article.title} ({r.article.outlet})"),
    "datasets": lambda: _entries(gb.DATASETS, lambda dataset: dataset.description),
    "architectures": lambda: _entries(gb.ARCHITECTURES, lambda architecture: architecture.description),
    "losses": lambda: _entries(gb.LOSSES, lambda loss: f"{loss.description} ({loss.source})"),
    "extractors": lambda: _entries(gb.EXTRACTORS, lambda entry: entry.description),
    "measures": lambda: _entries(MEASURES, _measure_line),
}


def describe(name: str, kind: str | None = None, *, allow_plugins: bool = False) -> Description:
    """Describe the entry of that name.

    Args:
        name: Its name.
        kind: Look only among these; among all kinds when None.
        allow_plugins: Whether the files of parts that a suite names run for it.

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
            is_suite = each == "suites"
            return _describe_suite(found, allow_plugins=allow_plugins) if is_suite else _DESCRIPTIONS[each](found)
    is_file = kind is None and os.path.isfile(f"{name}.yaml")  # noqa: PTH113 - no error for a name that is too long
    hint = f"did you mean {name}.yaml?" if is_file else did_you_mean(name, dict.fromkeys(known))
    if not kind and not hint.startswith("did"):  # all names of all kinds
        hint = "`gan-bench list` lists what there is"
    raise UserError(f'nothing is called "{as_typed(name)}" ({hint})')


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Lay out texts in a table that hides no column."""
    import pandas as pd

    from gan_bench.report.study.table import Column, Table

    frame = pd.DataFrame([list(map(str, row)) for row in rows], columns=list(columns))
    return Table("", title, tuple(Column(name, name, essential=True) for name in columns), frame)


def print_description(parts: Description, console: PlainConsole) -> None:
    """Print lines and tables so that they fit the terminal, with every row."""
    from gan_bench.terminal.tables import print_table

    for part in parts:
        if isinstance(part, str):
            console.say(part)
        else:
            print_table(part, table_console(console), filed=False, most=len(part.rows))


def _describe_recipe(name: str) -> Description:
    recipe: Recipe = RECIPES[name]
    title = f"{name}: {recipe.article.key}, {recipe.article.title} ({recipe.article.outlet})"
    rows = [(field, fact.value, fact.provenance, fact.note) for field, fact in recipe.facts().items()]
    return [_table(title, ("field", "value", "provenance", "note"), rows), recipe.remarks]


def _describe_suite(name: str, *, allow_plugins: bool) -> Description:
    plan = make_plan(find_suite(name), PlanOptions(allow_plugins=allow_plugins), may_skip_plugins=True)
    settings: dict[str, list[TrialConfig]] = {}
    for trial in plan.trials:
        settings.setdefault(trial.setting, []).append(trial.config)
    rows = [
        (setting, each[0].epochs, ", ".join(map(str, each[0].evaluation.epochs)), ", ".join(str(c.seed) for c in each))
        for setting, each in settings.items()
    ]
    title = f"{name}, version {plan.version}" + (f": {plan.description.strip()}" if plan.description.strip() else "")
    ran = "ran now too" if allow_plugins else "did not run now"
    files = [f"It runs the Python file {printable(str(path))}, which {ran}." for path in plan.files]
    folders = [line for folder in plan.folders for line in _describe_folder(folder)]
    return [_table(title, ("setting", "epochs", "evaluated at", "seeds"), rows), *files, *folders]


def _describe_folder(folder: ImageFolder) -> Description:
    """Describe a suite's own images, or why they cannot be read; the suite file can be shown without them."""
    from gan_bench.core.errors import DataError
    from gan_bench.data.own_images import register_folder

    try:
        return _describe_dataset(register_folder(folder, anew=True).name)
    except DataError as error:
        return [f"{folder.name}: {printable(str(error))}"]


def _describe_dataset(name: str) -> Description:
    dataset = gb.DATASETS[name]
    counts = ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items())
    classes = f"; {dataset.classes} classes" if dataset.classes else ""
    text = f"{name}: {dataset.description}; {counts}{classes}; {how_fetched(dataset)}"
    return ["\n  ".join([text, *dataset.contents])]


def how_fetched(dataset: Dataset) -> str:
    """Describe how a dataset is obtained."""
    if dataset.fetch is None:
        return "nothing to download"
    if not dataset.can_fetch:
        return f"a run fetches it with {dataset.fetch_needs}, which is not installed: pip install {dataset.fetch_needs}"
    return "a run fetches it where it is missing"


def _describe_architecture(name: str) -> Description:
    architecture = gb.ARCHITECTURES[name]
    with calling(f'architecture "{name}"'):
        nets = {"generator": architecture.generator(100), "discriminator": architecture.discriminator()}
    lines = [f"{name}: {architecture.description}; images {architecture.image_shape}"]
    for role, net in nets.items():
        count = sum(parameter.numel() for parameter in net.parameters())
        latent = ", latent 100" if role == "generator" else ""
        lines.append(f"\n{role} ({count:,} parameters{latent})\n{net}")
    return ["\n".join(lines)]


def _describe_extractor(name: str) -> Description:
    from gan_bench.metrics.extractors import extractor_card

    line, known = f"{name}: {gb.EXTRACTORS[name].description}", extractor_card(name)
    return [_table(line, ("field", "value"), known.items()) if known else line]


def _describe_loss(name: str) -> Description:
    loss = gb.LOSSES[name]
    smoothing = "takes label_smoothing" if loss.smoothed else "has no target to smooth"
    output = "the logit of a probability" if loss.output == "logit" else "a score without bounds"
    return [f"{name}: {loss.description}; source: {loss.source}; D's output is {output}; {smoothing}"]


def _describe_measure(name: str) -> Description:
    measure = MEASURES[name]
    low, high = ("" if bound is None else f"{bound:g}" for bound in measure.bounds)
    bounds = f"; from {low or '-inf'} to {high or 'inf'}" if low or high else ""
    ranks = "; settings are ranked by it" if "primary" in measure.roles else ""
    line = f"{name} ({measure.title}): {_measure_line(measure)}{bounds}{ranks}; computed by {measure.metric}"
    return [f"{line}\n{measure.explanation}".rstrip()]


_DESCRIPTIONS: dict[str, Callable[[str], Description]] = {
    "recipes": _describe_recipe,
    "datasets": _describe_dataset,
    "architectures": _describe_architecture,
    "losses": _describe_loss,
    "extractors": _describe_extractor,
    "measures": _describe_measure,
}


def present(name: str, data: DataRoot) -> Iterator[str]:
    """Describe the files of a dataset: images per split and class, and how many are distinct."""
    import hashlib

    from gan_bench.core.errors import DataError
    from gan_bench.data.datasets import DATASETS, read_split, remarks_on, source_of

    dataset = DATASETS[name]
    found: dict[Split, Tensor] = {}
    with contextlib.suppress(DataError):  # each split says so
        if place := source_of(dataset, data.path):
            yield f"read from {printable(str(place))}"
    for split in dataset.counts:
        try:
            images, labels = read_split(dataset, data.path, split)
        except DataError as error:
            yield f"{split}: not there: {error}"
            continue
        found[split] = images
        distinct = len({hashlib.sha256(image.numpy().tobytes()).digest() for image in images})
        yield f"{split}: {len(images):,} images, {distinct:,} distinct{_by_class(labels)}"
    yield from remarks_on(dataset, data.path, found)


def _by_class(labels: Tensor | None) -> str:
    """Return how many images each class has."""
    if labels is None:
        return ""
    from gan_bench.data.image_folders import CLASSES, MORE_CLASSES

    counts = [f"{label} {count:,}" for label, count in enumerate(labels.bincount().tolist())]
    return f"; by class: {some_of(counts, CLASSES, rest=MORE_CLASSES)}"
