"""Error messages about fields and values of suites, each with a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gan_bench.config.trial import BELOW, LIMITS, RATES
from gan_bench.config.yaml_document import MAX_MESSAGE, quoted
from gan_bench.core.registry import did_you_mean
from gan_bench.core.text import clip

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MEANT = {
    **dict.fromkeys(("learning_rate", "learningrate", "lrate", "alpha"), "lr"),
    **dict.fromkeys(("beta", "beta1", "beta_1", "beta2", "beta_2"), "betas"),
    **dict.fromkeys(("batch", "bs", "batchsize"), "batch_size"),
    **dict.fromkeys(("nz", "z", "z_dim", "latent_size", "noise_dim"), "latent_dim"),
    **dict.fromkeys(("optim", "optimiser"), "optimizer"),
    **dict.fromkeys(("n_epochs", "num_epochs"), "epochs"),
    **dict.fromkeys(("criterion", "objective"), "loss"),
    **dict.fromkeys(("gp", "lambda_gp"), "gradient_penalty"),
    **dict.fromkeys(("model", "network", "net"), "architecture"),
    **dict.fromkeys(("ema",), "ema_decay"),
    **dict.fromkeys(("img_size", "size"), "image_size"),
}
"""Names that other programs use for fields of a trial."""


def field_hint(name: str, known: Iterable[str]) -> str:
    """Return the field that a wrong name means, or the names that are close to it."""
    if name.isdigit() and "lr" in set(known):
        return "a comma ends a value here; put several values in brackets, and write decimals with a point"
    meant = _MEANT.get(name.lower().replace("-", "_"))
    return f'did you mean "{meant}"?' if meant in set(known) else did_you_mean(name, known)


_OF_RUN = {
    "train_limit": "--train-limit; runs of several into one results folder are compared",
    "samples": "--samples",
    **dict.fromkeys(("seed", "seeds"), "--seeds"),
    "profile": "--profile",
    **dict.fromkeys(("extractor", "extractors"), "--extractor"),
}
"""Names that are no values of a recipe, with the options of ``run`` that set them."""


def value_hint(name: str, known: Iterable[str]) -> str:
    """Return the value of a recipe that a wrong name means, or the option of ``run`` that gives it."""
    option = _OF_RUN.get(name.lower().replace("-", "_"))
    return f"run has an option for it: {option}" if option else field_hint(name, known)


_BETAS = ("betas", "betas_g", "betas_d")
_PAIRS = {**dict.fromkeys(_BETAS, "[0.5, 0.999]"), **dict.fromkeys(("log", "uniform"), "[1.0e-5, 1.0e-3]")}
"""Fields whose one value is two numbers, each with an example."""
_LISTS = {
    **dict.fromkeys(_BETAS, "[[0.5, 0.999], [0.9, 0.999]]"),
    **dict.fromkeys(("lr", *RATES, *BELOW), "[2.0e-4, 3.0e-4]"),
    **dict.fromkeys(LIMITS, "[64, 128]"),
    "seeds": "[0, 1, 2]",
    "looks": "[5, 8, 12]",
    "plugins": "[./mine.py]",
    "spectral_norm": "[false, true]",
}
"""Examples of lists; other fields list names."""


def is_pair(name: str) -> bool:
    """True for a field whose one value is two numbers."""
    return name in _BETAS


_EXPECTED = {
    "list_type": "must be a list",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "dict_type": "must be a mapping of NAME: VALUE",
    "model_type": "must be a mapping of NAME: VALUE",
}
"""Messages for pydantic's error types, in terms of YAML."""


def what_is_wrong(detail: ErrorDetails, example: str | None = None) -> str:
    """Return the message for an invalid value: what was given, and an example of a valid one.

    Args:
        detail: As pydantic reports it.
        example: Of a field whose value is two numbers, in place of ``[0.5, 0.999]``.
    """
    kind, given, place = detail["type"], detail["input"], detail["loc"]
    is_whole_sweep = kind == "list_type" and "sweep" in place and place[-1] in ("a list", "choice")
    is_of_form = kind in ("list_type", "too_short", "too_long") or (kind == "float_type" and isinstance(given, list))
    pair = next((_PAIRS[str(part)] for part in reversed(place) if part in _PAIRS), None)
    if pair and not LIMITS.keys().isdisjoint(map(str, place)):
        pair = "[64, 256]"
    if pair and is_of_form and not is_whole_sweep:
        swept = f"; a sweep of pairs is [{pair}]" if "a list" in place else ""
        return clip(f"must be two numbers, such as {example or pair}, got {quoted(given)}", MAX_MESSAGE) + swept
    said = _EXPECTED.get(kind) or detail["msg"].replace("Input should be", "must be")
    said = clip(f"{said[0].lower() + said[1:]}, got {quoted(given)}", MAX_MESSAGE)
    if kind in ("dict_type", "model_type") and isinstance(given, str):
        return said + _mapping_hint(place, given)
    if kind == "list_type" and (isinstance(given, dict) or place == ("trials",)):
        return (
            f"{said}; {'write it as [{recipe: NAME}]' if isinstance(given, str) else 'begin every item with a hyphen'}"
        )
    if kind == "list_type":
        field = next((str(part) for part in reversed(place) if part in _LISTS), "")
        return f"{said}; write it in brackets, such as {_LISTS.get(field, '[one, another]')}"
    if kind in ("float_type", "whole_number") and isinstance(given, str):
        return f"{said}; write it as {'0.0002' if kind == 'float_type' else '64'}, without quotes"
    return said + ("; several values stand under sweep" if isinstance(given, list) and "set" in place else "")


def _mapping_hint(place: tuple[str | int, ...], given: str) -> str:
    """Return a hint for a text where a mapping is expected."""
    if place[0] == "datasets" and len(place) == 2:
        return "; write it as {path: ./images, size: 64}"
    if re.fullmatch(r"\w{2,}:[^\s/\\]\S*", given):
        return "; put a blank behind the colon"
    return "; write it as {recipe: NAME}" if place[0] == "trials" and len(place) == 2 else ""
