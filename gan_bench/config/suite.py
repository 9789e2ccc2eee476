"""A suite file and command-line options -> a plan, the list of trials."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gan_bench.config.changes import both, combinations_of
from gan_bench.config.cuts import Frame, PlanOptions
from gan_bench.config.design import Design
from gan_bench.config.entries import changes_of, check_count, check_datasets, listed_and_drawn
from gan_bench.config.image_folder import ImageFolder, Transform
from gan_bench.config.naming import chosen_trials, plain, setting_name
from gan_bench.config.plugins import keep_plugins, load_plugin
from gan_bench.config.recipes import RECIPES
from gan_bench.config.suite_file import SuiteFile, SuiteSource, of_images, read
from gan_bench.config.trial import EvaluationConfig, Profile, Trial, TrialConfig
from gan_bench.config.yaml_document import MAX_MESSAGE, Location, YamlDocument, dotted, quoted
from gan_bench.core.errors import SuiteError, UnrunPluginsError, UserError
from gan_bench.core.registry import did_you_mean
from gan_bench.core.sources import Source
from gan_bench.core.text import as_typed, at_home, clip, names_instead

SET_MARK = "+set"
"""Suffix of the suite name under which trials with values from the command line are recorded."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A suite made concrete.

    Attributes:
        suite: Its name.
        version: Its version.
        description: What it asks.
        profile: The profile it was made for.
        has_quick: Whether the suite has a quick one that cuts something besides seeds.
        trials: Trials without repeats, in the order of the file, seed by seed.
        design: Which seeds verdicts are made at.
        folders: The user's own folders of images that the suite names.
        files: The user's own files of parts.
        plugins: The same, once they have run.
        text: The suite file, as it was read.
    """

    suite: str
    version: int
    description: str
    profile: Profile
    has_quick: bool
    trials: tuple[Trial, ...]
    design: Design
    folders: tuple[ImageFolder, ...] = ()
    files: tuple[Path, ...] = ()
    plugins: tuple[Source, ...] = ()
    text: str = field(default="", repr=False)


def suites_folder() -> Path:
    """Return the folder of the suites that come with gan_bench: inside an installed package, beside a checkout's."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "suites"
    return inside if inside.is_dir() else package.parent / "benchmarks"


def known_suites() -> dict[str, Path]:
    """Return the suites in ``benchmarks/`` of the current folder and those of gan_bench, by name; the former win."""
    return {path.stem: path for folder in (suites_folder(), Path("benchmarks")) for path in folder.glob("*.yaml")}


def suite_of_name(name: str) -> Path | None:
    """Return the suite of a name, which may be written in any case of letters, or None."""
    known = known_suites()
    return known.get(name) or known.get(name.lower())


def find_suite(suite: str | SuiteSource) -> SuiteSource:
    """Find a suite by name in ``benchmarks/`` of the current folder, then among those of gan_bench, or take a path.

    A suite that a program made is returned as it is.

    Raises:
        SuiteError: There is none.
    """
    if isinstance(suite, Mapping):
        return suite
    name = os.fspath(suite)
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(at_home(name))
    if found := suite_of_name(name):
        return found
    if name in RECIPES:
        raise SuiteError(
            f'"{name}" is a recipe, not a suite; add --only {name} to a suite that has it, or write a suite of your own'
        )
    here = [path.name for path in sorted(Path().glob("*.y*ml")) if path.is_file()]
    near = next((path for path in here if path.rpartition(".")[0].lower() == name.lower()), None)
    if not near and name and (said := of_images(Path(name))):
        raise SuiteError(said)
    hint = f"did you mean {near}?" if near else did_you_mean(name, known_suites())
    raise SuiteError(f'unknown suite "{as_typed(name)}" ({hint}); a path to a YAML file works too')


