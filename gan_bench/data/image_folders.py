"""Images -> one uint8 array on disk, once per source and transform, so that training never decodes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from gan_bench.config.image_folder import Transform
from gan_bench.core.atomic import ASIDE, remove_leftovers, write_atomically
from gan_bench.core.cache import cache_folder
from gan_bench.core.canonical import canonical_json
from gan_bench.core.errors import DataError
from gan_bench.data.image_files import ENDINGS, Source, decode, fit, open_source

CHUNK = 512
"""Images decoded at a time; bounds memory."""

_FORM = 1


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A prepared split.

    Attributes:
        images: (N, C, H, W) uint8, memory-mapped where the cache can be written.
        labels: (N,) int64 by class folder, or None when all images lie in one folder.
        classes: Names of the class folders.
        sha256: Digest of the pixels.
        files: Images found.
        copies: Of these, nested copies left out (``cats/cats/1.jpg`` beside ``cats/1.jpg``).
        skipped: Of these, images that could not be decoded.
        distinct: Different files among those kept.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    sha256: str
    files: int
    copies: int
    skipped: int
    distinct: int


def prepare(source: Path, split: str | None, transform: Transform) -> Prepared:
    """Prepare the images of a folder or zip file, from the cache when it has them.

    Args:
        source: The folder or zip file; only read.
        split: Take only images below a folder of this name; None takes all.
        transform: How they become an array.

    Raises:
        DataError: There are none, or one cannot be used.
    """
    key = canonical_json({"source": fingerprint(source), "split": split, "transform": asdict(transform), "form": _FORM})
    stem = cache_folder() / "prepared" / hashlib.sha256(key.encode()).hexdigest()[:16]
    found = _from_cache(stem)
    if found is not None:
        return found
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(stem.parent)
        handle, name = tempfile.mkstemp(prefix=f".{stem.name}.", suffix=ASIDE, dir=stem.parent)
        os.close(handle)
    except OSError:
        return _prepare(source, split, transform, None)
    try:
        prepared = _prepare(source, split, transform, Path(name))
        os.replace(name, stem.with_suffix(".npy"))  # noqa: PTH105 - a plain rename
        facts = {k: v for k, v in vars(prepared).items() if k not in ("images", "labels")}
        labels = None if prepared.labels is None else prepared.labels.tolist()
        write_atomically(stem.with_suffix(".json"), json.dumps({**facts, "labels": labels}))
    except OSError as error:
        raise DataError(
            f"the prepared images cannot be written to {stem.parent} ({error.strerror}); "
            "make room or set $GAN_BENCH_CACHE to another folder"
        ) from None
    finally:
        Path(name).unlink(missing_ok=True)
    return _from_cache(stem) or prepared


def fingerprint(source: Path) -> str:
    """Digest what tells one source from another: a zip's bytes; a folder's names, sizes and times.

    Raises:
        DataError: There is no such file or folder.
    """
    digest = hashlib.sha256()
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            stat = path.stat()
            digest.update(f"{path.relative_to(source).as_posix()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()
    try:
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror}); name a folder or zip file of images") from None


def _from_cache(stem: Path) -> Prepared | None:
    try:
        facts: dict[str, Any] = json.loads(stem.with_suffix(".json").read_text())
        # Copy-on-write: torch wants a writable array, and nothing may reach the file.
        images = np.load(stem.with_suffix(".npy"), mmap_mode="c", allow_pickle=False)
        labels = facts.pop("labels")
        facts["classes"] = tuple(facts["classes"])
        known = None if labels is None else np.asarray(labels, dtype=np.int64)
        return Prepared(images=images, labels=known, **facts)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _prepare(source: Path, split: str | None, transform: Transform, target: Path | None) -> Prepared:
    with open_source(source) as opened:
        names, copies = _without_copies(
            source, opened, [n for n in opened.names if split is None or split in n.split("/")[:-1]]
        )
        if not names:
            where = f"{source} below a folder {split}" if split else str(source)
            raise DataError(f"{where} holds no images ({', '.join(sorted(ENDINGS))})")
        empty = opened.empty_folder()
        if empty is not None:
            raise DataError(f"the folder {source}/{empty} holds no images though its neighbours do; fill or remove it")
        shape = (len(names), transform.channels, transform.size, transform.size)
        images = (
            np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape)
            if target
            else np.empty(shape, dtype=np.uint8)
        )
        kept: list[str] = []
        digests: set[bytes] = set()
        for name, array, digest in _decoded(source, opened, names, transform):
            if array is not None:
                images[len(kept)] = array
                kept.append(name)
                digests.add(digest)
    if not kept:
        raise DataError(f"none of the {len(names)} images of {source} can be decoded; get it again")
    if len(kept) < len(names):
        images = np.array(images[: len(kept)])  # a copy: the file that is mapped is written anew
        if target:
            with target.open("wb") as file:
                np.save(file, images)
    elif isinstance(images, np.memmap):
        images.flush()
    folders = [name.rpartition("/")[0].rpartition("/")[2] for name in kept]
    classes = tuple(sorted(set(folders)))
    labels = np.array([classes.index(folder) for folder in folders], dtype=np.int64) if len(classes) > 1 else None
    return Prepared(
        images=images,
        labels=labels,
        classes=classes if labels is not None else (),
        sha256=hashlib.sha256(images.data).hexdigest(),
        files=len(names) + copies,
        copies=copies,
        skipped=len(names) - len(kept),
        distinct=len(digests),
    )


def _without_copies(source: Path, opened: Source, names: list[str]) -> tuple[list[str], int]:
    """Leave out images that lie a second time in a folder nested in one of its own name.

    The source's own name counts as a folder: an archive unpacked as ``cats`` may hold ``cats`` once more.
    """
    known, kept, copies = set(names), [], 0
    for name in names:
        parts = [source.name, *name.split("/")]
        twins = ["/".join((parts[:i] + parts[i + 1 :])[1:]) for i in range(len(parts) - 2) if parts[i] == parts[i + 1]]
        if any(twin in known and opened.read(twin) == opened.read(name) for twin in twins):
            copies += 1
        else:
            kept.append(name)
    return kept, copies


def _decoded(
    source: Path, opened: Source, names: list[str], transform: Transform
) -> Iterator[tuple[str, NDArray[np.uint8] | None, bytes]]:
    """Yield every image in order, decoded by several threads, a chunk at a time."""

    def work(job: tuple[str, bytes]) -> NDArray[np.uint8] | None:
        name, data = job
        try:
            return _array(decode(data, f"{source}/{name}", transform.channels), f"{source}/{name}", transform)
        except DataError:
            if transform.unreadable == "stop":
                raise
            return None

    starts = range(0, len(names), CHUNK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        console = Console(stderr=True)
        if not console.is_terminal:
            console.print(f"preparing {len(names):,} images of {source.name}", markup=False, highlight=False)
        silent = not console.is_terminal
        for start in track(starts, f"preparing {source.name}", console=console, transient=True, disable=silent):
            jobs = [(name, opened.read(name)) for name in names[start : start + CHUNK]]
            for (name, data), array in zip(jobs, pool.map(work, jobs), strict=True):
                yield name, array, hashlib.sha256(data).digest()


def _array(image: Any, name: str, transform: Transform) -> NDArray[np.uint8]:  # noqa: ANN401 - a PIL image
    if transform.crop == "none" and image.size != (transform.size, transform.size):
        width, height = image.size
        raise DataError(
            f"the image {name} has {width}x{height} pixels, not {transform.size}x{transform.size}; "
            "bring all images to one size, or write crop: center where a suite names them"
        )
    array = np.asarray(fit(image, transform.size))
    return array[None] if transform.channels == 1 else array.transpose(2, 0, 1)
