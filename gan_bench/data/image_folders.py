"""Images -> one uint8 array on disk, once per source and transform, so that training never decodes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_bench.config.image_folder import Transform
from gan_bench.core.atomic import naming, new_file_beside, remove_leftovers, write_atomically
from gan_bench.core.cache import cache_folder
from gan_bench.core.canonical import canonical_json
from gan_bench.core.errors import FULL, DataError
from gan_bench.core.preparing import report_progress
from gan_bench.core.text import plural, printable, some_of
from gan_bench.data.eight_bit import SET_RANGE
from gan_bench.data.image_files import decode_square, more_frames
from gan_bench.data.image_source import ArchiveError, ImageSource, ReadError, open_source
from gan_bench.data.splits import Layout, Split, layout_of

CHUNK = 512
"""Most images decoded at a time."""
CLASSES, MORE_CLASSES = 20, " and {} classes more"
"""Most classes that are listed with their counts, and the text for the others."""
CHUNK_BYTES = 2**28
"""Most bytes, of files or of decoded images, that are decoded at a time."""

FRAMES = "frames after the first of an image"
"""Reason for omitting the other frames of an animation or a stack."""
NESTED = "nested copies"
"""Reason for omitting an image that lies again in a nested folder of the same name: ``cats/cats/1.jpg``."""
UNDECODED = "images that cannot be read or decoded"
UNREAD = "images that the system failed to read"
"""Reason for omitting images that may be readable later: a preparation without them is not cached."""
BLACK = "no value is above 1 of 255, so the images are black; if 1 is white, multiply them by 255"
DARK = 32
"""Images whose values are all below this, of 255, are nearly black, such as 10 or 12 bits in a 16-bit file."""
NAMED = 3
"""Most unusable images that are named besides the first."""
_FORM = 15
_OR_RANGE = ", or write range: [0, 4095] where a suite names them"


def darkness(brightest: int) -> str:
    """Return that images are black or nearly so, the likely reason and the remedy; empty if they are not."""
    if brightest <= 1:
        return BLACK
    if brightest >= DARK:
        return ""
    return (
        f"no value is above {brightest} of 255, so the images are nearly black; if they have fewer bits than their "
        f"files, such as 12 in 16, scale them up{_OR_RANGE}"
    )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A prepared split.

    Attributes:
        images: (N, C, H, W) uint8, memory-mapped where the cache can be written.
        classes: How many lie in each folder, in their order.
        sha256: Digest of the pixels.
        digests: Beginning of the digest of each file that is kept.
        left_out: How many other images and files of the source are left out, by reason.
        brightest: The greatest value of all images.
        white: Images that are white all over.
        doubts: What may be wrong with them.
        shared: Held-out images that have the pixels of a training image.
    """

    images: NDArray[np.uint8]
    classes: Mapping[str, int]
    sha256: str
    digests: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    brightest: int = 255
    white: int = 0
    doubts: tuple[str, ...] = ()
    shared: int = 0

    @property
    def distinct(self) -> int:
        """How many different files were kept."""
        return len(set(self.digests))

    def contents(self) -> Iterator[str]:
        """Yield its contents and omissions: ``32 images: boat 8, bus 8``, ``2 left out: nested copies``."""
        text = f"{len(self.images):,} images of {plural(self.distinct, 'different file')}"
        if len(self.classes) > 1:
            counts = [f"{printable(name) or 'beside the folders'} {count:,}" for name, count in self.classes.items()]
            text += f": {some_of(counts, CLASSES, rest=MORE_CLASSES)}"
        yield text
        yield from (f"{count:,} left out: {reason}" for reason, count in self.left_out.items())
        if self.shared:
            yield said_of_shared(self.shared, len(self.images))
        yield from filter(None, (darkness(self.brightest),))
        yield from self.remarks()

    def remarks(self) -> Iterator[str]:
        """Yield possible faults of the images, except darkness."""
        yield from self.doubts
        if self.white:
            are = "are" if self.white > 1 else "is"
            yield f"{plural(self.white, 'image')} {are} white all over; what is transparent is laid over white"


