"""YAML text -> validated suite, with file:line:column and a remedy in every error."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
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

from gan_bench.config.setting import BOTH
from gan_bench.config.trial import (
    BELOW,
    LIMITS,
    RESERVED_NAMES,
    FakeBatch,
    Init,
    LastBatch,
    Latent,
    OptimizerName,
    StepFakes,
)
from gan_bench.config.yaml_document import Location, YamlDocument, clip, dotted, show
from gan_bench.core.canonical import derive_seed
from gan_bench.core.errors import SuiteError, UserError
from gan_bench.core.registry import did_you_mean

MAX_BYTES = 1 << 19
MAX_MESSAGES = 20


@dataclass(frozen=True)
class _Whole:
    """A validator of whole numbers that names both bounds, whatever is wrong.

    Attributes:
        name: Whose limits hold.
    """

    name: str

    def __call__(self, value: object) -> int:
        """Return the number.

        Raises:
            PydanticCustomError: It is no whole number, or lies outside the limits.
        """
        low, high = LIMITS[self.name]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        said = "must be a whole number from {low} to {high}"
        raise PydanticCustomError("whole_number", said, {"low": f"{low:,}", "high": f"{high:,}"})


Epochs = Annotated[int, BeforeValidator(_Whole("epochs"))]
ImageSize = Annotated[int, BeforeValidator(_Whole("image_size"))]
Samples = Annotated[int, BeforeValidator(_Whole("samples"))]
Seed = Annotated[int, BeforeValidator(_Whole("seed"))]
Rate = Annotated[float, Field(gt=0, lt=1)]


def _switch(name: str) -> Any:  # noqa: ANN401 - a type
    """Return the type of a number that switches something on when it is above 0."""
    return Annotated[float, Field(ge=0, lt=BELOW[name])]


Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
FolderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


def _unreserved(name: str) -> str:
    if name in RESERVED_NAMES:
        reserved = ", ".join(sorted(RESERVED_NAMES))
        raise PydanticCustomError(
            "reserved", "results folders use the names {reserved} themselves; choose another", {"reserved": reserved}
        )
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Changes(_Strict):
    """Values that differ from the recipe. ``lr``, ``betas`` and ``optimizer`` set both networks."""

    lr: Rate | None = None
    lr_g: Rate | None = None
    lr_d: Rate | None = None
    betas: Betas | None = None
    betas_g: Betas | None = None
    betas_d: Betas | None = None
    batch_size: Annotated[int, BeforeValidator(_Whole("batch_size"))] | None = None
    latent_dim: Annotated[int, BeforeValidator(_Whole("latent_dim"))] | None = None
    latent: Latent | None = None
    epochs: Epochs | None = None
    dataset: Name | None = None
    dataset_repeats: Annotated[int, BeforeValidator(_Whole("dataset_repeats"))] | None = None
    image_size: ImageSize | None = None
    architecture: Name | None = None
    init: Init | None = None
    last_batch: LastBatch | None = None
    fake_batch: FakeBatch | None = None
    step_fakes: StepFakes | None = None
    log_every: Annotated[int, BeforeValidator(_Whole("log_every"))] | None = None
    loss: Name | None = None
    d_steps: Annotated[int, BeforeValidator(_Whole("d_steps"))] | None = None
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


Number = Annotated[float, Field(allow_inf_nan=False)]
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Drawn(_Strict):
    """Values drawn at random, each between two bounds or out of a list; the first ones stay when the count grows."""

    count: Annotated[int, BeforeValidator(_Whole("count"))]
    log: Bounds | None = None
    uniform: Bounds | None = None
    choice: Annotated[list[Any], Field(min_length=1)] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_distribution(self) -> Drawn:
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
        """
        return [self._value(derive_seed(self.seed, f"sweep/{field}/{i}") / 2**63, whole) for i in range(self.count)]

    def _value(self, share: float, whole: bool) -> Any:  # noqa: ANN401 - any value of a config
        if self.choice is not None:
            return self.choice[int(share * len(self.choice))]
        if self.log is not None:
            low, high = map(math.log, self.log)
            value = math.exp(low + share * (high - low))
        else:
            assert self.uniform is not None  # noqa: S101 - one of the three is given
            value = self.uniform[0] + share * (self.uniform[1] - self.uniform[0])
        rounded = round(value) if whole else float(f"{value:.3g}")
        low, high = self.log or self.uniform or (rounded, rounded)
        inside = min(max(rounded, low), high)  # rounding may leave the bounds
        return int(inside) if whole else inside


