"""``score`` and ``stats``: the same scores for people who trained elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_bench.config.image_folder import DataRoot, Transform
from gan_bench.core.errors import DataError, UserError
from gan_bench.core.text import as_typed, plural, printable
from gan_bench.data.datasets import DATASETS, load
from gan_bench.data.image_files import decode
from gan_bench.data.image_folders import Prepared, named_by_no_suite, prepare_images
from gan_bench.data.image_source import ImageSource, open_source
from gan_bench.data.splits import layout_of
from gan_bench.metrics.evaluator import Evaluator, generated_chunks
from gan_bench.metrics.extractors import EXTRACTORS, load_extractor
from gan_bench.metrics.features import Extractor
from gan_bench.metrics.reference import Reference, chunks, compute, export_moments, import_moments, reference
from gan_bench.randomness import shuffled
from gan_bench.records.layout import TRIAL
from gan_bench.records.record import Score
from gan_bench.sampling import Generator, load_generator


@dataclass(frozen=True)
class Scoring:
    """What a scoring came to.

    Attributes:
        scores: The scores.
        remarks: What of the files was left out, and why the scores may say little, in lines.
        size: Height and width at which images were compared.
    """

    scores: tuple[Score, ...]
    remarks: tuple[str, ...]
    size: int


def score(
    generated: str | Tensor | Generator,
    against: str,
    extractors: list[str],
    root: DataRoot,
    device: torch.device,
    samples: int,
    *,
    size: int | None = None,
    allow_plugins: bool = False,
) -> Scoring:
    """Score images made anywhere.

    Args:
        generated: A folder or zip of images, a ``generator.safetensors`` in its record directory, a loaded generator,
            or (N, C, H, W) uint8 images.
        against: A dataset with or without its split (``mnist``, ``mnist:test``), a folder or zip of images, or an
            ``.npz`` with ``mu`` and ``sigma`` (FID and IS only).
        extractors: Names; when empty, the shipped one for the images' channels.
        root: The data folder.
        device: What computes.
        samples: Images to draw from a generator, of the noise that its trial was scored on.
        size: Height and width to which files are scaled and cropped; None takes them as they are, all of one size.
            Of an array or a generator it is their own, to which the files that they are compared with are brought.
        allow_plugins: Whether the local file that a generator's architecture is of may run.

    Raises:
        UserError: Something named is not there or does not fit.
    """
    if isinstance(generated, str) and _is_generator(Path(generated)):
        generated = load_generator(Path(generated), allow_plugins=allow_plugins)
    if not against.strip():
        raise UserError(
            f"name what the images are compared with: a dataset ({', '.join(DATASETS)}), a folder, zip or .npz"
        )
    drawn = _generated(generated, device, samples, size)
    if size not in (None, drawn.size):
        what = "generator makes" if isinstance(generated, Generator) else "array holds"
        raise UserError(
            f"the {what} images of {drawn.size}x{drawn.size}, and size={size} scales files alone; size={drawn.size} "
            "brings those that they are compared with to theirs"
        )
    fitting = [name for name, entry in EXTRACTORS.shipped().items() if entry.channels == drawn.channels]
    names = list(dict.fromkeys(extractors)) or fitting
    loaded = [load_extractor(name, device) for name in names]
    references, class_extractor, left_out = _references(against, loaded, root, drawn, size)
    scores = Evaluator(loaded, references, class_extractor).score(drawn.chunks, drawn.count, drawn.seed)
    remarks = scoring_remarks(generated, against, names, resized=size is not None)
    return Scoring(tuple(scores), (*drawn.left_out, *left_out, *remarks), drawn.size)


def real(
    against: str, extractors: list[str], root: DataRoot, device: torch.device, count: int, size: int
) -> list[Score]:
    """Score held-out real images in the same way: about what a perfect generator would reach.

    Args:
        against: What the generated images were set against.
        extractors: Names.
        root: The data folder.
        device: What computes.
        count: How many images, at most.
        size: Height and width at which they are compared.

    Returns:
        Nothing where the reference is no training split of a dataset that has held-out images.
    """
    name, _, split = against.partition(":")
    if name not in DATASETS or split not in ("", "train") or "test" not in DATASETS[name].counts:
        return []
    dataset, loaded = DATASETS[name], [load_extractor(each, device) for each in extractors]
    held_out = load(name, root, "test", size).images
    references = {each.name: _dataset_reference(name, each, root, size) for each in loaded}
    return Evaluator(loaded, references, dataset.class_extractor).score_images(held_out, min(count, len(held_out)))


def _is_generator(path: Path) -> bool:
    """Whether it is a recorded generator or its record, whose sample grids are no images to score."""
    return path.suffix == ".safetensors" or (path / TRIAL).is_file()


def _holds_images(path: Path) -> bool:
    """Whether a path that is scored is a folder or a zip file, whatever its name."""
    return path.is_dir() or (path.is_file() and path.suffix.lower() != ".npz" and not _is_generator(path))


LOOKED_AT = 16
"""Images at the beginning that are looked at for their size, and of all, evenly spread, for colours."""


def scoring_remarks(
    generated: str | Tensor | Generator, against: str, extractors: list[str], *, resized: bool = False
) -> Iterator[str]:
    """Yield why scores may say little: an extractor that was made for other images, or images of two sizes.

    Args:
        generated: What was scored: a path, images (N, C, H, W), or a generator.
        against: What it was compared with.
        extractors: Names.
        resized: Whether images of files were brought to one size.
    """
    name = against.partition(":")[0]
    if against in DATASETS and Path(against).exists():
        yield f"{against} is the dataset of that name; {Path(against).name} in this folder is ./{against}"
    found = {name: DATASETS[name].channels} if name in DATASETS else {}
    if not isinstance(generated, str):
        found[_label(generated)] = _shape(generated)[0]
    paths = [generated] if isinstance(generated, str) else []
    for path in map(Path, paths if name in DATASETS else [*paths, against]):
        if _holds_images(path):
            found[printable(path.name)] = 3 if _has_colours(path) else 1
    if not resized:
        yield from _size_remarks(generated, against)
    for each in extractors:
        channels = EXTRACTORS[each].channels
        for what, there in found.items():
            if channels not in (None, there):
                yield (
                    f"{each} is made for images of {plural(channels or 0, 'channel')}, and {what} has {there}: these "
                    "scores say little; name another one with --extractor"
                )


def _label(generated: Tensor | Generator) -> str:
    return "the array of images" if isinstance(generated, Tensor) else "the generator"


def _shape(generated: Tensor | Generator) -> tuple[int, int, int]:
    channels, height, width = generated.shape[1:] if isinstance(generated, Tensor) else generated.image_shape
    return int(channels), int(height), int(width)


def _size_remarks(generated: str | Tensor | Generator, against: str) -> Iterator[str]:
    """Yield that two sides are of different sizes: a dataset is brought to that of the images, files are not."""
    sides: list[tuple[str, tuple[int, int]]] = []
    if not isinstance(generated, str):
        sides.append((_label(generated), _shape(generated)[1:]))
    texts = (generated, against) if isinstance(generated, str) else (against,)
    for text in texts:
        path, name = Path(text), text.partition(":")[0]
        if name in DATASETS and text == against:
            sides.append((name, (DATASETS[name].size,) * 2))
        elif _holds_images(path):
            label = text if len({Path(each).name for each in texts}) < len(texts) else path.name
            with open_source(path) as opened:
                sides.append((printable(label), next(_sizes(path, opened), (0, 0))))
    if len(sides) < 2 or sides[0][1] == sides[1][1]:
        return
    (first, a), (second, b) = sides
    if against.partition(":")[0] in DATASETS:
        yield f"{first} is {a[0]}x{a[1]}, so {second} is brought to that size from {b[0]}x{b[1]}"
        return
    yield (
        f"{first} is {a[0]}x{a[1]} and {second} {b[0]}x{b[1]}: a difference in size counts as one in what they show; "
        f"bring both to one size, for example with --size {min(a)} (size={min(a)} from Python)"
    )


def _has_colours(path: Path) -> bool:
    """True if one of some images of a folder or zip file is not grey."""
    with open_source(path) as opened:
        for name in opened.names[:: -(-len(opened.names) // (4 * LOOKED_AT)) or 1]:
            pixels = np.asarray(decode(opened.read(name), f"{path}/{name}", 3))
            if (pixels != pixels[..., :1]).any():
                return True
    return False


def export(dataset: str, extractor: str, root: DataRoot, device: torch.device, out: Path) -> int:
    """Write the moments of a dataset's split as an ``.npz`` with ``mu`` and ``sigma``.

    Returns:
        The number of images.

    Raises:
        UserError: A name is unknown, data are missing, or the file cannot be written.
    """
    loaded = load_extractor(extractor, device)
    found = _dataset_reference(dataset, loaded, root)
    try:
        export_moments(out, found.moments)
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); choose another place with --out") from None
    return found.moments.count


@dataclass(frozen=True)
class _Drawn:
    """Images to score: chunks of them, how many, their channels, size and seed of their trial, what was left out."""

    chunks: Iterable[Tensor]
    count: int
    channels: int
    size: int
    seed: int = 0
    left_out: tuple[str, ...] = ()


def _generated(generated: str | Tensor | Generator, device: torch.device, samples: int, size: int | None) -> _Drawn:
    if isinstance(generated, Generator):
        config = generated.config
        drawn = generated_chunks(generated.network.to(device), config, samples, "evaluation/0")
        return _Drawn(drawn, samples, generated.image_shape[0], config.image_size, config.seed)
    if isinstance(generated, Tensor):
        return _Drawn(chunks(shuffled(generated)), len(generated), generated.shape[1], generated.shape[2])
    if not generated.strip():
        raise UserError("name the images to score: a folder, a zip file or a generator.safetensors")
    images, left_out = _images_of(Path(generated), size)
    return _Drawn(chunks(shuffled(images)), len(images), images.shape[1], images.shape[2], left_out=tuple(left_out))


def without_equal_channels(images: Tensor) -> Tensor:
    """Return (N, 1, H, W) of images whose three channels are equal, which are grey; others as they are."""
    is_grey = images.shape[1] == 3 and bool((images == images[:, :1]).all())
    return images[:, :1].contiguous() if is_grey else images


def _images_of(path: Path, size: int | None) -> tuple[Tensor, list[str]]:
    """Read a folder or zip as ``_prepared`` does, in colour where there is any, and say what was left out."""
    with named_by_no_suite():
        prepared = _prepared(path, size)
    name = printable(path.name)
    said = [f"{name}: {line}" for line in list(prepared.contents())[1:]]
    with open_source(path) as opened, contextlib.suppress(DataError):
        layout = layout_of(opened.names, str(path))
        if len(layout.splits) > 1:
            one = f"name {path / layout.folders['train']}" if path.is_dir() else "unpack it, and name the folder of one"
            said.append(f"{name}: all splits are counted together; {one}")
    return without_equal_channels(torch.from_numpy(prepared.images)), said


def _prepared(path: Path, size: int | None) -> Prepared:
    """Prepare a folder or zip: to a size, or images that all have that of the first."""
    with open_source(path) as opened:
        sizes = dict.fromkeys(_sizes(path, opened)) if size is None else {}
        if not opened.names:
            arrays = path.suffix.lower() in (".npz", ".npy")
            hint = "pass its array to gb.score in Python" if arrays else "name a folder or zip file of images"
            raise DataError(f"{path} holds no images; {hint}")
    if len(sizes) > 1 or any(width != height for width, height in sizes):
        found = ", ".join(f"{width}x{height}" for width, height in list(sizes)[:3])
        raise DataError(
            f"the images of {path} are {found}; --size {min(map(min, sizes))} scales and crops them to squares (size=N "
            "from Python); take the size of what they are compared with"
        )
    side, crop = (size, "center") if size else (next(iter(sizes))[0], "none")
    try:
        return prepare_images(path, None, Transform(size=side, channels=3, crop=crop))  # type: ignore[arg-type]
    except DataError as error:
        hint = f"; --size {side} scales and crops all of them" if "pixels, not" in str(error) else ""
        raise DataError(f"{str(error).partition(';')[0]}{hint}" if hint else str(error)) from None


def _sizes(path: Path, opened: ImageSource) -> Iterator[tuple[int, int]]:
    """Yield the sizes of the first images."""
    for name in opened.names[:LOOKED_AT]:
        yield decode(opened.read(name), f"{path}/{name}", 3).size


def _references(
    against: str, extractors: list[Extractor], root: DataRoot, drawn: _Drawn, size: int | None
) -> tuple[dict[str, Reference], str | None, list[str]]:
    """Return statistics by extractor, the extractor that knows the classes, and what of files was left out."""
    name = against.partition(":")[0]
    if name in DATASETS:
        found = {e.name: _dataset_reference(against, e, root, drawn.size) for e in extractors}
        return found, DATASETS[name].class_extractor, []
    path = Path(against)
    if path.suffix == ".npy":
        raise UserError(f"{path} is one array; statistics are an .npz with the arrays mu and sigma")
    if path.suffix.lower() == ".npz":
        moments = {e.name: import_moments(path, e.feature_dim) for e in extractors}
        return {e.name: Reference(printable(path.stem), moments[e.name]).to(e.device) for e in extractors}, None, []
    if not path.exists():
        raise UserError(f'"{against}" is neither a dataset ({", ".join(DATASETS)}) nor a folder, zip or .npz file')
    images, left_out = _images_of(path, size)
    if len(images) < 2:
        raise DataError(f"{path} has 1 image, and scores compare with at least two; name a folder of more")
    return {e.name: compute(images, None, printable(path.stem), e) for e in extractors}, None, left_out


def _dataset_reference(name: str, extractor: Extractor, root: DataRoot, size: int | None = None) -> Reference:
    dataset, _, asked = name.partition(":")
    split = asked or "train"
    entry = DATASETS[dataset]
    if split not in entry.counts:
        raise UserError(f'{dataset} has no split "{as_typed(split)}", only {", ".join(entry.counts)}')
    images = {known: load(dataset, root, known, size or entry.size) for known in entry.counts}
    held_out = images.get("test") if split == "train" else None
    return reference(next(p for known, p in images.items() if known == split), held_out, split, extractor)
