"""Settings as sets of values: common values of a study, differences, and short names."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gan_bench.config.naming import PAIRS, SEPARATOR, TITLES, flat_values, of_both, title, value_text
from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import LATER_DEFAULTS
from gan_bench.core.errors import UserError
from gan_bench.core.text import printable

_OFF = {"optimizer": "adam", **{name: value for name, value in LATER_DEFAULTS.items() if name != "loss"}}
"""Values that mean off, which names of settings leave out."""
_NONE = "-"
_UNNAMED = ("seed", "profile", "suite", "recipe")
_LAST = ("log_every", "evaluation.epochs")
"""Fields that are in a setting's name only if nothing else distinguishes it."""
_SHARED = (
    *("dataset", "image_size", "train_limit", "epochs", "batch_size", "latent_dim", "lr", "beta1", "beta2"),
    *("loss", "optimizer", *LATER_DEFAULTS),
)


@dataclass(frozen=True)
class Settings:
    """The settings of a study as values.

    Attributes:
        labels: A short unique name of every setting, by its group key.
        values: What differs between them, by group key: field -> value.
        columns: The fields that differ within a recipe, in order.
        recipes: What their recipes are called, by group key: where all trials have other networks, by those.
        shared: What all settings share, as text.
    """

    labels: Mapping[str, str]
    values: Mapping[str, Mapping[str, object]]
    columns: tuple[str, ...]
    recipes: Mapping[str, str]
    shared: str


def _recipe_names(configs: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """Return display names of recipes; if all trials have other networks than the recipe's, those name it."""
    used: dict[str, set[str]] = {}
    for config in configs:
        used.setdefault(str(config.get("recipe", "")), set()).add(str(config.get("architecture", "")))
    names = {}
    for name, networks in used.items():
        own = architecture_of(name)
        has_others = own is not None and own not in networks and len(networks) == 1
        names[name] = printable(f"{next(iter(networks))} (trained as {name})" if has_others else name)
    return names


def architecture_of(recipe: str) -> str | None:
    """Return the networks of a recipe; None if it is unavailable."""
    try:
        return RECIPES[recipe].architecture.value
    except (UserError, KeyError):
        return None


def settings_of(configs: Mapping[str, Mapping[str, object]]) -> Settings:
    """Split settings into common and differing values.

    A value that follows from the recipe, such as its batch size, tells no settings apart and is left to the recipe.

    Args:
        configs: Config of one trial of every setting, by group key.
    """
    flat = _merged({key: _flat(config) for key, config in configs.items()})
    names = _recipe_names(configs.values())
    recipes = {key: names[str(config.get("recipe", ""))] for key, config in configs.items()}
    there = {name for values in flat.values() for name in values}
    fields = [*(name for name in TITLES if name in there), *sorted(there - TITLES.keys())]
    differing = [name for name in fields if _differs_within(name, flat, recipes)]
    several = len(set(recipes.values())) > 1
    for columns in ([name for name in differing if name not in _LAST], differing):
        labels = {key: _label(recipes[key], flat[key], columns, several=several) for key in flat}
        if len(set(labels.values())) == len(labels):
            break
    first, off = next(iter(flat.values()), {}), {**LATER_DEFAULTS, **_OFF}.items()
    shared = [
        f"{title(name)} {value_text(first[name])}"
        for name in dict.fromkeys(_SHARED)
        if first.get(name) is not None and len({repr(v.get(name)) for v in flat.values()}) == 1
        if (name, first[name]) not in off
    ]
    return Settings(
        labels=_unique(labels),
        values=flat,
        columns=tuple(columns),
        recipes=recipes,
        shared=", ".join(shared),
    )


def _flat(config: Mapping[str, object]) -> dict[str, object]:
    """Flatten a config into values that may name a setting; only Adam has betas."""
    others = [net for net in "gd" if config.get(f"optimizer_{net}", "adam") != "adam"]
    idle = {f"beta{i}_{net}" for net in others for i in (1, 2)}
    found = flat_values(config)
    return {name: _NONE if name in idle else value for name, value in found.items() if name not in _UNNAMED}


def _merged(flat: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Merge values that both networks share in every setting under one name."""
    for short, g, d in PAIRS:
        if all(g in values and values.get(g) == values.get(d) for values in flat.values()):
            for key, values in flat.items():
                flat[key] = {short if name == g else name: value for name, value in values.items() if name != d}
    return flat


def _differs_within(name: str, flat: Mapping[str, Mapping[str, object]], recipes: Mapping[str, str]) -> bool:
    seen = {(recipes[key], repr(values.get(name))) for key, values in flat.items()}
    return len(seen) > len({recipe for recipe, _ in seen})


def _label(recipe: str, values: Mapping[str, object], columns: Iterable[str], *, several: bool) -> str:
    parts: list[str] = []
    left = [name for name in columns if values.get(name) != _NONE and (name, values.get(name)) not in _OFF.items()]
    for short, g, d in PAIRS:
        of_one = [f"{title(name)} {value_text(values.get(name))}" for name in (short, g, d) if name in left]
        of_two = f"{title(short)} {of_both(values.get(g), values.get(d))}"
        parts += [of_two] if g in left and d in left else of_one
        left = [name for name in left if name not in (short, g, d)]
    for name in left:
        text = value_text(values.get(name))
        parts.append(text if isinstance(values.get(name), str) else f"{title(name)} {text}")
    return SEPARATOR.join([recipe, *parts] if several or not parts else parts)


def _unique(labels: Mapping[str, str]) -> dict[str, str]:
    """Add a mark to names that are equal after rounding."""
    counts = Counter(labels.values())
    return {
        key: label if counts[label] == 1 else f"{label} · #{hashlib.sha256(key.encode()).hexdigest()[:4]}"
        for key, label in labels.items()
    }


def shared_parts(first: str, second: str) -> str:
    """Return the parts that the labels of two settings share."""
    other = second.split(SEPARATOR)
    return SEPARATOR.join(part for part in first.split(SEPARATOR) if part in other)