def _refuse_bounds(value: object) -> None:
    if value is not None:
        raise PydanticCustomError("bounds", "only numbers lie between bounds; use choice")


def _list_or_drawn(value: object) -> str:
    return "drawn at random" if isinstance(value, dict) else "a list"


def _swept() -> type[BaseModel]:
    """Return ``Changes`` with a list of values, or random ones, in place of each value; no list holds null."""
    lists: dict[str, Any] = {}
    for name, info in Changes.model_fields.items():
        values: Any = Annotated[list[get_args(info.annotation)[0]], Field(min_length=1)]  # type: ignore[misc]
        number = name.startswith("lr") or name in LIMITS or name in BELOW
        between: Any = Bounds | None if number else Annotated[None, BeforeValidator(_refuse_bounds)]
        forms: dict[str, Any] = {"choice": (values | None, None), "log": (between, None), "uniform": (between, None)}
        drawn = create_model(f"Drawn_{name}", __base__=Drawn, **forms)
        either: Any = Annotated[values, Tag("a list")] | Annotated[drawn, Tag("drawn at random")]
        lists[name] = (Annotated[either, Discriminator(_list_or_drawn)], Field([]))
    return create_model("Sweep", __base__=_Strict, **lists)


Sweep = _swept()


class TrialEntry(_Strict):
    """One item of ``trials``: a recipe, fixed changes, and lists whose product is swept."""

    recipe: Name
    set: Changes = Changes()
    sweep: Sweep = Sweep()  # type: ignore[valid-type]


class Evaluate(_Strict):
    """When and how trials are scored."""

    epochs: list[Epochs] = []
    samples: Samples = 10_000
    extractors: Literal["auto"] | Annotated[list[Name], Field(min_length=1)] = "auto"
    draws: Annotated[int, BeforeValidator(_Whole("draws"))] = 1


TrainLimit = Annotated[int, BeforeValidator(_Whole("train_limit"))]


def _form(value: object) -> str:
    return "by recipe" if isinstance(value, dict) else "a number"


# The tags have blanks, which no field has: errors about a value do not name them.
EpochCuts = Annotated[
    Annotated[Epochs, Tag("a number")] | Annotated[dict[Name, Epochs], Tag("by recipe")], Discriminator(_form)
]
TrainLimitCuts = Annotated[
    Annotated[TrainLimit, Tag("a number")] | Annotated[dict[Name, TrainLimit], Tag("by recipe")], Discriminator(_form)
]


class ProfileCuts(_Strict):
    """What a profile cuts down: a number for every trial, or one for each recipe of the suite."""

    epochs: EpochCuts | None = None
    train_limit: TrainLimitCuts | None = None
    samples: Samples | None = None
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None


class Profiles(_Strict):
    """The profiles; ``full`` is what the suite says."""

    quick: ProfileCuts = ProfileCuts()


class FolderEntry(_Strict):
    """A user's folder or zip file of images; a relative path starts at the suite file."""

    path: Annotated[str, Field(min_length=1, max_length=4096)]
    size: ImageSize
    channels: Literal[1, 3] = 3
    crop: Literal["center", "none"] = "center"
    unreadable: Literal["stop", "skip"] = "stop"


class SuiteFile(_Strict):
    """A suite as its file says it."""

    suite: Annotated[FolderName, AfterValidator(_unreserved)]
    version: Annotated[int, BeforeValidator(_Whole("suite_version"))]
    description: str = ""
    trials: Annotated[list[TrialEntry], Field(min_length=1)]
    datasets: dict[FolderName, FolderEntry] = {}
    plugins: list[Annotated[str, Field(min_length=1, max_length=4096)]] = []
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0]
    evaluate: Evaluate = Evaluate()
    profiles: Profiles = Profiles()


def parse(path: Path, text: str) -> tuple[SuiteFile, YamlDocument]:
    """Validate the text of a suite file.

    Args:
        path: Named in errors.
        text: YAML.

    Raises:
        SuiteError: It is not YAML, or not a suite.
    """
    document = YamlDocument(path, text)
    if not isinstance(document.content, dict):
        raise SuiteError(f"{path}:1:1: a suite is a mapping with the keys suite, version and trials")
    try:
        return SuiteFile.model_validate(document.content), document
    except ValidationError as error:
        raise SuiteError("\n".join(_messages(document, error))) from None


