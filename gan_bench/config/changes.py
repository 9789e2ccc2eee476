"""The values of a recipe that a sweep or ``--set`` may change."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gan_bench.config.mistakes import is_pair, value_hint, what_is_wrong
from gan_bench.config.trial import (
    BELOW,
    BOTH,
    LIMITS,
    RATES,
    FakeBatch,
    Init,
    LastBatch,
    Latent,
    OptimizerName,
    Precision,
    StepFakes,
)
from gan_bench.config.yaml_document import YamlDocument
from gan_bench.core.canonical import derive_seed
from gan_bench.core.errors import UserError
from gan_bench.core.text import as_typed, clip


def whole(name: str) -> BeforeValidator:
    """Return a validator of whole numbers within the limits of a name; its error always names both limits."""
    low, high = LIMITS[name]

    def check(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        said = "must be a whole number from {low} to {high}"
        raise PydanticCustomError("whole_number", said, {"low": f"{low:,}", "high": f"{high:,}"})

    return BeforeValidator(check)


Epochs = Annotated[int, whole("epochs")]
ImageSize = Annotated[int, whole("image_size")]
Samples = Annotated[int, whole("samples")]
Seed = Annotated[int, whole("seed")]
Rate = Annotated[float, Field(gt=0, lt=1)]


def _switch(name: str) -> Any:  # noqa: ANN401 - a type
    """Return the type of a number that switches something on when it is above 0."""
    return Annotated[float, Field(ge=0, lt=BELOW[name])]


Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class StrictModel(BaseModel):
    """A mapping that refuses unknown fields and converts nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Changes(StrictModel):
    """Values that differ from the recipe. ``lr``, ``betas`` and ``optimizer`` set both networks."""

    lr: Rate | None = None
    lr_g: Rate | None = None
    lr_d: Rate | None = None
    betas: Betas | None = None
    betas_g: Betas | None = None
    betas_d: Betas | None = None
    adam_eps: Rate | None = None
    batch_size: Annotated[int, whole("batch_size")] | None = None
    latent_dim: Annotated[int, whole("latent_dim")] | None = None
    latent: Latent | None = None
    epochs: Epochs | None = None
    dataset: Name | None = None
    dataset_repeats: Annotated[int, whole("dataset_repeats")] | None = None
    image_size: ImageSize | None = None
    architecture: Name | None = None
    init: Init | None = None
    last_batch: LastBatch | None = None
    fake_batch: FakeBatch | None = None
    step_fakes: StepFakes | None = None
    log_every: Annotated[int, whole("log_every")] | None = None
    loss: Name | None = None
    d_steps: Annotated[int, whole("d_steps")] | None = None
    optimizer: OptimizerName | None = None
    optimizer_g: OptimizerName | None = None
    optimizer_d: OptimizerName | None = None
    momentum: _switch("momentum") | None = None  # type: ignore[valid-type]
    label_smoothing: _switch("label_smoothing") | None = None  # type: ignore[valid-type]
    weight_clip: _switch("weight_clip") | None = None  # type: ignore[valid-type]
    gradient_penalty: _switch("gradient_penalty") | None = None  # type: ignore[valid-type]
    r1_gamma: _switch("r1_gamma") | None = None  # type: ignore[valid-type]
    spectral_norm: bool | None = None
    ema_decay: _switch("ema_decay") | None = None  # type: ignore[valid-type]
    precision: Precision | None = None


Number = Annotated[float, Field(allow_inf_nan=False)]
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]


