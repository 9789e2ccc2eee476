"""Files shared by the trials of a suite: rewriting under a lock, and keeping damaged ones."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from gan_bench.core.atomic import move_aside, remove_leftovers, write_atomically
from gan_bench.core.errors import DamagedError, RecordError, UnreadableError
from gan_bench.records import schema
from gan_bench.records.json_files import read_file, read_known, read_optional, write_object
from gan_bench.records.layout import BASELINES, DAMAGED, IDENTITY, LOCKS, PLACE, check_name
from gan_bench.records.lock import Lock

T = TypeVar("T")


@contextmanager
def rewriting(results: Path, suite: str) -> Iterator[Path]:
    """Lock a shared file of a suite while it is rewritten.

    Yields:
        The suite's folder.
    """
    folder = results / check_name(suite, "suite")
    folder.mkdir(parents=True, exist_ok=True)
    with Lock(folder / LOCKS, "suite") as lock:
        lock.wait()
        remove_leftovers(folder)
        yield folder


def left_by_earlier(path: Path, form: schema.Form[T], check: Callable[[T], object] = lambda _: None) -> T | None:
    """Return the earlier content of a file that is rewritten; a damaged file is kept in ``DAMAGED``.

    Args:
        path: The file.
        form: Its form.
        check: Raises RecordError where the content does not hold together.

    Raises:
        UnreadableError: It may not be read, so that nothing of it could be kept.
    """
    try:
        content = read_known(path, form)
        check(content)
    except DamagedError:
        if path.is_symlink() or path.exists():
            move_aside(path, path.parent / DAMAGED)
        return None
    return content


def results_identity(results: Path, say: Callable[[str], object] = lambda _: None) -> str:
    """Return the identity of a results folder, created once.

    It goes where the folder goes. A copy, whose original is still there, gets one of its own: on a tracking server it
    would take the original's runs for its own. That follows from the original's and the copy's place, so that a copy
    that is brought up to its original again, which brings the original's identity, keeps its runs.

    Args:
        results: The results folder.
        say: Called with a sentence where it is a copy.

    Raises:
        UnreadableError: It may not be read; a new one would double every run on a shared server.
        OSError: There is none, and the folder cannot be written.
    """
    path = results / IDENTITY
    with Lock(results / LOCKS, "identity") as lock:
        lock.wait()
        try:
            known = read_identity(results)
        except FileNotFoundError:
            known = None
        except (ValueError, DamagedError):  # it is no identity, and may be a user's own file
            move_aside(path, results / DAMAGED)
            known = None
        place = _place_in(results)
        if known is not None and place is not None and _is_original(place, results, known):
            say(f"{results} is a copy of {place}, and has an identity of its own now: {place} keeps its runs in MLflow")
            wanted = identity_of_copy(known, results)
        else:
            wanted = known or str(uuid.uuid4())
        if wanted != known:
            write_atomically(path, f"{wanted}\n")
        if place != results.resolve():
            with contextlib.suppress(OSError):  # copies of a read-only folder are not recognised
                write_atomically(results / PLACE, f"{results.resolve()}\n")
        return wanted


def identity_of_copy(original: str, results: Path) -> str:
    """Return the identity of a copy of a results folder, from the original's and the copy's path."""
    return str(uuid.uuid5(uuid.UUID(original), results.resolve().as_uri()))


def read_identity(results: Path) -> str:
    """Return the identity of a results folder.

    Raises:
        FileNotFoundError: It has none.
        ValueError: The file holds something else.
        RecordError: It cannot be read.
    """
    return str(uuid.UUID(read_file(results / IDENTITY).decode().strip()))


def _place_in(results: Path) -> Path | None:
    """Return the path where the identity was last used, or None."""
    try:
        text = read_file(results / PLACE).decode().removesuffix("\n")
    except (OSError, ValueError, RecordError):
        return None
    return Path(text) if text and "\0" not in text else None


def _is_original(place: Path, results: Path, identity: str) -> bool:
    """True if another folder with this identity exists; one folder may have several paths through mounts."""
    try:
        there, here = place.stat(), results.stat()
        is_same = os.path.samestat(there, here) or (there.st_ino, there.st_ctime_ns) == (here.st_ino, here.st_ctime_ns)
        return not is_same and read_identity(place) == identity
    except (OSError, ValueError, RecordError):
        return False


# ------------------------------------------------------------------ scores of real images: `anchors.json`

Rows = list[schema.Baseline]


def write_baselines(results: Path, suite: str, version: int, baselines: Rows) -> None:
    """Write the baselines of a suite, keeping those of other protocols."""
    with rewriting(results, suite) as folder:
        earlier = left_by_earlier(folder / BASELINES, schema.BASELINES) or cast("schema.Baselines", {})
        is_same = earlier.get("version") == version
        merged = {_subject(row): row for row in earlier.get("anchors", ()) if is_same}
        for row in baselines:
            merged[_subject(row)] = _joined(merged.get(_subject(row)), row)
        content = {"schema": schema.VERSION, "version": version, "anchors": list(merged.values())}
        write_object(folder / BASELINES, content)


def _subject(row: schema.Baseline) -> tuple[str, int, int]:
    """Return the key of a baseline: which real images were scored, and how many."""
    return row["dataset"], row["image_size"], row["samples"]


def _joined(old: schema.Baseline | None, new: schema.Baseline) -> schema.Baseline:
    """Merge the scores of other extractors, unless they are of other images; old rows do not name held-out ones."""
    held_out = new.get("held_out_sha256")
    if old is None or old["pictures"] != new["pictures"] or old.get("held_out_sha256", held_out) != held_out:
        return new
    if old.get("data_sha256") != new.get("data_sha256"):
        return new
    names = {score["name"] for score in new["scores"]}
    return {**new, "scores": [*(score for score in old["scores"] if score["name"] not in names), *new["scores"]]}


def known_baselines(results: Path, suite: str) -> Rows | None:
    """Return the baselines of a suite, empty if damaged; None if they may not be read."""
    try:
        found = read_optional(results / suite / BASELINES, schema.BASELINES, DamagedError)
    except UnreadableError:
        return None
    return found["anchors"] if found else []


def read_baselines(suite: Path) -> Rows:
    """Read the baselines of a suite's folder; empty if damaged, which ``scan`` reports."""
    found = read_optional(suite / BASELINES, schema.BASELINES, RecordError)
    return found["anchors"] if found else []
