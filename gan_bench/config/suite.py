"""A suite file and the wishes of the command line -> a plan, the list of trials."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_bench.config.image_folder import ImageFolder, Transform
from gan_bench.config.recipes import RECIPES, Recipe
from gan_bench.config.suite_file import FolderEntry, ProfileCuts, SuiteFile, TrialEntry, read
from gan_bench.config.trial import EvaluationConfig, Profile, Trial, TrialConfig
from gan_bench.core.errors import SuiteError, UserError
from gan_bench.core.registry import did_you_mean

BOTH = {"lr": ("lr_g", "lr_d"), "betas": ("betas_g", "betas_d")}
"""Shorthands that set a value of both networks."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What the command line adds to a suite: caps, seeds and a filter."""

    profile: Profile = "full"
    epochs: int | None = None
    train_limit: int | None = None
    samples: int | None = None
    seeds: tuple[int, ...] | None = None
    only: str | None = None
    extractors: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A suite made concrete.

    Attributes:
        suite: Its name.
        version: Its version.
        description: What it asks.
        profile: The profile it was made for.
        trials: Trials without repeats, in the order of the file, seed by seed.
        folders: The user's own folders of images that the suite names.
    """

    suite: str
    version: int
    description: str
    profile: Profile
    trials: tuple[Trial, ...]
    folders: tuple[ImageFolder, ...] = ()


def suites_folder() -> Path:
    """Return the folder of the suites that come with gan_bench."""
    return Path(__file__).resolve().parents[2] / "benchmarks"


def find_suite(name: str) -> Path:
    """Find a suite by name in ``benchmarks/`` (here, then beside the package), or take a path.

    Raises:
        SuiteError: There is none.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    folders = [Path("benchmarks"), suites_folder()]
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.exists():
            return path
    known = {path.stem for folder in folders for path in folder.glob("*.yaml")}
    raise SuiteError(f'unknown suite "{name}" ({did_you_mean(name, known)}); a path to a YAML file works too')


def make_plan(path: Path, options: PlanOptions) -> Plan:
    """Read a suite and expand it.

    Raises:
        SuiteError: The file is not a suite, or a value cannot be.
        UserError: Nothing is left to run.
    """
    suite, document = read(path)
    cuts = _cuts(suite, options)
    seeds = cuts.seeds or suite.seeds
    trials: dict[str, Trial] = {}
    for seed, (index, entry) in itertools.product(seeds, enumerate(suite.trials)):
        where = document.nearest(("trials", index), key=False)
        if entry.recipe not in RECIPES:
            at = document.nearest(("trials", index, "recipe"), key=False)
            hint = did_you_mean(entry.recipe, RECIPES)
            raise SuiteError(f'{at}: trials[{index}].recipe: unknown recipe "{entry.recipe}" ({hint})')
        recipe = RECIPES[entry.recipe]
        for changes in _expand(entry, f"{where}: trials[{index}]"):
            try:
                trial = _trial(suite, recipe, changes, cuts, options, seed)
            except ValueError as error:
                raise SuiteError(f"{where}: trials[{index}]: {error}") from None
            trials.setdefault(trial.id, trial)
    chosen = [t for t in trials.values() if options.only is None or fnmatch.fnmatchcase(t.name, options.only)]
    if not chosen:
        raise UserError(f'no trial of {suite.suite} matches --only "{options.only}"; --dry-run lists the names')
    return Plan(
        suite=suite.suite,
        version=suite.version,
        description=suite.description,
        profile=options.profile,
        trials=tuple(chosen),
        folders=tuple(_folder(path, name, entry) for name, entry in suite.datasets.items()),
    )


def _folder(suite_path: Path, name: str, entry: FolderEntry) -> ImageFolder:
    transform = Transform(size=entry.size, channels=entry.channels, crop=entry.crop, unreadable=entry.unreadable)
    return ImageFolder(name=name, path=suite_path.parent / Path(entry.path).expanduser(), transform=transform)


