"""How a profile and the command line shorten a suite's trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gan_bench.config.changes import check_changes
from gan_bench.config.design import Design
from gan_bench.config.suite_file import ProfileCuts, SuiteFile
from gan_bench.config.trial import Profile, Trial, check_limits
from gan_bench.config.yaml_document import YamlDocument, dotted
from gan_bench.core.errors import SuiteError, UserError
from gan_bench.core.registry import did_you_mean
from gan_bench.core.text import as_typed, clip


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What the command line adds to a suite: caps, seeds, a filter, changed values, and whether its plug-ins may run.

    Changes are fields of ``changes.Changes``; every trial gets them.

    Raises:
        UserError: A number is outside its limits.
    """

    profile: Profile = "full"
    epochs: int | None = None
    train_limit: int | None = None
    samples: int | None = None
    seeds: tuple[int, ...] | None = None
    only: str | None = None
    allow_plugins: bool = False
    changes: Mapping[str, object] = field(default_factory=dict)
    extractors: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        try:
            check_limits({"epochs": self.epochs, "train_limit": self.train_limit, "samples": self.samples})
            for seed in self.seeds or ():
                check_limits({"seed": seed})
        except ValueError as error:
            raise UserError(str(error)) from None
        check_changes(self.changes)

    @property
    def has_all_settings(self) -> bool:
        """Whether a plan has every setting of the suite's file, unchanged."""
        cuts = (self.epochs, self.train_limit, self.samples, self.only, self.extractors)
        return not self.changes and all(each is None for each in cuts)

    @property
    def is_whole(self) -> bool:
        """Whether a plan has all settings and seeds of the suite's file, capped or not."""
        chosen = (self.only, self.seeds, self.extractors)
        return not self.changes and all(each is None for each in chosen)


def idle_cap(options: PlanOptions, trials: Iterable[Trial]) -> Iterator[str]:
    """Yield that the cap on epochs of the command line shortens no trial, and how to train longer."""
    longest = max(trial.config.epochs for trial in trials)
    if options.epochs is not None and longest < options.epochs:
        yield (
            f"--epochs {options.epochs} caps nothing: no trial has more than {longest}; --set epochs={options.epochs} "
            "trains longer"
        )


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What all trials of a plan share.

    Attributes:
        epochs: Most epochs by recipe, of the profile and the command line; None where neither cuts them.
        train_limit: Most training images likewise.
        seeds: Seeds of every setting.
        design: Which seeds verdicts are made at.
        samples: Generated images per evaluation.
        quick: Whether the quick profile was chosen and cuts something besides seeds, or samples are fewer than the
            suite says.
        has_quick: Whether the suite has a quick profile that cuts something besides seeds.
        extractors: Names of the feature extractors.
    """

    epochs: Mapping[str, int | None]
    train_limit: Mapping[str, int | None]
    seeds: tuple[int, ...]
    design: Design
    samples: int
    quick: bool
    has_quick: bool
    extractors: tuple[str, ...]

    @classmethod
    def of(cls, suite: SuiteFile, options: PlanOptions, document: YamlDocument) -> Frame:
        """Combine a suite with the command line, whose samples and seeds take precedence.

        What the command line cuts down is no longer the suite's protocol and is marked as such in every table; a
        quick profile that cuts nothing, seeds apart, is that protocol.

        Raises:
            SuiteError: A cut by recipe leaves out a recipe of the suite, or names another.
        """
        profile = suite.profiles.quick if options.profile == "quick" else ProfileCuts()
        recipes = dict.fromkeys(entry.recipe for entry in suite.trials)
        for name in ("epochs", "train_limit"):
            _check_recipes(suite, name, recipes, document)
        epochs = None if "epochs" in options.changes else profile.epochs
        samples = options.samples or profile.samples or suite.evaluate.samples
        has_quick = bool(suite.profiles.quick.model_dump(exclude={"seeds"}, exclude_none=True))
        named = ("auto",) if suite.evaluate.extractors == "auto" else tuple(suite.evaluate.extractors)
        declared = suite.design
        if profile.seeds and declared.is_fixed:  # with looks, a profile's seeds are just the first ones
            declared = Design.fixed(profile.seeds, declared.margin)
        seeds = tuple(dict.fromkeys(options.seeds or profile.seeds or declared.first(declared.looks[0])))
        return cls(
            epochs={recipe: _least(_cut(epochs, recipe), options.epochs) for recipe in recipes},
            train_limit={recipe: _least(_cut(profile.train_limit, recipe), options.train_limit) for recipe in recipes},
            seeds=seeds,
            design=declared.asked_for(seeds),
            samples=samples,
            quick=(options.profile == "quick" and has_quick) or samples < suite.evaluate.samples,
            has_quick=has_quick,
            extractors=options.extractors or named,
        )


def _check_recipes(suite: SuiteFile, field: str, recipes: Mapping[str, None], document: YamlDocument) -> None:
    """Refuse cuts that name recipes unlike the suite's: a recipe without a cut would train for hours in a quick run."""
    cut = getattr(suite.profiles.quick, field)
    if not isinstance(cut, dict):
        return
    place = ("profiles", "quick", field)
    for name in cut:
        if name not in recipes:
            at = document.nearest((*place, name), key=True)
            hint = did_you_mean(name, recipes)
            raise SuiteError(f'{at}: {dotted(place)}: no trial has the recipe "{as_typed(name)}" ({hint})')
    if missing := [name for name in recipes if name not in cut]:
        at = document.nearest(place, key=True)
        raise SuiteError(f"{at}: {dotted(place)}: no number for the recipe {clip(missing[0], 60)}; add one")


def _cut(cut: int | Mapping[str, int] | None, recipe: str) -> int | None:
    return cut[recipe] if isinstance(cut, Mapping) else cut


def _least(*values: int | None) -> int | None:
    return min((v for v in values if v is not None), default=None)
