"""What a report says of every setting of a suite, as a file: the report writes it, MLflow's mirror shows it.

It follows from the records and is no part of them: a report makes it again at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, FiniteFloat
from typing_extensions import TypedDict

from gan_bench.config.trial import setting_key
from gan_bench.core import __version__
from gan_bench.core.atomic import write_atomically
from gan_bench.core.errors import RecordError
from gan_bench.core.text import slug
from gan_bench.records.folders import trial_folders
from gan_bench.records.json_files import object_text, read_file, read_optional, write_object
from gan_bench.records.layout import ADDED, ENVIRONMENT, PLAN, RECORD
from gan_bench.records.schema import STATISTICS, Form, Statistic, Statistics
from gan_bench.records.shared import read_identity

Key = Annotated[str, Field(pattern=r"^[/\w.\- :]+$")]
"""A name that MLflow takes for a metric."""


class SettingSummary(TypedDict):
    """What a report says of one setting: a recipe with its values, over all its seeds."""

    setting: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """What ``setting_id`` makes of the config of its trials."""
    label: str
    """Its short name in tables."""
    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]+$")]
    """The ranking that it stands in: suite, profile and dataset. Ranks of different studies do not compare."""
    protocol: str
    """What the ranking's scores were taken with: extractor, reference split and generated images."""
    numbers: dict[Key, FiniteFloat]
    """Numbers over seeds by name, such as ``fid.median``."""
    words: dict[Annotated[str, Field(pattern=r"^verdict(\.[\w.\- /]+)?$")], str]
    """``verdict``, and one for every comparison that was decided."""
    curves: dict[str, list[tuple[int, float, float | None, float | None]]]
    """By score or training value: epoch, mean over seeds and both ends of its 95 % interval."""
    best_trial: str | None
    """Id of the finished trial with the best final primary score."""


class SuiteSummary(TypedDict):
    """The file ``report/answers/SUITE.json``."""

    suite: str
    settings: list[SettingSummary]
    made_from: str
    """What ``state_of`` said of the suite's records when they were read; nothing where an earlier page stays."""
    sha256: str


class ComparedFile(TypedDict):
    """The file ``report/compared/BASELINE.json``: a comparison that was kept."""

    baseline: str
    """The results folder that this one was compared with, as it was named."""
    results: Annotated[str, Field(pattern=r"^([0-9a-f-]{36})?$")]
    """Its identity, which its runs in MLflow carry; empty where it has none."""
    verdict: str
    """What the comparison comes to, in a sentence."""
    sha256: str


_FORM, _COMPARED = Form(SuiteSummary), Form(ComparedFile)
FEW_EPOCHS = 10
"""Trials of so few epochs are shown by their single steps as well: their epochs alone are no curve."""
CURVE_POINTS = 40
"""Most places of one curve of a training value where many trials are shown; each is a mean over its epochs."""


