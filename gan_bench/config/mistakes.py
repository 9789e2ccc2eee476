"""What is wrong with a field or a value, in the words of those who write suites, with the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeGuard

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
        return "a comma ends a value here; write decimals with a point"
    meant = _MEANT.get(name.lower().replace("-", "_"))
    return f'did you mean "{meant}"?' if meant in set(known) else did_you_mean(name, known)


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
    said = _EXPECTED.get(kind) or detail["msg"].replace("Input should be", "must be")
    if is_of_list and given is not None:
        remedy = f"; {'write [[0.5, 0.999]]' if of_pair else _as_list(given)}"
    elif isinstance(given, list) and "set" in detail["loc"]:
        remedy = "; several values stand under sweep"
    else:
        remedy = _remedy(kind, given, detail["loc"])
    return clip(f"{said[0].lower() + said[1:]}, got {quoted(given)}", MAX_MESSAGE) + remedy


def _remedy(kind: str, given: object, place: tuple[str | int, ...]) -> str:
    """Return what to write in place of a value of a wrong type, as people mean it, or nothing."""
    if kind == "list_type" and given is not None:
        of_seeds = place[-1:] == ("seeds",)
        several = f" for this one, or {[*range(given)]} for {given}" if of_seeds and _is_few(given) else ""
        proposed = _as_list(given, of_names=place == ("plugins",))
        if place[-1:] in (("seeds",), ("looks",)) and "'" in proposed:  # not all of them are numbers
            proposed = "write all of them, as [0, 1, 2]"
        return f"; {proposed}{several}"
    if not isinstance(given, str):
        return ""
    if kind in ("dict_type", "model_type") and re.fullmatch(r"\w+:\S+", given):
        return "; put a blank behind the colon"
    if kind == "float_type" and re.fullmatch(r"-?\d+,\d+", given):
        return f"; write {given.replace(',', '.')}"
    if kind == "whole_number" and re.fullmatch(r"-?\d{1,3}(?:,\d{3})+", given):
        several = f", or {_listed(given.split(','))} under sweep" if "set" in place and ",0" not in given else ""
        return f"; write {given.replace(',', '')}{several}"
    is_number = re.fullmatch(_NUMBER, given)
    return "; write it without quotes" if is_number and kind in ("float_type", "whole_number") else ""


def _is_few(given: object) -> TypeGuard[int]:
    return isinstance(given, int) and 1 < given <= 10


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def _as_list(given: object, *, of_names: bool = False) -> str:
    """Return what to write for the list that a single value or a text means.

    Args:
        given: The value.
        of_names: Whether it is of names of files, which may have blanks and look like ranges.
    """
    if isinstance(given, dict):
        return "begin every item with a hyphen"
    if not isinstance(given, str):
        return f"write [{quoted(given)}]"
    if of_names:
        return f"write {_listed(re.split(r'[,;]', given))}"
    if bounds := re.fullmatch(r"(\d{1,4})\s*(-|\N{EN DASH}|\.\.|:)\s*(\d{1,4})", given):
        named = [*range(int(bounds[1]), int(bounds[3]) + (bounds[2] != ":"))]  # a colon is Python's, without its end
        return f"write {named}" if 0 < len(named) <= 20 else "write all of them, as [0, 1, 2]"
    if re.fullmatch(r"0,0\d*", given):  # decimals behind a comma
        given = given.replace(",", ".")
    elif re.fullmatch(r"[1-9]\d{0,2}(?:[, _]0\d\d)+", given):  # thousands that are set apart
        given = re.sub("[, _]", "", given)
    return f"write {_listed(given.replace(',', ' ').replace(';', ' ').split())}"


def _listed(items: Iterable[str]) -> str:
    """Write items of a text as a list: numbers bare, other text in quotes."""
    return f"[{', '.join(_item(each.strip()) for each in items if each.strip())}]"


def _item(text: str) -> str:
    if text.isdecimal() and text.isascii():
        return text.lstrip("0") or "0"
    return text if re.fullmatch(_NUMBER, text) else quoted(text)
