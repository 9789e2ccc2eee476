"""YAML text -> validated suite, with file:line:column and a remedy in every error."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, Tag, ValidationError
from pydantic_core import PydanticCustomError

from gan_bench.config.changes import (
    Changes,
    Epochs,
    ImageSize,
    Name,
    RandomValues,
    Samples,
    Seed,
    StrictModel,
    Sweep,
    whole,
)
from gan_bench.config.design import FEWEST, LOOKS, MARGIN, Design
from gan_bench.config.mistakes import field_hint, value_hint, what_is_wrong
from gan_bench.config.trial import RESERVED_NAMES, Keep
from gan_bench.config.yaml_document import (
    MAX_DEPTH,
    MAX_MESSAGE,
    Location,
    Plain,
    YamlDocument,
    as_yaml,
    dotted,
    quoted,
)
from gan_bench.core.errors import SuiteError
from gan_bench.core.fields import as_python
from gan_bench.core.text import as_argument, clip, from_root

MAX_BYTES = 1 << 19
MAX_MESSAGES = 20
T = TypeVar("T")

FolderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


def _unreserved(name: str) -> str:
    if name in RESERVED_NAMES:
        reserved = ", ".join(sorted(RESERVED_NAMES))
        raise PydanticCustomError(
            "reserved", "results folders use the names {reserved} themselves; choose another", {"reserved": reserved}
        )
    return name


class TrialEntry(StrictModel):
    """One item of ``trials``: a recipe, fixed changes, and lists whose product is swept."""

    recipe: Name
    set: Changes = Changes()
    sweep: Sweep = Sweep()  # type: ignore[valid-type]


class Evaluate(StrictModel):
    """When and how trials are scored."""

    epochs: list[Epochs] = Field(default=[])
    samples: Samples = 10_000
    extractors: Literal["auto"] | Annotated[list[Name], Field(min_length=1)] = "auto"
    draws: Annotated[int, whole("draws")] = 1
    keep: Keep = "nothing"


def _looks(found: list[int]) -> list[int]:
    if found[0] < FEWEST or any(a >= b for a, b in pairwise(found)):
        raise PydanticCustomError("looks", "looks are growing numbers of seeds from {least} on", {"least": FEWEST})
    return found


def _share(found: object) -> object:
    """Refuse a margin that is not a fraction: 10 for 10 % would make nearly everything equivalent."""
    if found is None or (isinstance(found, (int, float)) and not isinstance(found, bool) and 0 <= found <= 1):
        return found
    raise PydanticCustomError("equivalence", "equivalence is a share from 0 to 1, such as 0.1 for 10 %")


Looks = Annotated[list[Annotated[int, Field(ge=1, le=1000, strict=True)]], Field(min_length=1), AfterValidator(_looks)]
TrainLimit = Annotated[int, whole("train_limit")]


def _form(value: object) -> str:
    return "by recipe" if isinstance(value, dict) else "a number"


# The tags have blanks, which no field has: errors about a value do not name them.
_Cut = Annotated[Annotated[T, Tag("a number")] | Annotated[dict[Name, T], Tag("by recipe")], Discriminator(_form)]


class ProfileCuts(StrictModel):
    """Limits of a profile: one number for every trial, or one for each recipe of the suite."""

    epochs: _Cut[Epochs] | None = None
    train_limit: _Cut[TrainLimit] | None = None
    samples: Samples | None = None
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None


class Profiles(StrictModel):
    """The profiles; ``full`` is what the suite says."""

    quick: ProfileCuts = ProfileCuts()


def _pair(given: object) -> object:
    """Convert a YAML list of two to a tuple; pydantic's messages about tuples do not fit YAML."""
    if not isinstance(given, (list, tuple)) or len(given) != 2:
        raise PydanticCustomError("two_numbers", "must be two numbers, such as [0, 255]")
    return tuple(given)


def _grows(limits: tuple[float, float]) -> tuple[float, float]:
    if not float("-inf") < limits[0] < limits[1] < float("inf"):
        raise PydanticCustomError("range", "a range is two numbers, the lower first")
    return limits


class FolderEntry(StrictModel):
    """A user's folder or zip file of images; a relative path starts at the suite file."""

    path: Annotated[str, Field(min_length=1, max_length=4096)]
    size: ImageSize
    channels: Literal[1, 3] = 3
    crop: Literal["center", "none"] = "center"
    unreadable: Literal["stop", "skip"] = "stop"
    range: Annotated[tuple[float, float], BeforeValidator(_pair), AfterValidator(_grows)] | None = None


class SuiteFile(StrictModel):
    """A suite as its file says it."""

    suite: Annotated[FolderName, AfterValidator(_unreserved)]
    version: Annotated[int, whole("suite_version")]
    description: str = ""
    trials: Annotated[list[TrialEntry], Field(min_length=1)]
    datasets: dict[FolderName, FolderEntry] = Field(default={})
    plugins: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(default=[])
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    looks: Looks | None = None
    equivalence: Annotated[float, BeforeValidator(_share)] | None = None
    evaluate: Evaluate = Evaluate()
    profiles: Profiles = Profiles()

    @property
    def design(self) -> Design:
        """The seeds at which verdicts are made: a fixed list if there is one and no looks."""
        margin = self.equivalence or None
        if self.seeds and not self.looks:
            return Design.fixed(self.seeds, margin)
        return Design.of_looks(self.looks or LOOKS, self.seeds or (), MARGIN if self.equivalence is None else margin)