def digests_of_pixels(images: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield the digest of the pixels of every image."""
    return (hashlib.sha256(image.tobytes()).digest() for image in np.asarray(images))


def count_shared(train: NDArray[np.uint8], test: NDArray[np.uint8]) -> int:
    """Return how many held-out images have the pixels of a training image; their files may differ."""
    known = set(digests_of_pixels(train))
    return sum(each in known for each in digests_of_pixels(test))


def said_of_shared(shared: int, count: int) -> str:
    """Return that some of the held-out images are training images."""
    return f"{shared:,} of {count:,} are training images, too; scores against them say little about new images"


_SKIP = "; or write unreadable: skip where a suite names the images"


def without_suites(text: str) -> str:
    """Remove from a text about images the remedies that need a suite."""
    text = text.replace(_SKIP, "").replace(_OR_RANGE, "")
    return text.replace(f"{SET_RANGE}, or save them", "save them")


@contextmanager
def named_by_no_suite() -> Iterator[None]:
    """Remove from errors about images the remedies that need a suite."""
    try:
        yield
    except DataError as error:
        raise DataError(without_suites(str(error))) from error.__cause__


def prepare_images(source: Path, split: Split | None, transform: Transform) -> Prepared:
    """Prepare the images of a folder or zip file, from the cache when it has them.

    Args:
        source: The folder or zip file; only read.
        split: Take only images of this split, as ``layout_of`` finds it; None takes all.
        transform: How they become an array.

    Raises:
        DataError: There are none, or one cannot be used.
    """
    with open_source(source) as opened:
        prepared = _prepared(source, opened, split, transform)
        if split == "test":  # it is said of the whole source, once
            return prepared
    return replace(prepared, left_out={**opened.left_out, **prepared.left_out})


def _prepared(source: Path, opened: ImageSource, split: Split | None, transform: Transform) -> Prepared:
    """Prepare images, or take them from the cache; omitted files do not change the result."""
    of = {"source": _fingerprint(source, opened), "split": split, "transform": asdict(transform), "form": _FORM}
    if any(name.startswith(f"{source.name}/") for name in opened.names):  # ``without_copies`` looks at its own name
        of["name"] = source.name
    key = canonical_json(of)
    stem = cache_folder() / "prepared" / hashlib.sha256(key.encode()).hexdigest()[:16]
    found = _from_cache(stem)
    if found is not None:
        opened.require_images(source)
        return found
    prepared: Prepared | None = None
    aside: Path | None = None
    try:
        with naming(stem.parent):
            stem.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(stem.parent)
            handle, aside = new_file_beside(stem)
            os.close(handle)
            prepared = _prepare(source, opened, split, transform, aside)
            if UNREAD not in prepared.left_out:
                _keep(prepared, aside, stem)
    except OSError as error:
        if aside and not prepared and error.errno in FULL:  # memory may have no room for them either
            raise DataError(
                f"the prepared images cannot be written to {stem.parent} ({error.strerror}); "
                "make room or set $GAN_BENCH_CACHE to another folder"
            ) from None
        return _not_kept(prepared or _prepare(source, opened, split, transform, None), split, error)
    finally:
        with suppress(OSError):
            if aside:
                aside.unlink(missing_ok=True)
    return _from_cache(stem) or prepared


def _keep(prepared: Prepared, aside: Path, stem: Path) -> None:
    """Put prepared images and their facts into the cache.

    Args:
        prepared: The images.
        aside: The file that they are mapped from, unless some were skipped.
        stem: What both files of the cache are called, without their endings.

    Raises:
        OSError: They cannot be written, as where the cache was removed meanwhile.
    """
    array = stem.with_suffix(".npy")
    if not isinstance(prepared.images, np.memmap):
        with aside.open("wb") as file:
            np.save(file, prepared.images)
    with naming(array):
        aside.replace(array)
    facts = {k: v for k, v in vars(prepared).items() if k != "images"}
    write_atomically(stem.with_suffix(".json"), json.dumps(facts))


def _not_kept(prepared: Prepared, split: Split | None, error: OSError) -> Prepared:
    """Add to prepared images why the cache does not have them; once for both splits."""
    said = (
        f"not kept for the next time: {printable(str(error.filename))} cannot be written ({error.strerror}); "
        "set $GAN_BENCH_CACHE to a folder that can be"
    )
    return prepared if split == "test" else replace(prepared, doubts=(*prepared.doubts, said))


def _fingerprint(source: Path, opened: ImageSource) -> str:
    """Digest what tells one source from another: a zip's bytes, or what tells the images of a folder apart.

    Raises:
        DataError: It cannot be read.
    """
    digest = hashlib.sha256()
    if opened.archive:  # as it was opened: another may lie at its path by now
        try:
            opened.archive.seek(0)
            while piece := opened.archive.read(2**20):
                digest.update(piece)
        except OSError as error:
            raise DataError(f"{source} cannot be read ({error.strerror}); name a folder or zip of images") from None
        digest.update("\n".join(opened.names).encode(errors="surrogatepass"))  # how names are read may change
        return digest.hexdigest()
    for name in opened.names:
        closed = "" if os.access(source / name, os.R_OK) else "\0closed"  # unreadable for this user
        digest.update(f"{name}\0{_state(source / name)}{closed}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _state(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:  # a dangling link; reading it says so
        return "absent"
    # Archives set the time of a change, and files of one size are many: the last two tell such files apart.
    return f"{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0{stat.st_ino}"


_whole: set[tuple[Path, str]] = set()
"""Files of prepared images whose digest this process has checked."""


def _from_cache(stem: Path) -> Prepared | None:
    """Return prepared images from the cache if they are intact; a disk may have lost some of their blocks."""
    try:
        facts: dict[str, Any] = json.loads(stem.with_suffix(".json").read_text())
        # Copy-on-write: torch wants a writable array, and nothing may reach the file.
        images = np.lib.format.open_memmap(stem.with_suffix(".npy"), mode="c")
        file = (stem, _state(stem.with_suffix(".npy")))
        if file not in _whole and hashlib.sha256(images.data).hexdigest() != facts["sha256"]:
            return None
        _whole.add(file)
        facts = {name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()}
        found = Prepared(images=images, **facts)
        return found if len(found.digests) == len(images) == sum(found.classes.values()) else None
    except Exception:  # numpy raises many kinds on a damaged file, and what is kept can be made again
        return None


def _prepare(
    source: Path, opened: ImageSource, split: Split | None, transform: Transform, target: Path | None
) -> Prepared:
    opened.require_images(source)
    layout = layout_of(opened.names, str(source)) if split else Layout()
    names, copies = without_copies(source, opened, layout.names(opened.names, split or "train"))
    if not names:
        raise DataError(
            f"{source} has no folder {split} with images; put training images into a folder train in it, and held-out "
            "ones into a folder test"
        )
    shape = (len(names), transform.channels, transform.size, transform.size)
    images = _mapped(target, shape) if target else np.empty(shape, dtype=np.uint8)
    kept: list[str] = []
    digests: list[str] = []
    frames = brightest = white = unread = 0
    first = ""
    for name, array, digest, more in _decoded(source, opened, names, transform):
        frames += more
        if isinstance(array, DataError):
            unread += isinstance(array, ReadError)
            first = first or str(array)
        else:
            images[len(kept)] = array
            brightest = max(brightest, int(array.max()))
            white += int(array.min()) == 255
            kept.append(name)
            digests.append(digest.hex()[:16])
    if not kept:
        raise DataError(f"none of the {len(names)} images of {source} can be decoded, the first as {first}")
    if len(kept) < len(names):
        images = np.array(images[: len(kept)])  # a copy: the file that is mapped is rewritten
    elif isinstance(images, np.memmap):
        images.flush()
    classes = Counter(map(layout.class_of, kept))
    if lost := sorted(set(map(layout.class_of, names)) - {"", *classes}):
        raise DataError(
            f"none of the images of {', '.join(map(printable, lost[:CLASSES]))} in {source} can be decoded; get them "
            "again, or remove what would be a class"
        )
    left_out = {FRAMES: frames, NESTED: copies, UNDECODED: len(names) - len(kept) - unread, UNREAD: unread}
    return Prepared(
        images=images,
        classes=classes,
        sha256=hashlib.sha256(images.data).hexdigest(),
        digests=tuple(digests),
        left_out={
            **(layout.left_out if split == "train" else {}),
            **{reason: count for reason, count in left_out.items() if count},
        },
        brightest=brightest,
        white=white,
        doubts=layout.doubts if split == "train" else (),
    )


_CANNOT_ALLOCATE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV, errno.ENOSYS)
"""Errors of file systems that cannot preallocate; they do not mean that the disk is full."""


def _mapped(target: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Map a new, preallocated array file: writing to a mapping on a full disk would kill the process.

    Raises:
        OSError: There is not enough room.
    """
    images = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):  # macOS and Windows have none
        with target.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, target.stat().st_size)
            except OSError as error:
                if error.errno not in _CANNOT_ALLOCATE:
                    raise
    return images


