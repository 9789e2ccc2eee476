"""What is wrong with a field or a value, in the words of those who write suites, with the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isfinite
from typing import TYPE_CHECKING

from gan_bench.config.design import LOOKS
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
"""What other programs call fields of a trial."""


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
"""What is no value of a recipe: the options of ``run`` that give it."""


def value_hint(name: str, known: Iterable[str]) -> str:
    """Return the value of a recipe that a wrong name means, or the option of ``run`` that gives it."""
    option = _OF_RUN.get(name.lower().replace("-", "_"))
    return f"run has an option for it: {option}" if option else field_hint(name, known)


def is_pair(name: str) -> bool:
    """True for a field whose one value is two numbers."""
    return name in ("betas", "betas_g", "betas_d")


_EXPECTED = {
    "list_type": "must be a list",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
}
"""What pydantic's types of errors say in the words of those who write YAML."""


def what_is_wrong(detail: ErrorDetails, example: str | None = None) -> str:
    """Return the sentence about a value that is not valid, with what was given and the remedy where there is one.

    Args:
        detail: As pydantic reports it.
        example: Of a field whose value is two numbers, in place of ``[0.5, 0.999]``.
    """
    kind, given = detail["type"], detail["input"]
    of_pair = any(is_pair(str(part)) for part in detail["loc"])
    is_of_list = kind == "list_type" and "sweep" in detail["loc"] and not isinstance(detail["loc"][-1], int)
    is_nested = kind == "float_type" and isinstance(given, list)
    if of_pair and not is_of_list and (is_nested or kind in ("list_type", "too_short", "too_long")):
        pair = example or "[0.5, 0.999]"
        swept = "; a sweep of pairs is [[0.5, 0.999]]" if "sweep" in detail["loc"] else ""
        return f"must be two numbers, such as {pair}, got {quoted(given)}{swept}"
    if kind in ("list_type", "too_short", "too_long") and detail["loc"][-1] in ("log", "uniform", "range"):
        return clip(f"must be two numbers, got {quoted(given)}", MAX_MESSAGE) + f"; {_as_bounds(given, detail['loc'])}"
    said = _EXPECTED.get(kind) or detail["msg"].replace("Input should be", "must be")
    if is_of_list and given is not None:
        remedy = f"; {_as_pairs(given) if of_pair else _as_list(given, detail['loc'])}"
    elif isinstance(given, list) and "set" in detail["loc"]:
        remedy = "; several values stand under sweep"
    else:
        remedy = _remedy(kind, given, detail["loc"])
    return clip(f"{said[0].lower() + said[1:]}, got {quoted(given)}", MAX_MESSAGE) + remedy


def _remedy(kind: str, given: object, place: tuple[str | int, ...]) -> str:
    """Return what to write in place of a value of a wrong type, as people mean it, or nothing."""
    if kind == "list_type" and given is not None:
        several = ""
        if place[-1:] == ("seeds",) and isinstance(given, int) and 1 < given <= 10:
            several = f" for this one, or {[*range(given)]} for {given}"
        return f"; {_as_list(given, place)}{several}"
    if not isinstance(given, str):
        return ""
    if kind in ("dict_type", "model_type") and re.fullmatch(r"\w+:\S+", given):
        return "; put a blank behind the colon"
    if kind == "float_type" and re.fullmatch(r"(?a:-?\d+,(?:\d{1,2}|\d{4,}))", given):
        return f"; write {given.replace(',', '.')}"  # three digits may be thousands
    if kind == "whole_number" and re.fullmatch(r"(?a:-?\d+([,_ ]\d+)+)", given):
        return "; write its digits alone" + ("; several values stand under sweep" if "set" in place else "")
    form = {"whole_number": _WHOLE, "float_type": _NUMBER}.get(kind)
    return "; write it without quotes" if form and re.fullmatch(form, given) else ""


_WHOLE = r"(?a:0|[1-9]\d*)"
_NUMBER = r"(?a:[-+]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)"
"""A number as YAML has it; one that begins with a needless zero is refused there."""
_ALL = {"seeds": [0, 1, 2], "looks": [*LOOKS]}
"""Lists of the fields where ranges are usual."""
_OF_NUMBERS = frozenset({*_ALL, *LIMITS, *BELOW, *RATES, "lr"})