def parse(path: Path, text: str, *, is_file: bool = True) -> tuple[SuiteFile, YamlDocument]:
    """Validate the text of a suite file.

    Args:
        path: Named in errors.
        text: YAML.
        is_file: Whether the text stands in that file, so that errors name line and column.

    Raises:
        SuiteError: It is not YAML, or not a suite.
    """
    document = YamlDocument(path, text, is_file=is_file)
    if not isinstance(document.content, dict):
        raise SuiteError(
            f"{document.nearest((), key=False)}: a suite is a mapping with the keys suite, version and trials"
        )
    try:
        return SuiteFile.model_validate(document.content), document
    except ValidationError as error:
        raise SuiteError("\n".join(_messages(document, error))) from None


SuiteSource = Path | Mapping[str, object]
"""A suite: its file, or its content."""


_OWN_SUITE = "suite.yaml"
"""The suite that a folder of results keeps."""
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of zip files."""


def of_images(path: Path, start: bytes = b"") -> str:
    """Return what a folder or zip file given as a suite is, and the command meant for it; empty for other files.

    Args:
        path: Its place.
        start: First bytes of it, where they were read: those of a pipe can be read only once.
    """
    try:
        is_folder = path.is_dir()
        if is_folder and (path / _OWN_SUITE).is_file():
            return f"{path} is a folder; name the suite in it, {path / _OWN_SUITE}"
        is_zip = start.startswith(_ZIP) or (path.suffix.lower() == ".zip" and path.is_file())
    except OSError:  # the name is too long for a file
        return ""
    kind = "folder" if is_folder else "zip file" if is_zip else ""
    named = shlex.quote(as_argument(path))
    return f"{path} is a {kind}; `gan-bench try {named}` makes a suite for its images" if kind else ""


def read(source: SuiteSource) -> tuple[SuiteFile, YamlDocument]:
    """Read and validate a suite.

    Raises:
        SuiteError: It cannot be read or is not valid.
    """
    if isinstance(source, Mapping):  # that a program made; its relative paths start at the current folder
        return parse(Path("suite"), as_yaml(_yaml_value(source, ())), is_file=False)
    path = source
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        if path.suffix.lower() not in (".yaml", ".yml") and (said := of_images(path)):
            raise SuiteError(said) from None
        others = [each.name for each in path.parent.glob("*.y*ml") if each.name != path.name and each.is_file()]
        near = difflib.get_close_matches(path.name, others, 1)
        remedy = f"; did you mean {path.with_name(near[0])}?" if near else "; name another file"
        raise SuiteError(f"{path} cannot be read ({error.strerror}){remedy}") from None
    if raw.startswith(_ZIP):
        raise SuiteError(of_images(path, raw))
    if len(raw) > MAX_BYTES:
        raise SuiteError(f"{path} is larger than {MAX_BYTES:,} bytes; split the suite")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        at = f"{path}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise SuiteError(f"{at}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from None
    return parse(path, text)


def _yaml_value(value: Any, place: Location) -> Plain:  # noqa: ANN401 - anything of a program
    """Return a Python value as plain YAML; paths are absolute, so that the suite can be stored anywhere.

    Raises:
        SuiteError: YAML has no such value, or the values are too deep.
    """
    if len(place) > MAX_DEPTH:
        raise SuiteError(f"suite: {dotted(place[:2])}: more than {MAX_DEPTH} levels; a suite needs 4")
    if isinstance(value, Mapping):
        return {str(key): _yaml_value(each, (*place, str(key))) for key, each in value.items()}
    value = as_python(value)
    if isinstance(value, (list, tuple, range, set, frozenset)):
        return [_yaml_value(each, (*place, i)) for i, each in enumerate(value)]
    if isinstance(value, (str, Path)):
        is_path = place[:1] == ("plugins",) or (place[:1] == ("datasets",) and place[2:] == ("path",))
        is_relative = is_path and str(value) and not str(value).startswith("~")
        return str(from_root(Path(value))) if is_relative else str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise SuiteError(
        f"suite: {dotted(place)}: {quoted(value)} cannot stand in a suite; use numbers, text, lists and dicts"
    )


_NAMES = "use small letters, digits, - and _, beginning with a letter or digit, 64 at most"
"""Description of the pattern of names."""


def _messages(document: YamlDocument, error: ValidationError) -> Iterator[str]:
    """Yield one line for each of the first mistakes, then how many more there are."""
    details = error.errors(include_url=False, include_context=False)
    for detail in details[:MAX_MESSAGES]:
        place = _real_place(document, detail["loc"])
        unknown, missing = (detail["type"] == kind for kind in ("extra_forbidden", "missing"))
        where = document.nearest(place[:-1] if missing else place, key=unknown)
        if unknown:
            hint = value_hint if place[-2:-1] in (("set",), ("sweep",)) else field_hint
            said = f"unknown field ({hint(str(place[-1]), _fields_at(place[:-1]))})"
        elif missing:
            said = "this field is required" + ("; write version: 1" if place == ("version",) else "")
        elif detail["type"] == "string_pattern_mismatch":
            said = f"{_NAMES}, got {quoted(detail['input'])}"
        elif detail["type"] == "too_short" and not detail["input"]:
            said = "name at least one"
        else:
            said = what_is_wrong(detail)
        yield f"{where}: {clip(f'{dotted(place)}: {said}', MAX_MESSAGE)}"
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
        FolderEntry
        if named
        else RandomValues
        if names[:2] == ["trials", "sweep"] and names[2:]
        else models.get(tuple(names))
    )
    return sorted(model.model_fields) if model else []