def make_plan(
    source: SuiteSource, options: PlanOptions, *, may_skip_plugins: bool = False, has_run: bool = False
) -> Plan:
    """Read a suite and expand it.

    Args:
        source: The suite.
        options: What the command line adds.
        may_skip_plugins: Whether plug-ins that may not run are left out, as where nothing is trained; else they are an
            error.
        has_run: Whether it is one whose records are there: images that no trial uses are no mistake any more.

    Raises:
        SuiteError: The file is not a suite, would run Python files unasked, a value cannot be, no trial uses images
            that it names, or there are too many trials.
        UnrunPluginsError: It cannot be planned without its plug-ins.
        UserError: Nothing is left to run.
    """
    suite, document = read(source)
    files = _files(suite, document)
    plugins: tuple[Source, ...] = ()
    if options.allow_plugins or not may_skip_plugins:
        if suite.plugins and not options.allow_plugins:
            at = document.nearest(("plugins", 0), key=False)
            raise SuiteError(
                f"{at}: plugins[0]: the suite runs the Python file {quoted(suite.plugins[0])}; read it, then allow it "
                "with --allow-plugins"
            )
        keep_plugins(files)
        plugins = tuple(map(load_plugin, files))
    frame = Frame.of(suite, options, document)
    check_count(suite, len(frame.seeds) * sum(1 for _ in combinations_of(options.changes)), document)
    templates = list(_templates(suite, frame, options, document))
    _refuse_one_name(templates, document)
    if not has_run:
        check_datasets(suite, options.changes, document)
    trials: dict[str, Trial] = {}
    for seed, template in itertools.product(frame.seeds, templates):
        trial = replace(template, config=replace(template.config, seed=seed))
        known = trials.setdefault(trial.id, trial)
        if known is not trial and known.config != trial.config:
            names = f'"{clip(known.name, 200)}" and "{clip(trial.name, 200)}"'
            raise SuiteError(
                f"{document.path}: the trials {names} have the same id {trial.id}; change a value or the version"
            )
    chosen = tuple(trials.values())
    if options.only is not None:
        asked = chosen_trials(((trial.name, trial.config.to_json()) for trial in chosen), options.only)
        if not asked:
            hint = names_instead(trial.name for trial in chosen)
            raise UserError(f'no trial of {suite.suite} matches --only "{as_typed(options.only)}"; {hint}')
        chosen = tuple(trial for trial in chosen if trial.name in asked)
    return Plan(
        suite=results_name(suite.suite, options),
        version=suite.version,
        description=suite.description,
        profile=options.profile,
        has_quick=frame.has_quick,
        trials=chosen,
        design=frame.design,
        folders=_folders(suite, document),
        files=files,
        plugins=plugins,
        text=document.text,
    )


def named_files(source: SuiteSource) -> tuple[tuple[Path, ...], tuple[ImageFolder, ...]]:
    """Return the plug-ins and the images that a suite names, also of one that cannot be planned without its plug-ins.

    Raises:
        SuiteError: The file is not a suite.
    """
    suite, document = read(source)
    return _files(suite, document), _folders(suite, document)


def _files(suite: SuiteFile, document: YamlDocument) -> tuple[Path, ...]:
    return tuple(_path(document, ("plugins", index), name) for index, name in enumerate(suite.plugins))


def _folders(suite: SuiteFile, document: YamlDocument) -> tuple[ImageFolder, ...]:
    return tuple(
        ImageFolder(
            name=name,
            path=_path(document, ("datasets", name, "path"), entry.path),
            transform=Transform(**entry.model_dump(exclude={"path"})),
        )
        for name, entry in suite.datasets.items()
    )


def _refuse_one_name(templates: list[Trial], document: YamlDocument) -> None:
    """Refuse settings with equal names, whose values differ beyond the printed digits.

    Raises:
        SuiteError: There are two.
    """
    named: dict[str, TrialConfig] = {}
    for each in templates:
        other = named.setdefault(each.setting, each.config)
        for name, before in vars(other).items():
            now = vars(each.config).get(name, before)
            if now != before and isinstance(now, (float, tuple)) and plain(now) == plain(before):
                raise SuiteError(
                    f"{document.path}: {name} is {before} and {now} in two settings, which are both named "
                    f'"{clip(each.setting, 200)}"; round the numbers to six digits, or keep one'
                )


def results_name(suite: str, options: PlanOptions) -> str:
    """Return the name under which a suite's trials are recorded, marked if the command line changes values."""
    return f"{suite}{SET_MARK}" if options.changes else suite