def piece_of(epoch: int, epochs: int) -> int:
    """Return the last epoch of the piece of a thinned curve that an epoch belongs to.

    Args:
        epoch: From 1 on.
        epochs: Of the whole training.
    """
    width = -(-epochs // CURVE_POINTS)
    return min(epochs, -(-epoch // width) * width)


def mean_statistics(lines: Sequence[Statistics]) -> dict[Statistic, float | None]:
    """Return the means of the values of lines, each over those that have it; None where none has."""
    values = {name: [value for line in lines if (value := line[name]) is not None] for name in STATISTICS}
    return {name: sum(found) / len(found) if found else None for name, found in values.items()}


def setting_id(config: Mapping[str, object]) -> str:
    """Name a setting in 16 hexadecimal digits: what the configs of its trials share, all but the seed."""
    return hashlib.sha256(setting_key(config).encode(errors="surrogatepass")).hexdigest()[:16]


def answer_file(results: Path, suite: str, kind: str) -> Path:
    """Return where a report keeps what it says of a suite.

    Args:
        results: The results folder, whose report is ``report``.
        suite: Name of the suite.
        kind: End of the file's name: ``md`` has the sentences, ``json`` the settings.
    """
    return results / "report" / "answers" / f"{slug(suite)}.{kind}"


def summary_text(suite: str, settings: Iterable[SettingSummary], made_from: str) -> str:
    """Return the file with what a report says of the settings of a suite.

    Args:
        suite: The suite.
        settings: Its settings.
        made_from: What ``state_of`` said before the records were read; nothing where the report is not whole.
    """
    return object_text({"suite": suite, "settings": list(settings), "made_from": made_from})


def read_summary(results: Path, suite: str) -> list[SettingSummary]:
    """Return what the last report said of the settings of a suite; nothing where there is none that can be read."""
    found = _read_summary(results, suite)
    return found["settings"] if found else []


def read_answer(results: Path, suite: str) -> str:
    """Return the sentences that the last report or sync wrote of a suite; nothing where they cannot be read."""
    try:
        return read_file(answer_file(results, suite, "md")).decode(errors="replace")
    except (OSError, RecordError):
        return ""


def _read_summary(results: Path, suite: str) -> SuiteSummary | None:
    found = read_optional(answer_file(results, suite, "json"), _FORM, RecordError)
    return found if found and found["suite"] == suite else None


def keep_comparison(results: Path, baseline: Path, verdict: str, markdown: str) -> Path:
    """Keep a comparison of a results folder with another one beside its report; an earlier one with it is replaced.

    Args:
        results: The folder that was compared.
        baseline: What it was compared with.
        verdict: What it comes to, in a sentence.
        markdown: All of it.

    Returns:
        Where it is.

    Raises:
        OSError: It cannot be written.
    """
    results, baseline = (folder.parent if (folder / PLAN).exists() else folder
                         for folder in (results.resolve(), baseline.resolve()))  # fmt: skip
    path = results / "report" / "compared" / f"{slug(baseline.name) or 'baseline'}.md"
    earlier = [each["baseline"] for each, file in kept_comparisons(results) if file == path]
    if earlier and earlier != [str(baseline)]:  # another folder of that name: results, as most are called
        path = path.with_name(f"{path.stem}-{hashlib.sha256(str(baseline).encode()).hexdigest()[:6]}.md")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, markdown)
    try:
        identity = read_identity(baseline)
    except (FileNotFoundError, ValueError, RecordError):  # nobody mirrored it
        identity = ""
    write_object(path.with_suffix(".json"), {"baseline": str(baseline), "results": identity, "verdict": verdict})
    return path


def kept_comparisons(results: Path) -> list[tuple[ComparedFile, Path]]:
    """Return the comparisons that were kept, each with its file in Markdown."""
    paths = sorted((results / "report" / "compared").glob("*.json"))
    return [(kept, path.with_suffix(".md")) for path in paths if (kept := read_optional(path, _COMPARED, RecordError))]


def is_outdated(results: Path, suite: str, folder: Path) -> bool:
    """Return whether a suite's records are not those that the last report was made from, or there was none.

    Args:
        results: The results folder, whose report is ``report``.
        suite: Name of the suite.
        folder: What it is read from.
    """
    found = _read_summary(results, suite)
    return found is None or found["made_from"] != state_of(folder)


def state_of(folder: Path) -> str:
    """Return a digest of which records a suite has, and of the sizes and times of what tells their ends and scores."""
    # "whole", as a sync of earlier versions left page and tables behind
    parts = [__version__, "whole", size_and_time(folder / PLAN)]
    for path in trial_folders(folder):
        parts += [path.name, *(size_and_time(path / name) for name in (ENVIRONMENT, RECORD, ADDED))]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]


def size_and_time(path: Path) -> str:
    """Return what tells a file from what it was before; nothing where there is none."""
    try:
        found = path.lstat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
