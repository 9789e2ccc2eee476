"""Names of settings and values, and the trials that a user's pattern selects."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from gan_bench.config.trial import BOTH, LATER_DEFAULTS, TrialConfig
from gan_bench.core.text import matches, names_meant, printable

TITLES: Mapping[str, str] = {
    "lr": "lr",
    "lr_g": "lr G",
    "lr_d": "lr D",
    "beta1": "β₁",
    "beta1_g": "β₁ G",
    "beta1_d": "β₁ D",
    "beta2": "β₂",
    "beta2_g": "β₂ G",
    "beta2_d": "β₂ D",
    "batch_size": "batch",
    "latent_dim": "latent",
    "latent": "latent distribution",
    "adam_eps": "ε",
    "loss": "loss",
    "d_steps": "D steps",
    "optimizer": "optimizer",
    "optimizer_g": "optimizer G",
    "optimizer_d": "optimizer D",
    "momentum": "momentum",
    "label_smoothing": "smoothing",
    "weight_clip": "clip",
    "gradient_penalty": "penalty",
    "r1_gamma": "R1",
    "spectral_norm": "spectral norm",
    "ema_decay": "EMA",
    "precision": "number format",
    "dataset_repeats": "passes",
    "train_limit": "images",
    "image_size": "size",
    "suite_version": "version",
    "step_fakes": "G step fakes",
    "fake_batch": "fake batch",
    "last_batch": "last batch",
    "log_every": "logged every",
    "evaluation.samples": "samples",
    "evaluation.extractors": "extractors",
    "evaluation.draws": "draws",
    "evaluation.epochs": "evaluated at",
}
"""Titles of fields; others are shown by their names."""
SEPARATOR = " \N{MIDDLE DOT} "
"""Separates the recipe and the values in a setting's name, and the parts of a run's name."""
PAIRS = (
    # of both networks, of G, of D
    ("lr", "lr_g", "lr_d"),
    ("beta1", "beta1_g", "beta1_d"),
    ("beta2", "beta2_g", "beta2_d"),
    ("optimizer", "optimizer_g", "optimizer_d"),
)


_NAMED = tuple(
    field.name
    for field in fields(TrialConfig)
    if field.name not in {"suite", "suite_version", "recipe", "seed", "profile", "evaluation"}
)
"""Fields that the name of a setting may say."""


def setting_name(recipe: str, values: Mapping[str, object], config: TrialConfig, *, cut: bool) -> str:
    """Return the name of a setting.

    Args:
        recipe: Name of the recipe.
        values: The recipe's values.
        config: A trial of the setting.
        cut: Whether a profile cut the epochs, so that they are no difference.
    """
    unnamed = {"log_every", "epochs"} if cut else {"log_every"}
    given = {**values, **{name: default for name, default in LATER_DEFAULTS.items() if name not in values}}
    differs = {name for name, value in given.items() if name not in unnamed and getattr(config, name) != value}
    return ",".join([recipe, *(text for named, text in _parts(config, given) if differs.intersection(named))])


def _parts(config: TrialConfig, names: Iterable[str]) -> Iterator[tuple[Collection[str], str]]:
    """Yield fields of a config with their text in names of settings, shared ones of both networks first."""
    for short, pair in BOTH.items():
        g, d = (getattr(config, name) for name in pair)
        apart = ",".join(f"{name}={plain(value)}" for name, value in zip(pair, (g, d), strict=True))
        yield pair, f"{short}={plain(g)}" if g == d else apart
    pairs = set().union(*BOTH.values())
    yield from (((name,), f"{name}={plain(getattr(config, name))}") for name in names if name not in pairs)


def misnamed(setting: str, config: TrialConfig) -> str:
    """Return how the name of a setting contradicts its config, or an empty text.

    It begins with the recipe, and the rest is what ``setting_name`` writes for fields of the config, each
    once. That a value differs from the recipe's and is not named goes unnoticed: a recipe may have had another value
    when the trial was planned, or be a suite's own.

    Args:
        setting: The name.
        config: A trial of the setting.
    """
    if not setting.startswith(config.recipe):
        return setting
    rest, parts = setting.removeprefix(config.recipe), {text for _, text in _parts(config, _NAMED)}
    while said := next((text for text in parts if f"{rest},".startswith(f",{text},")), ""):
        parts.remove(said)
        rest = rest.removeprefix(f",{said}")
    return rest.removeprefix(",").partition(",")[0] or rest


def plain(value: object) -> str:
    """Write a value as names of settings have it: betas as ``0.5-0.999``."""
    if isinstance(value, (tuple, list)):
        return "-".join(plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def flat_values(config: Mapping[str, Any], joint: str = ".") -> dict[str, Any]:
    """Lay a config out as single values: betas become two each, and the evaluation one for each of its fields.

    Args:
        config: As ``TrialConfig.to_json`` gives it.
        joint: Stands between ``evaluation`` and the name of its field.
    """
    flat: dict[str, object] = {}
    for name, value in config.items():
        if name in BOTH["betas"]:
            flat |= {f"beta{i}_{name[-1]}": item for i, item in enumerate(value, 1)}
        elif name == "evaluation":
            flat |= {f"{name}{joint}{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat


def title(field: str) -> str:
    """Return the title of a field."""
    return TITLES.get(field, field.replace("_", " ").replace("evaluation.", ""))


def of_both(g: Any, d: Any) -> str:  # noqa: ANN401 - any value of a config
    """Write a value of both networks: once if it is the same, else G's and D's."""
    first, second = value_text(g), value_text(d)
    return first if first == second else f"{first}/{second}"


def value_text(value: Any) -> str:  # noqa: ANN401 - any value of a config
    """Write a value in the shortest form that is exact enough: ``2e-4``, ``0.5``, ``300``."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None or isinstance(value, str):
        return printable("all" if value is None else value)
    if isinstance(value, (list, tuple)):
        return "-".join(value_text(item) for item in value)
    if isinstance(value, float) and 0 < abs(value) < 0.01:
        mantissa, exponent = f"{value:.5e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


