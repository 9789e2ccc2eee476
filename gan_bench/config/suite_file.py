"""YAML text -> validated suite, with file:line:column and a remedy in every error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from gan_bench.config.trial import FakeBatch, Init, LastBatch, Latent, StepFakes
from gan_bench.core.errors import SuiteError
from gan_bench.core.registry import did_you_mean

MAX_BYTES = 1 << 20
MAX_NODES = 100_000

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Changes(_Strict):
    """Values that differ from the recipe. ``lr`` and ``betas`` set both networks."""

    lr: Rate | None = None
    lr_g: Rate | None = None
    lr_d: Rate | None = None
    betas: Betas | None = None
    betas_g: Betas | None = None
    betas_d: Betas | None = None
    batch_size: Count | None = None
    latent_dim: Count | None = None
    latent: Latent | None = None
    epochs: Count | None = None
    dataset: str | None = None
    dataset_repeats: Count | None = None
    image_size: Count | None = None
    architecture: str | None = None
    init: Init | None = None
    last_batch: LastBatch | None = None
    fake_batch: FakeBatch | None = None
    step_fakes: StepFakes | None = None
    log_every: Count | None = None


def _swept() -> type[BaseModel]:
    lists: dict[str, Any] = {
        name: (list[info.rebuild_annotation()] | None, Field(None, min_length=1))  # type: ignore[misc]
        for name, info in Changes.model_fields.items()
    }
    return create_model("Sweep", __base__=_Strict, **lists)


Sweep = _swept()


class TrialEntry(_Strict):
    """One item of ``trials``: a recipe, fixed changes, and lists whose product is swept."""

    recipe: str
    set: Changes = Changes()
    sweep: Sweep = Sweep()  # type: ignore[valid-type]


class Evaluate(_Strict):
    """When and how trials are scored."""

    epochs: list[Count] = []
    samples: Annotated[int, Field(ge=2)] = 10_000
    extractors: Literal["auto"] | Annotated[list[str], Field(min_length=1)] = "auto"
    draws: Annotated[int, Field(ge=1, le=100)] = 1


class ProfileCuts(_Strict):
    """What a profile cuts down."""

    epochs: Count | None = None
    train_limit: Annotated[int, Field(ge=2)] | None = None
    samples: Annotated[int, Field(ge=2)] | None = None
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None


class Profiles(_Strict):
    """The profiles; ``full`` is what the suite says."""

    quick: ProfileCuts = ProfileCuts()


class FolderEntry(_Strict):
    """A user's folder or zip file of images; a relative path starts at the suite file."""

    path: Annotated[str, Field(min_length=1)]
    size: Annotated[int, Field(ge=1, le=4096)]
    channels: Literal[1, 3] = 3
    crop: Literal["center", "none"] = "center"
    unreadable: Literal["stop", "skip"] = "stop"


class SuiteFile(_Strict):
    """A suite as its file says it."""

    suite: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    version: Count
    description: str = ""
    trials: Annotated[list[TrialEntry], Field(min_length=1)]
    datasets: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")], FolderEntry] = {}
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0]
    evaluate: Evaluate = Evaluate()
    profiles: Profiles = Profiles()


Location = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """A safe loader that reads ``2e-4`` as a number, as YAML 1.2 does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class _Document:
    """A YAML document as plain values, with the place of every key and value."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.keys: dict[Location, yaml.Mark] = {}
        self.values: dict[Location, yaml.Mark] = {}
        self._nodes = 0
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            if node is None:
                raise SuiteError(f"{path}: the suite is empty; see benchmarks/digits.yaml for an example")
            self.content = self._plain(loader, node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise SuiteError(f"{self.at(mark)}: not YAML: {error.problem or error.context}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise SuiteError(f"{path}: not YAML: {str(error).splitlines()[0] if str(error) else 'nested'}") from None

    def at(self, mark: yaml.Mark | None) -> str:
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)

    def _plain(self, loader: _Loader, node: yaml.Node, place: Location) -> Any:  # noqa: ANN401
        self._nodes += 1
        if self._nodes > MAX_NODES or len(place) > 50:
            raise SuiteError(f"{self.at(node.start_mark)}: the suite is too large or too deep; split it")
        self.values[place] = node.start_mark
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(loader, item, (*place, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            content: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
                if key is None:
                    raise SuiteError(f"{self.at(key_node.start_mark)}: a key must be plain text")
                if key in content:
                    raise SuiteError(f"{self.at(key_node.start_mark)}: {key} is given twice; keep one")
                self.keys[(*place, key)] = key_node.start_mark
                content[key] = self._plain(loader, value_node, (*place, key))
            return content
        return loader.construct_object(node)

    def nearest(self, place: Location, *, key: bool) -> str:
        """Name the place, or the closest thing around it that stands in the file."""
        while place:
            mark = (self.keys if key else self.values).get(place) or self.values.get(place)
            if mark:
                return self.at(mark)
            place = place[:-1]
        return self.at(self.values.get(()))


def parse(path: Path, text: str) -> tuple[SuiteFile, _Document]:
    """Validate the text of a suite file.

    Args:
        path: Named in errors.
        text: YAML.

    Raises:
        SuiteError: It is not YAML, or not a suite.
    """
    document = _Document(path, text)
    if not isinstance(document.content, dict):
        raise SuiteError(f"{path}:1:1: a suite is a mapping with the keys suite, version and trials")
    try:
        return SuiteFile.model_validate(document.content), document
    except ValidationError as error:
        raise SuiteError("\n".join(_messages(document, error))) from None


def read(path: Path) -> tuple[SuiteFile, _Document]:
    """Read and validate a suite file.

    Raises:
        SuiteError: It cannot be read or is not valid.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SuiteError(f"{path} cannot be read ({error.strerror})") from None
    if len(raw) > MAX_BYTES:
        raise SuiteError(f"{path} is larger than {MAX_BYTES} bytes; no suite is")
    try:
        return parse(path, raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path} is not UTF-8 text (byte {error.start})") from None


def _messages(document: _Document, error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        place = _real_place(document, detail["loc"])
        unknown = detail["type"] == "extra_forbidden"
        where = document.nearest(place, key=unknown)
        field = _dotted(place)
        if unknown:
            known = _fields_at(place[:-1])
            yield f"{where}: {field}: unknown field ({did_you_mean(str(place[-1]), known)})"
        elif detail["type"] == "missing":
            yield f"{document.nearest(place[:-1], key=False)}: {field}: this field is required"
        else:
            message = detail["msg"][0].lower() + detail["msg"][1:]
            yield f"{where}: {field}: {message}, got {_short(detail['input'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _real_place(document: _Document, loc: tuple[str | int, ...]) -> Location:
    """Drop the union tags that pydantic adds to a location, such as ``literal['auto']``."""
    place: Location = ()
    for part in loc:
        inside = (*place, part) in document.values or (*place, part) in document.keys
        if inside or isinstance(part, int) or (re.fullmatch(r"[A-Za-z_][\w-]*", part) and part not in ("list", "str")):
            place = (*place, part)
    return place


def _dotted(place: Location) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.lstrip(".")


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
    model = FolderEntry if named else models.get(tuple(names))
    return sorted(model.model_fields) if model else []
