"""What a report says of every setting of a suite, as a file: the report writes it, MLflow's mirror shows it.

It follows from the records and is no part of them: a report makes it again at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from gan_bench.config.trial import setting_key
from gan_bench.core.atomic import write_atomically
from gan_bench.core.errors import RecordError
from gan_bench.core.text import slug
from gan_bench.records.json_files import read_file, read_known, write_object
from gan_bench.records.layout import IDENTITY, RECORD
from gan_bench.records.reader import trial_folders
from gan_bench.records.schema import Form


class SettingSummary(TypedDict):
    """What a report says of one setting: a recipe with its values, over all its seeds."""

    setting: str
    """What ``setting_id`` makes of the config of its trials."""
    label: str
    """Its short name in tables."""
    study: str
    """The ranking that it stands in: suite, profile and dataset. Ranks of different studies do not compare."""
    protocol: str
    """What the ranking's scores were taken with: extractor, reference split and generated images."""
    numbers: dict[str, float]
    """Numbers over seeds by name, such as ``fid.median``."""
    words: dict[str, str]
    """``verdict``, and one for every comparison that was decided."""
    curves: dict[str, list[tuple[int, float, float | None, float | None]]]
    """By score or training value: epoch, mean over seeds and both ends of its 95 % interval."""
    best_trial: str | None
    """Id of the finished trial with the best final primary score."""


class SuiteSummary(TypedDict):
    """The file ``report/answers/SUITE.json``."""

    suite: str
    settings: list[SettingSummary]


class ComparedFile(TypedDict):
    """The file ``report/compared/BASELINE.json``: a comparison that was kept."""

    baseline: str
    """The results folder that this one was compared with, as it was named."""
    results: str
    """Its identity, which its runs in MLflow carry; empty where it has none."""
    verdict: str
    """What the comparison comes to, in a sentence."""


_FORM, _COMPARED = Form(SuiteSummary), Form(ComparedFile)
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


def setting_id(config: Mapping[str, Any]) -> str:
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


def write_summary(path: Path, suite: str, settings: Iterable[SettingSummary]) -> None:
    """Write what a report says of the settings of a suite.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_object(path, {"suite": suite, "settings": list(settings)})


def read_summary(results: Path, suite: str) -> list[SettingSummary]:
    """Return what the last report said of the settings of a suite; nothing where there is none that can be read."""
    try:
        found = read_known(answer_file(results, suite, "json"), _FORM)
    except RecordError:
        return []
    return found["settings"] if found["suite"] == suite else []


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
    path = results / "report" / "compared" / f"{slug(baseline.resolve().name) or 'baseline'}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, markdown)
    try:
        identity = str(uuid.UUID(read_file(baseline / IDENTITY).decode().strip()))
    except (FileNotFoundError, ValueError, RecordError):  # nobody mirrored it
        identity = ""
    write_object(path.with_suffix(".json"), {"baseline": str(baseline), "results": identity, "verdict": verdict})
    return path


def kept_comparisons(results: Path) -> list[tuple[ComparedFile, Path]]:
    """Return the comparisons that were kept, each with its file in Markdown."""
    found = []
    for path in sorted((results / "report" / "compared").glob("*.json")):
        with contextlib.suppress(RecordError):
            found.append((read_known(path, _COMPARED), path.with_suffix(".md")))
    return found


def is_outdated(results: Path, suite: str) -> bool:
    """Return whether a trial of a suite has ended since the last report, or there was none."""
    try:
        written = answer_file(results, suite, "json").stat().st_mtime_ns
    except OSError:
        return True
    return any(_ended(path) > written for path in trial_folders(results / suite))


def _ended(path: Path) -> int:
    try:
        return (path / RECORD).stat().st_mtime_ns
    except OSError:
        return 0