def without_copies(source: Path, opened: ImageSource, names: list[str]) -> tuple[list[str], int]:
    """Leave out images that lie a second time in a folder nested in one of its own name.

    The source's own name counts as a folder: an archive unpacked as ``cats`` may hold ``cats`` once more.
    """
    known, kept, copies = set(names), [], 0
    for name in names:
        parts = [source.name, *name.split("/")]
        twins = ["/".join((parts[:i] + parts[i + 1 :])[1:]) for i in range(len(parts) - 2) if parts[i] == parts[i + 1]]
        if any(twin in known and _are_equal(opened, twin, name) for twin in twins):
            copies += 1
        else:
            kept.append(name)
    return kept, copies


def _are_equal(opened: ImageSource, first: str, second: str) -> bool:
    try:
        return opened.read(first) == opened.read(second)
    except DataError:  # unreadable ones are named or skipped when their turn comes
        return False


def _decoded(
    source: Path, opened: ImageSource, names: list[str], transform: Transform
) -> Iterator[tuple[str, NDArray[np.uint8] | DataError, bytes, int]]:
    """Yield every image in order, decoded by several threads.

    Yields:
        Its name, its pixels or why it is skipped, the digest of its file, and how many more frames that has.

    Raises:
        DataError: After the last one: some cannot be used, and are not to be skipped.
    """

    def work(job: tuple[str, bytes | DataError]) -> tuple[NDArray[np.uint8] | DataError, bytes, int]:
        name, data = job
        try:
            if isinstance(data, DataError):
                raise data
            image = decode_square(data, f"{source}/{name}", transform)
            return image, hashlib.sha256(data).digest(), more_frames(data)
        except DataError as error:
            if isinstance(error.__cause__, MemoryError) or isinstance(error, ArchiveError):
                raise
            return type(error)(str(error)), b"", 0  # a new error: the old one's traceback holds the file and its pixels

    faults: dict[str, DataError] = {}
    done, what = 0, f"preparing {len(names):,} images of {printable(source.name)}"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for jobs in _pieces(opened, names, transform.channels * transform.size**2):
            report_progress(what, done / len(names))
            done += len(jobs)
            for (name, _), (found, digest, more) in zip(jobs, pool.map(work, jobs), strict=True):
                if isinstance(found, DataError):
                    faults[printable(name)] = found
                yield name, found, digest, more
    if faults and transform.unreadable == "stop":
        (_, first), *others = faults.items()
        named = some_of([name for name, _ in others], NAMED)
        raise DataError(f"{first}{f'; {len(others):,} more cannot be used: {named}' if others else ''}{_SKIP}")


def _pieces(opened: ImageSource, names: list[str], decoded: int) -> Iterator[list[tuple[str, bytes | DataError]]]:
    """Yield images in pieces of at most ``CHUNK`` and ``CHUNK_BYTES``; an unreadable one as its error.

    An image has ``decoded`` bytes as it is kept.
    """
    piece: list[tuple[str, bytes | DataError]] = []
    size = 0
    for name in names:
        try:
            data: bytes | DataError = opened.read(name)
        except DataError as error:
            data = error
        piece.append((name, data))
        size += max(decoded, len(data) if isinstance(data, bytes) else 0)
        if len(piece) == CHUNK or size >= CHUNK_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