class RandomValues(StrictModel):
    """Values drawn at random, each between two bounds or out of a list; the first ones stay when the count grows."""

    count: Annotated[int, whole("count")]
    log: Bounds | None = None
    uniform: Bounds | None = None
    choice: Annotated[list[Any], Field(min_length=1)] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_distribution(self) -> RandomValues:
        given = [name for name in ("log", "uniform", "choice") if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError("distribution", "give one of log, uniform and choice")
        low, high = self.log or self.uniform or (1.0, 2.0)
        if not low < high or (self.log and low <= 0):
            above = " above 0" if self.log else ""
            raise PydanticCustomError("bounds", "bounds must be two numbers{above}, the lower first", {"above": above})
        return self

    def values(self, field: str, *, whole: bool) -> list[Any]:
        """Return the values, numbers to three significant digits.

        Args:
            field: Whose they are; each field has draws of its own.
            whole: Whether they are whole numbers.

        Raises:
            ValueError: They are whole numbers, and none lies between the bounds.
        """
        if whole and (bounds := self.log or self.uniform) and math.ceil(bounds[0]) > math.floor(bounds[1]):
            raise ValueError(f"{field}: no whole number lies between {bounds[0]:g} and {bounds[1]:g}; widen the bounds")
        return [self._value(derive_seed(self.seed, f"sweep/{field}/{i}") / 2**63, whole) for i in range(self.count)]

    def _value(self, share: float, whole: bool) -> Any:  # noqa: ANN401 - any value of a config
        if self.choice is not None:
            return self.choice[int(share * len(self.choice))]
        low, high = self.log or self.uniform or (0.0, 0.0)
        if whole:  # every whole number, the bounds included, has an interval of equal length
            low, high = math.ceil(low), math.floor(high)
        first, last = (low - 0.5, high + 0.5) if whole else (low, high)
        if self.log is not None:
            value = math.exp(math.log(first) + share * (math.log(last) - math.log(first)))
        else:
            value = first + share * (last - first)
        rounded = round(value) if whole else float(f"{value:.3g}")
        return min(max(rounded, low), high)  # rounding may leave the bounds


def _refuse_bounds(value: object) -> None:
    if value is not None:
        raise PydanticCustomError("bounds", "only numbers lie between bounds; use choice")


def _swept() -> type[BaseModel]:
    """Return ``Changes`` with a list of values, or random ones, in place of each value; no list holds null."""
    lists: dict[str, Any] = {}
    for name, info in Changes.model_fields.items():
        values: Any = Annotated[list[get_args(info.annotation)[0]], Field(min_length=1)]  # type: ignore[misc]
        number = BOTH.get(name, (name,))[0] in (*RATES, *LIMITS, *BELOW)
        between: Any = Bounds | None if number else Annotated[None, BeforeValidator(_refuse_bounds)]
        forms: dict[str, Any] = {"choice": (values | None, None), "log": (between, None), "uniform": (between, None)}
        drawn = create_model(f"RandomValues_{name}", __base__=RandomValues, **forms)
        either: Any = Annotated[values, Tag("a list")] | Annotated[drawn, Tag("drawn at random")]
        tag = Discriminator(lambda value: "drawn at random" if isinstance(value, dict) else "a list")
        lists[name] = (Annotated[either, tag], Field([]))
    return create_model("Sweep", __base__=StrictModel, **lists)


Sweep = _swept()


class Several(tuple[Any, ...]):
    """Values of one field that are swept, each in trials of its own."""

    __slots__ = ()


def combinations_of(changes: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Yield every combination of changes whose values are swept."""
    names = list(changes)
    for values in product(*(each if isinstance(each, Several) else (each,) for each in changes.values())):
        yield dict(zip(names, values, strict=True))


def parse_change(text: str) -> tuple[str, object]:
    """Read a change as the command line writes it, ``loss=hinge``, ``betas=[0.5, 0.999]`` or ``lr=1e-4,3e-4``.

    Returns:
        The field, and its value or ``Several``.

    Raises:
        UserError: It is no change.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f'--set takes NAME=VALUE, such as lr=1e-4 or loss=hinge, not "{clip(text, 60)}"')
    name = name.strip()
    found = _value_of(name, f"[{value}]") if "," in value else None
    if isinstance(found, list) and len(found) > 1:
        return name, Several(tuple(each) if isinstance(each, list) else each for each in found)
    return name, _value_of(name, value)


def parse_changes(texts: Iterable[str]) -> dict[str, object]:
    """Read all changes of a command line.

    Raises:
        UserError: One is no change or cannot be, or two are of the same field.
    """
    found: dict[str, object] = {}
    for name, value in map(parse_change, texts):
        if name in found:
            field = clip(name, 60)
            raise UserError(f"--set {field} is given twice; name all of its values in one: --set {field}=VALUE,VALUE")
        found[name] = value
    check_changes(found, "--set")
    return found


def as_changes(given: Mapping[str, object]) -> dict[str, object]:
    """Return changes given by a program: lists of values are swept; a list of two betas is one value."""

    def value_of(name: str, value: object) -> object:
        if not isinstance(value, (list, tuple)):
            return value
        is_one = is_pair(name) and not all(isinstance(each, (list, tuple)) for each in value)
        return value if is_one else Several(value)

    return {name: value_of(name, value) for name, value in given.items()}


def _value_of(name: str, text: str) -> object:
    content = YamlDocument(Path(f"--set {clip(name, 60)}"), f"value: {text}", is_file=False).content
    assert isinstance(content, dict)  # noqa: S101 - it has one key
    return content["value"]


_EXAMPLES = {"lr": "1e-4", "loss": "hinge", "dataset": "digits", "architecture": "mlp", "betas": "[0.5, 0.999]"}


def check_changes(changes: Mapping[str, object], said_as: str = "changes") -> None:
    """Refuse invalid values.

    Args:
        changes: By field.
        said_as: How they were given, for the errors.

    Raises:
        UserError: A field is unknown, or its value is not valid.
    """
    for name in changes:
        if name not in Changes.model_fields:
            hint = value_hint(name, Changes.model_fields)
            raise UserError(f'{said_as}: no field "{as_typed(name)}" ({hint})')
        if changes[name] is None or changes[name] == ():
            raise UserError(f"{said_as} {name}: a value is missing, such as {name}={_EXAMPLES.get(name, 1)}")
    if said := clash(changes):
        raise UserError(f"{said_as}: {said}")
    try:
        for each in combinations_of(changes):
            Changes.model_validate({name: list(v) if isinstance(v, tuple) else v for name, v in each.items()})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = str(first["loc"][0])
        example = f"{name}=[0.5,0.999]" if said_as == "--set" else None
        raise UserError(f"{said_as} {name}: {what_is_wrong(first, example)}") from None


def both(changes: Mapping[str, object]) -> dict[str, object]:
    """Return changes with shorthands replaced by a field for each network."""
    return {field: value for name, value in changes.items() for field in BOTH.get(name, (name,))}


def clash(names: Collection[str]) -> str | None:
    """Return that a shorthand stands beside a field that it sets, or None."""
    for short, fields in BOTH.items():
        for name in fields:
            if short in names and name in names:
                return f"{short} sets both networks, so {name} cannot be given beside it"
    return None