def read(path: Path) -> tuple[SuiteFile, YamlDocument]:
    """Read and validate a suite file.

    Raises:
        SuiteError: It cannot be read or is not valid.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SuiteError(f"{path} cannot be read ({error.strerror})") from None
    if len(raw) > MAX_BYTES:
        raise SuiteError(f"{path} is larger than {MAX_BYTES:,} bytes; split the suite")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        at = f"{path}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise SuiteError(f"{at}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from None
    return parse(path, text)


def parse_change(text: str) -> tuple[str, object]:
    """Read a change as the command line writes it, ``loss=hinge`` or ``betas=[0.5, 0.999]``.

    Raises:
        UserError: It is no change.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f'--set takes NAME=VALUE, such as lr=1e-4 or loss=hinge, not "{clip(text, 60)}"')
    try:
        content = YamlDocument(Path("--set"), f"value: {value}").content
    except SuiteError as error:
        raise UserError(f"--set {clip(name, 60)}: {error}") from None
    assert isinstance(content, dict)  # noqa: S101 - it has one key
    return name.strip(), content["value"]


_EXAMPLES = {"lr": "1e-4", "loss": "hinge", "dataset": "digits", "architecture": "mlp", "betas": "[0.5, 0.999]"}


def check_changes(changes: Mapping[str, object]) -> None:
    """Refuse changed values that cannot be.

    Raises:
        UserError: A field is unknown, or its value is not valid.
    """
    for name in changes:
        if name not in Changes.model_fields:
            hint = did_you_mean(name, Changes.model_fields)
            raise UserError(f'--set: no field "{clip(name, 60)}" ({hint})')
        if changes[name] is None:
            raise UserError(f"--set {name}: a value is missing, such as {name}={_EXAMPLES.get(name, 1)}")
    for short, fields in BOTH.items():
        if short in changes and (clash := [name for name in fields if name in changes]):
            raise UserError(f"--set: {short} sets both networks, so {clash[0]} cannot be given beside it")
    try:
        Changes.model_validate({name: list(v) if isinstance(v, tuple) else v for name, v in changes.items()})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        said = f"{first['msg'][0].lower() + first['msg'][1:]}, got {show(first['input'])}"
        raise UserError(f"--set {first['loc'][0]}: {clip(said)}") from None


def _messages(document: YamlDocument, error: ValidationError) -> Iterator[str]:
    """Return one line for each of the first mistakes, then how many more there are."""
    details = error.errors(include_url=False, include_context=False)
    for detail in details[:MAX_MESSAGES]:
        place = _real_place(document, detail["loc"])
        unknown, missing = (detail["type"] == kind for kind in ("extra_forbidden", "missing"))
        where = document.nearest(place[:-1] if missing else place, key=unknown)
        if unknown:
            said = f"unknown field ({did_you_mean(str(place[-1]), _fields_at(place[:-1]))})"
        elif missing:
            said = "this field is required"
        else:
            said = f"{detail['msg'][0].lower() + detail['msg'][1:]}, got {show(detail['input'])}"
        yield f"{where}: {clip(f'{dotted(place)}: {said}')}"
    if len(details) > MAX_MESSAGES:
        yield f"… and {len(details) - MAX_MESSAGES:,} more"


def _real_place(document: YamlDocument, loc: tuple[str | int, ...]) -> Location:
    """Drop the union tags that pydantic adds to a location, such as ``literal['auto']``."""
    place: Location = ()
    for part in loc:
        inside = (*place, part) in document.values or (*place, part) in document.keys
        if inside or isinstance(part, int) or (re.fullmatch(r"[A-Za-z_][\w-]*", part) and part not in ("list", "str")):
            place = (*place, part)
    return place


def _fields_at(place: Location) -> list[str]:
    """Return the fields a mapping at this place may have."""
    names = [part for part in place if isinstance(part, str)]
    models: dict[tuple[str, ...], type[BaseModel]] = {
        (): SuiteFile,
        ("trials",): TrialEntry,
        ("trials", "set"): Changes,
        ("trials", "sweep"): Sweep,
        ("evaluate",): Evaluate,
        ("profiles",): Profiles,
        ("profiles", "quick"): ProfileCuts,
    }
    named = len(names) == 2 and names[0] == "datasets"
    model = (
        FolderEntry if named else Drawn if names[:2] == ["trials", "sweep"] and names[2:] else models.get(tuple(names))
    )
    return sorted(model.model_fields) if model else []
