"""What gan_bench itself wrote among images: results, which are refused or left out, and grids beside samples."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath

from gan_bench.core.errors import DataError
from gan_bench.core.text import as_argument

_OF_SUITE = ("plan.json", "suite.yaml")
"""Files that a folder of gan_bench's own records has: its sample grids and plots are no images of the set."""
_OF_RECORD = ("trial.json", "environment.json")
"""Files that each record in such a folder has, wherever it was copied."""
_OF_REPORT = ("answer.md", "files.txt")
"""Files that the folder of a report has."""
_BESIDE_SUITES = ("report", "mlartifacts")
"""Folders beside such a folder that hold what is made of it."""
_SINGLE = re.compile(r"(.*/|)image-\d{5,}\.png")
_DRAWN = {"grid.png", "interpolation.png", "epochs.gif"}
"""Names of what ``gan-bench sample`` writes beside single images, ``image-00000.png``."""


def refuse_results(source: Path) -> None:
    """Refuse records of gan_bench, whose images are sample grids.

    Raises:
        DataError: It holds them or lies among them, and not for images that ``gan-bench sample`` wrote there.
    """
    place = Path(os.path.realpath(source))  # what `..` leads to depends on the links before it
    with contextlib.suppress(OSError):  # a name too long for a file, or a closed folder: reading it says so
        is_drawn = any(place.glob("image-*.png"))
        for folder in (place, *([] if is_drawn else place.parents)):
            named = source if folder == place else folder
            ours = f"{named} holds results of gan_bench, whose images are sample grids; name a folder of images"
            if _has_all(str(folder), _OF_RECORD, os.path.isfile):
                record = shlex.quote(as_argument(named))
                raise DataError(f"{ours}, such as `gan-bench sample {record} --images N` writes")
            if _has_all(str(folder), _OF_SUITE, os.path.isfile):
                raise DataError(f"{ours}, or run the suite again: {named / _OF_SUITE[1]}")


def _has_all(folder: str, files: Iterable[str], is_file: Callable[[str], bool]) -> bool:
    return all(is_file(f"{folder}/{file}") for file in files)


def own_folders(folders: Collection[str], is_file: Callable[[str], bool]) -> dict[str, str]:
    """Return those of some folders beside each other that gan_bench wrote, each with a file that tells so, if one does.

    These are suites and what lies beside them, records, and reports.

    Args:
        folders: Their paths.
        is_file: Tells whether there is a file of a path.
    """
    kinds = (_OF_SUITE, _OF_RECORD, _OF_REPORT)
    found = {each: f"{each}/{files[0]}" for each in folders for files in kinds if _has_all(each, files, is_file)}
    if f"/{_OF_SUITE[0]}" in {note[note.rfind("/") :] for note in found.values()}:
        found.update((each, "") for each in folders if each not in found and PurePosixPath(each).name in _BESIDE_SUITES)
    return found


def own_pictures(names: Collection[str]) -> set[str]:
    """Return those of some images that ``gan-bench sample`` drew beside its single images: grids and animations."""
    folders = {found[1] for found in map(_SINGLE.fullmatch, names) if found}
    return {folder + drawn for folder in folders for drawn in _DRAWN}.intersection(names)
