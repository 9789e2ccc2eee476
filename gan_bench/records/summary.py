"""The report's summary of every setting of a suite, written as a file for MLflow's mirror.

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
"""A valid name of an MLflow metric."""


class SettingSummary(TypedDict):
    """The report's summary of one setting over all its seeds."""

    setting: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """The ``setting_id`` of its trials' config."""
    label: str
    """Its short name in tables."""
    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]+$")]
    """The study of its ranking: suite, profile and dataset. Ranks of different studies are not comparable."""
    protocol: str
    """The protocol of the ranking: extractor, reference split and generated images."""
    numbers: dict[Key, FiniteFloat]
    """Numbers over seeds by name, such as ``fid.median``."""
    words: dict[Annotated[str, Field(pattern=r"^verdict(\.[\w.\- /]+)?$")], str]
    """``verdict``, and a text for every decided comparison."""
    curves: dict[str, list[tuple[int, float, float | None, float | None]]]
    """By score or training value: epoch, mean over seeds and both ends of its 95 % interval."""
    best_trial: str | None
    """Id of the finished trial with the best final primary score."""


class SuiteSummary(TypedDict):
    """The file ``report/answers/SUITE.json``."""

    suite: str
    settings: list[SettingSummary]
    made_from: str
    """The ``state_of`` the suite's records when they were read; empty if an earlier page was kept."""
    sha256: str


class ComparedFile(TypedDict):
    """The file ``report/compared/BASELINE.json``: a comparison that was kept."""

    baseline: str
    """The results folder that this one was compared with, as given."""
    results: Annotated[str, Field(pattern=r"^([0-9a-f-]{36})?$")]
    """Its identity, which its runs in MLflow have; empty if it has none."""
    verdict: str
    """The result of the comparison in one sentence."""
    sha256: str


_FORM, _COMPARED = Form(SuiteSummary), Form(ComparedFile)
FEW_EPOCHS = 10
"""Trials of up to so many epochs are also shown by steps, as their epochs alone make no curve."""
CURVE_POINTS = 40
"""Most points of a training curve if many trials are shown; each is a mean over its epochs."""


def piece_of(epoch: int, epochs: int) -> int:
    """Return the last epoch of the interval of a thinned curve that contains an epoch.

    Args:
        epoch: From 1 on.
        epochs: Of the whole training.
    """
    width = -(-epochs // CURVE_POINTS)
    return min(epochs, -(-epoch // width) * width)


def mean_statistics(lines: Sequence[Statistics]) -> dict[Statistic, float | None]:
    """Return the means of the statistics over lines that have them; None if none has."""
    values = {name: [value for line in lines if (value := line[name]) is not None] for name in STATISTICS}
    return {name: sum(found) / len(found) if found else None for name, found in values.items()}


def setting_id(config: Mapping[str, object]) -> str:
    """Return a digest of a setting in 16 hexadecimal digits: of the config without the seed."""
    return hashlib.sha256(setting_key(config).encode(errors="surrogatepass")).hexdigest()[:16]


def answer_file(results: Path, suite: str, kind: str) -> Path:
    """Return the path of a suite's summary in a report.

    Args:
        results: The results folder, whose report is ``report``.
        suite: Name of the suite.
        kind: End of the file's name: ``md`` has the sentences, ``json`` the settings.
    """
    return results / "report" / "answers" / f"{slug(suite)}.{kind}"


def summary_text(suite: str, settings: Iterable[SettingSummary], made_from: str) -> str:
    """Return the text of a suite's summary file.

    Args:
        suite: The suite.
        settings: Its settings.
        made_from: What ``state_of`` said before the records were read; nothing where the report is not whole.
    """
    return object_text({"suite": suite, "settings": list(settings), "made_from": made_from})


def read_summary(results: Path, suite: str) -> list[SettingSummary]:
    """Read the last report's summary of a suite's settings; empty if there is no readable one."""
    found = _read_summary(results, suite)
    return found["settings"] if found else []


def read_answer(results: Path, suite: str) -> str:
    """Read the answer that the last report or sync wrote for a suite; empty if it is unreadable."""
    try:
        return read_file(answer_file(results, suite, "md")).decode(errors="replace")
    except (OSError, RecordError):
        return ""


def _read_summary(results: Path, suite: str) -> SuiteSummary | None:
    found = read_optional(answer_file(results, suite, "json"), _FORM, RecordError)
    return found if found and found["suite"] == suite else None


def keep_comparison(results: Path, baseline: Path, verdict: str, markdown: str) -> Path:
    """Keep a comparison with another folder beside the report; an earlier one is replaced.

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
    except (FileNotFoundError, ValueError, RecordError):  # it was never mirrored
        identity = ""
    write_object(path.with_suffix(".json"), {"baseline": str(baseline), "results": identity, "verdict": verdict})
    return path


def kept_comparisons(results: Path) -> list[tuple[ComparedFile, Path]]:
    """Return the kept comparisons, each with its Markdown file."""
    paths = sorted((results / "report" / "compared").glob("*.json"))
    return [(kept, path.with_suffix(".md")) for path in paths if (kept := read_optional(path, _COMPARED, RecordError))]


def is_outdated(results: Path, suite: str, folder: Path) -> bool:
    """True if a suite's records have changed since the last report, or there was none.

    Args:
        results: The results folder, whose report is ``report``.
        suite: Name of the suite.
        folder: What it is read from.
    """
    found = _read_summary(results, suite)
    return found is None or found["made_from"] != state_of(folder)


def state_of(folder: Path) -> str:
    """Return a digest of a suite's records: their names, and the sizes and times of files with ends and scores."""
    # "whole", as a sync of earlier versions left page and tables behind
    parts = [__version__, "whole", size_and_time(folder / PLAN)]
    for path in trial_folders(folder):
        parts += [path.name, *(size_and_time(path / name) for name in (ENVIRONMENT, RECORD, ADDED))]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]


def size_and_time(path: Path) -> str:
    """Return the size and time of a file as text; empty if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
