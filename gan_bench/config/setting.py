"""The name of a setting: its recipe and what differs from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_bench.config.trial import LATER_DEFAULTS, TrialConfig

BOTH = {"lr": ("lr_g", "lr_d"), "betas": ("betas_g", "betas_d"), "optimizer": ("optimizer_g", "optimizer_d")}
"""Shorthands that set a value of both networks."""


def setting_name(recipe: str, values: Mapping[str, Any], config: TrialConfig, *, cut: bool) -> str:
    """Return the name of a setting.

    Args:
        recipe: Name of the recipe.
        values: The recipe's values.
        config: A trial of the setting.
        cut: Whether a profile cut the epochs, so that they are no difference.
    """
    unnamed = {"log_every", "epochs"} if cut else {"log_every"}
    given = {**LATER_DEFAULTS, **values}
    shown = {name: getattr(config, name) for name in (*values, *(n for n in given if n not in values))}
    differs = {name: shown[name] for name in shown if name not in unnamed and shown[name] != given[name]}
    parts = []
    for short, (g, d) in BOTH.items():
        if g in differs or d in differs:
            same = shown[g] == shown[d]
            parts += [f"{short}={_text(shown[g])}"] if same else [f"{n}={_text(shown[n])}" for n in (g, d)]
            differs = {name: value for name, value in differs.items() if name not in (g, d)}
    parts += [f"{name}={_text(value)}" for name, value in differs.items()]
    return ",".join([recipe, *parts])


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