_TERMS = re.compile(r"\s*·\s*|,(?!\d{3}(?!\d))")
"""Separators between the values of a name, but not within a number such as 1,000."""
_NUMBER = re.compile(r"(?<![\w.])(?:\d[\d,]*(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?(?!\w)")


def _plainly(text: str) -> str:
    """Normalise the spelling of a value: ``lr=1e-3`` and ``lr 0.0010`` become ``lr 0.001``."""
    numbers = _NUMBER.sub(lambda found: f"{float(found[0].replace(',', '')):g}", text.lower())
    return " ".join(re.sub(r"[=_]", " ", numbers).split())


def _spellings(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield every way in which names and tables write a value of a config with its field."""
    flat = {**config, **flat_values(config)}
    for short, g, d in (*PAIRS, *((short, *pair) for short, pair in BOTH.items())):
        if g in flat and d in flat:
            yield f"{title(short)} {of_both(flat[g], flat[d])}"
            if flat[g] == flat[d]:
                flat[short] = flat[g]
    for name, value in flat.items():
        yield from (f"{title(name)} {value_text(value)}", f"{name}={value_text(value)}", f"{name}={plain(value)}")


def _bare_values(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of a config that names and tables write without their field."""
    yield from (value for value in config.values() if isinstance(value, str))
    yield f"{config.get('architecture')} (trained as {config.get('recipe')})"


def _has(config: Mapping[str, Any], pattern: str) -> bool:
    """True if a config has all values that a user named with their fields."""
    texts = set(map(_plainly, _spellings(config)))
    return all(_plainly(term) in texts for term in _TERMS.split(pattern.strip()))


def means(name: str, config: Mapping[str, Any], pattern: str) -> bool:
    """True if a trial or a setting is meant by a glob, a part of its name, or values as tables show them.

    Args:
        name: Its name.
        config: Its config, as ``TrialConfig.to_json`` gives it.
        pattern: What a user wrote. Numbers count by their value, also where the name leaves out the recipe's own.
    """
    if matches(name, pattern):
        return True
    texts = set(map(_plainly, (*_spellings(config), *_bare_values(config))))
    return all(term and (_plainly(term) in texts or matches(name, term)) for term in _TERMS.split(pattern.strip()))


def chosen_trials(trials: Iterable[tuple[str, Mapping[str, Any]]], pattern: str) -> frozenset[str]:
    """Return the names of the trials that a user means.

    Fields with values, as ``lr=2e-4``, mean all trials that have them, however the number is written: names leave out
    a recipe's own. Anything else is a name or a part of names, and values where no name has it.

    Args:
        trials: Names with configs.
        pattern: What a user wrote; see ``means``.
    """
    known = list(trials)
    return (
        frozenset(name for name, config in known if _has(config, pattern))
        or names_meant((name for name, _ in known), pattern)
        or frozenset(name for name, config in known if means(name, config, pattern))
    )