def _cuts(suite: SuiteFile, options: PlanOptions) -> ProfileCuts:
    """Join the profile's cuts with those of the command line; the command line's samples and seeds win."""
    base = suite.profiles.quick if options.profile == "quick" else ProfileCuts()
    return ProfileCuts(
        epochs=_least(base.epochs, options.epochs),
        train_limit=_least(base.train_limit, options.train_limit),
        samples=options.samples or base.samples or suite.evaluate.samples,
        seeds=list(options.seeds) if options.seeds else base.seeds,
    )


def _least(*values: int | None) -> int | None:
    return min((v for v in values if v is not None), default=None)


def _expand(entry: TrialEntry, where: str) -> list[dict[str, Any]]:
    """Return the field changes of every trial an entry stands for: the product of all lists."""
    fixed = entry.set.model_dump(exclude_none=True)
    swept: dict[str, list[Any]] = entry.sweep.model_dump(exclude_none=True)  # type: ignore[attr-defined]
    named = [*fixed, *swept]
    for short, fields in BOTH.items():
        clash = [name for name in fields if short in named and name in named]
        if clash:
            raise SuiteError(f"{where}: {short} sets both networks, so {clash[0]} cannot be given beside it")
    twice = set(fixed) & set(swept)
    if twice:
        raise SuiteError(f"{where}: {twice.pop()} stands in set and in sweep; keep one")
    rows = [dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values())]
    return [_both({**fixed, **row}) for row in rows]


def _both(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for name, value in changes.items() for field in BOTH.get(name, (name,))}


def _trial(
    suite: SuiteFile,
    recipe: Recipe,
    changes: Mapping[str, Any],
    cuts: ProfileCuts,
    options: PlanOptions,
    seed: int,
) -> Trial:
    values = {**recipe.values(), **changes}
    wished = values["epochs"]
    values["epochs"] = min(wished, cuts.epochs or wished)
    extractors = options.extractors or (
        ("auto",) if suite.evaluate.extractors == "auto" else tuple(suite.evaluate.extractors)
    )
    # What the command line cuts down is no longer the suite's protocol and is marked as such in every table; a quick
    # profile that cuts nothing, seeds apart, is that protocol.
    limited = cuts.train_limit is not None or (cuts.samples or 0) < suite.evaluate.samples
    cutting = suite.profiles.quick.model_dump(exclude={"seeds"}, exclude_none=True)
    quick = limited or values["epochs"] < wished or (options.profile == "quick" and bool(cutting))
    profile: Profile = "quick" if quick else "full"
    at = {0, values["epochs"], *(e for e in suite.evaluate.epochs if e <= values["epochs"])}
    evaluation = EvaluationConfig(
        epochs=tuple(sorted(at)), samples=cuts.samples or 2, extractors=extractors, draws=suite.evaluate.draws
    )
    config = TrialConfig(
        **values,
        suite=suite.suite,
        suite_version=suite.version,
        recipe=recipe.name,
        train_limit=cuts.train_limit,
        seed=seed,
        profile=profile,
        evaluation=evaluation,
    )
    provenance = {name: ("chosen" if name in changes else mark) for name, mark in recipe.provenance().items()}
    return Trial(setting=_setting(recipe, config, cut=values["epochs"] < wished), config=config, provenance=provenance)


def _setting(recipe: Recipe, config: TrialConfig, *, cut: bool) -> str:
    """Name a setting by what differs from its recipe; epochs that a profile cut are no difference."""
    unnamed = {"log_every", "epochs"} if cut else {"log_every"}
    article = {name: value for name, value in recipe.values().items() if name not in unnamed}
    shown = {name: getattr(config, name) for name in article}
    differs = {name for name in article if shown[name] != article[name]}
    parts = []
    for short, (g, d) in BOTH.items():
        if differs & {g, d}:
            same = shown[g] == shown[d]
            parts += [f"{short}={_text(shown[g])}"] if same else [f"{n}={_text(shown[n])}" for n in (g, d)]
            differs -= {g, d}
    parts += [f"{name}={_text(shown[name])}" for name in article if name in differs]
    return ",".join([recipe.name, *parts])


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