def _templates(suite: SuiteFile, frame: Frame, options: PlanOptions, document: YamlDocument) -> Iterator[Trial]:
    """Yield every trial of a suite once, with seed 0.

    Raises:
        SuiteError: A recipe is unknown, or a value cannot be.
        UnrunPluginsError: A recipe is unknown that the suite's plug-ins may have.
    """
    for index, entry in enumerate(suite.trials):
        where = f"{document.nearest(('trials', index), key=False)}: trials[{index}]"
        if entry.recipe not in RECIPES:
            at = document.nearest(("trials", index, "recipe"), key=False)
            unrun = suite.plugins and not options.allow_plugins
            kind = UnrunPluginsError if unrun else SuiteError
            hint = "its plug-ins have not run; --allow-plugins runs them" if unrun else RECIPES.hint(entry.recipe)
            raise kind(f'{at}: trials[{index}].recipe: unknown recipe "{as_typed(entry.recipe)}" ({hint})')
        recipe = RECIPES[entry.recipe]
        values, provenance = recipe.values(), recipe.provenance()
        asked = [
            both({n: tuple(v) if isinstance(v, list) else v for n, v in each.items()})
            for each in combinations_of(options.changes)
        ]
        drawn = tuple(name for name in both(listed_and_drawn(entry)[1]) if name not in asked[0])
        for changes in ({**each, **given} for each in changes_of(entry, where) for given in asked):
            trained = {**values, **changes}
            folder = suite.datasets.get(trained["dataset"])
            if folder and "image_size" not in changes:
                changes["image_size"] = trained["image_size"] = folder.size
            try:
                _check_betas(trained, changes)
                config = _config(suite, results_name(suite.suite, options), recipe.name, trained, frame)
            except (ValueError, TypeError) as error:
                raise SuiteError(f"{where}: {clip(str(error), MAX_MESSAGE)}") from None
            marks = {name: "chosen" if name in changes else mark for name, mark in provenance.items()}
            name = setting_name(recipe.name, values, config, cut=config.epochs < trained["epochs"])
            yield Trial(setting=name, config=config, provenance=marks, drawn=drawn)


def _check_betas(values: Mapping[str, object], changes: Mapping[str, object]) -> None:
    """Refuse betas for an optimizer without betas: trials would differ in their names only."""
    optimizers = {net: values.get(f"optimizer_{net}", "adam") for net in ("g", "d")}
    have = [net for net, name in optimizers.items() if f"betas_{net}" in changes and name == "adam"]
    remedy = f"set betas_{have[0]} alone" if have else "leave them out"  # betas are those of both networks
    for net, name in optimizers.items():
        if f"betas_{net}" in changes and name != "adam":
            raise ValueError(f"betas_{net}: {name} has no betas; {remedy}")


def _path(document: YamlDocument, place: Location, text: str) -> Path:
    """Return a path that a suite names; a relative one starts at the suite file.

    Raises:
        SuiteError: It begins with the home folder of an unknown user.
    """
    try:
        path = document.path.parent / (Path(text).expanduser() if text.startswith("~") else text)
    except RuntimeError:
        said = f"the home folder of {quoted(text)} is not known; write the whole path"
        raise SuiteError(f"{document.nearest(place, key=False)}: {dotted(place)}: {said}") from None
    return path.absolute() if path.parts[:1] == ("~",) else path  # a folder named ~ must not become the home folder


def _config(suite: SuiteFile, name: str, recipe: str, values: Mapping[str, Any], frame: Frame) -> TrialConfig:
    """Return the config of the recipe's changed values under the cuts of a plan, with seed 0 and the suite's name.

    Raises:
        ValueError: A value is outside its range.
    """
    epochs = min(values["epochs"], frame.epochs[recipe] or values["epochs"])
    at = {0, epochs, *(e for e in suite.evaluate.epochs if e <= epochs)}
    evaluation = EvaluationConfig(
        epochs=tuple(sorted(at)),
        samples=frame.samples,
        extractors=frame.extractors,
        draws=suite.evaluate.draws,
        keep=suite.evaluate.keep,
    )
    cut = frame.quick or frame.train_limit[recipe] is not None or epochs < values["epochs"]
    profile: Profile = "quick" if cut else "full"
    return TrialConfig(
        **{**values, "epochs": epochs},
        suite=name,
        suite_version=suite.version,
        recipe=recipe,
        train_limit=frame.train_limit[recipe],
        seed=0,
        profile=profile,
        evaluation=evaluation,
    )