def _as_bounds(given: object, place: tuple[str | int, ...]) -> str:
    """Return what to write for the two bounds that a text means."""
    if isinstance(given, str):
        between = "(?:-|\N{EN DASH}|\\.\\.|[:,; ]|to)"
        found = re.fullmatch(rf"[(\[]?({_NUMBER})\s*{between}\s*({_NUMBER})[)\]]?", given.strip())
        if found and float(found[1]) < float(found[2]):
            return f"write [{found[1]}, {found[2]}]"
    if place[-1] == "range":
        is_greatest = isinstance(given, int) and not isinstance(given, bool) and given > 0
        return f"write [0, {given if is_greatest else 255}]"
    return f"write them as {'[64, 256]' if {*map(str, place)} & LIMITS.keys() else '[1.0e-5, 1.0e-3]'}"


def _as_pairs(given: object) -> str:
    """Return what to write for the pairs of numbers that a single value or a text means."""
    numbers = _listed_numbers(given, is_whole=False) if isinstance(given, str) else []
    if len(numbers) == 2:
        return f"write [[{', '.join(numbers)}]]"
    is_first = isinstance(given, float) and 0 <= given < 1
    return f"write [[{given}, 0.999]]" if is_first else "write pairs of numbers, as [[0.5, 0.999]]"


def _as_list(given: object, place: tuple[str | int, ...]) -> str:
    """Return what to write for the list that a single value or a text means; no list where it may mean two.

    Args:
        given: The value.
        place: Of the field, as pydantic names it.
    """
    if isinstance(given, dict) or place == ("trials",):
        return "begin every item with a hyphen"
    field = next((str(part) for part in reversed(place) if part in _OF_NUMBERS), "")
    example = f"write all of them, as {_ALL[field]}" if field in _ALL else ""
    if not field:
        return _as_names(given, are_files=place == ("plugins",), are_switches="spectral_norm" in place)
    is_whole = field in _ALL or field in LIMITS
    if isinstance(given, (int, float)):
        fits = (isinstance(given, int) and given >= 0) if is_whole else isfinite(given)
        fits &= not isinstance(given, bool)
        return f"write [{quoted(given)}]" if fits else example or "write numbers in brackets"
    text = str(given).strip()
    if field == "seeds" and (bounds := re.fullmatch(r"(?a:(\d{1,4})\s*(-|\N{EN DASH}|\.\.|:)\s*(\d{1,4}))", text)):
        named = [*range(int(bounds[1]), int(bounds[3]) + (bounds[2] != ":"))]  # a colon is Python's, without its end
        return f"write {named}" if 0 < len(named) <= 20 else example
    if numbers := _listed_numbers(text, is_whole=is_whole):
        return f"write [{', '.join(numbers)}]"
    kind, decimals = ("whole numbers", "") if is_whole else ("numbers", ", and points for decimals")
    return example or f"write {kind} in brackets, with commas between them alone{decimals}"


def _listed_numbers(text: str, *, is_whole: bool) -> list[str]:
    """Return the numbers that a text lists beyond doubt, or none: 64,128 and 1 500 may be one number, 0,5 too."""
    text = text.strip("()[] ")
    parts = re.split(r"\s*;\s*|\s*,\s+", text)
    if len(parts) == 1 and is_whole:
        parts = re.split(r"[,\s]", text)
        if any(re.fullmatch(r"\d{3}", part) for part in parts[1:]):
            return []
    form = _WHOLE if is_whole else _NUMBER
    return parts if all(re.fullmatch(form, part) for part in parts) else []


def _as_names(given: object, *, are_files: bool, are_switches: bool) -> str:
    """Return what to write for a list of names, of files, which may have blanks and commas, or of true and false."""
    if are_switches:
        words = [str(each).lower() for each in re.split(r"[,;\s]+", str(given).strip(",; "))]
        return f"write [{', '.join(words)}]" if {*words} <= {"true", "false"} else "write [true, false]"
    if not isinstance(given, (str, int)) or isinstance(given, bool):
        return "write names in brackets"
    text = str(given).strip("[]() ")
    names = [each.strip("'\" ") for each in re.split(r"[,;]" if are_files else r"[,;\s]", text)]
    names = [each for each in names if each]
    if are_files and not all(name.endswith(".py") for name in names):
        names = [str(given)]
    return f"write [{', '.join(map(quoted, names))}]" if names else "write names in brackets"
