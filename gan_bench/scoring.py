"""``score`` and ``data stats``: the same scores for images from elsewhere."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from gan_bench.config.image_folder import DataRoot, Transform
from gan_bench.core.errors import DataError, UserError, writing
from gan_bench.core.registry import did_you_mean
from gan_bench.core.text import as_typed, odd_path, plural, printable
from gan_bench.data.datasets import DATASETS, ImageSet, load, remarks_on
from gan_bench.data.image_files import ONE_SIZE, decode
from gan_bench.data.image_folders import Prepared, named_by_no_suite, prepare_images, without_suites
from gan_bench.data.image_source import ImageSource, open_source
from gan_bench.data.splits import layout_of
from gan_bench.metrics.evaluator import Evaluator, generated_chunks
from gan_bench.metrics.extractors import EXTRACTORS, load_extractor
from gan_bench.metrics.features import PART, Extractor
from gan_bench.metrics.reference import Reference, chunks, compute, export_moments, import_moments, reference
from gan_bench.randomness import random_order
from gan_bench.records.json_files import is_gone
from gan_bench.records.layout import TRIAL
from gan_bench.records.outputs import check_output
from gan_bench.records.record import Score
from gan_bench.sampling import Generator, load_generator

SIZES = (8, 1024)
"""Least and greatest size to which files are scaled."""
DRAWN = 10_000
"""Images drawn from a generator by default: as many as the shipped suites score."""


@dataclass(frozen=True)
class ImageSetInfo:
    """Facts about the scored images, or those that they are compared with.

    Attributes:
        label: What they are called.
        channels: 1 where all are grey, else 3.
        size: Width and height.
        files: Digests of the files that they are read from.
    """

    label: str
    channels: int
    size: tuple[int, int]
    files: frozenset[str] = frozenset()

    @property
    def pixels(self) -> str:
        """Width and height as people write them."""
        return f"{self.size[0]}x{self.size[1]}"


@dataclass(frozen=True, kw_only=True)
class ImagesToScore:
    """Images to score.

    Attributes:
        info: What is known of them.
        count: How many.
        chunks: Gives them, as (n, C, H, W) uint8.
        seed: Seeds the subsets of the extrapolated FID: that of the generator's trial.
    """

    info: ImageSetInfo
    count: int
    chunks: Callable[[], Iterable[Tensor]]
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The reference of a comparison.

    Attributes:
        named: How they were named, a dataset with its split.
        info: What is known of them; None of statistics from a file, which do not say.
        reference: Gives their statistics under an extractor.
        class_extractor: Name of the extractor that knows the classes of a dataset.
        held_out: Real images outside the training split of a dataset.
    """

    named: str
    info: ImageSetInfo | None
    reference: Callable[[Extractor], Reference]
    class_extractor: str | None = None
    held_out: ImageSet | None = None


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Images to score and their reference; nothing is scored yet.

    Attributes:
        generated: The images that are scored.
        against: What they are compared with.
        extractors: What sees them.
        remarks: What of the files was left out, and why the scores may say little, in lines.
    """

    generated: ImagesToScore
    against: Compared
    extractors: list[Extractor]
    remarks: tuple[str, ...]

    def scores(self) -> list[Score]:
        """Score them with every extractor, which may take minutes."""
        drawn = self.generated
        return self._evaluator().score(drawn.chunks(), drawn.count, drawn.seed)

    def real(self) -> list[Score]:
        """Score as many held-out real images in the same way: approximately what a perfect generator would reach.

        Returns:
            Nothing where the reference is no training split of a dataset that has held-out images.
        """
        if (held_out := self.against.held_out) is None:
            return []
        return self._evaluator().score_images(held_out.images, min(self.generated.count, len(held_out.images)))

    def _evaluator(self) -> Evaluator:
        references = {each.name: self.against.reference(each) for each in self.extractors}
        return Evaluator(self.extractors, references, self.against.class_extractor)


def prepare(
    generated: str | Tensor | Generator,
    against: str,
    extractors: list[str],
    root: DataRoot,
    device: torch.device,
    samples: int | None = None,
    *,
    size: int | None = None,
    allow_plugins: bool = False,
) -> Scoring:
    """Read images from any source, and their reference.

    Args:
        generated: A folder or zip of images, a ``generator.safetensors`` in its record directory, a loaded generator,
            or (N, C, H, W) uint8 images.
        against: A dataset with or without its split (``mnist``, ``mnist:test``), a folder or zip of images, or an
            ``.npz`` with ``mu`` and ``sigma`` (FID and IS only).
        extractors: Names; when empty, the shipped one for the images' channels.
        root: The data folder.
        device: What computes.
        samples: Images to score: drawn from a generator, of the noise that its trial was scored on, or picked at
            random from the others. None draws ``DRAWN``, or takes all that there are.
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
    one_name = isinstance(generated, str) and _named_path(generated).name == _named_path(against).name
    dataset = DATASETS.get(against.partition(":")[0])
    other = dataset.size if dataset else None
    drawn, left_out = _generated(generated, device, samples, size, other, whole_path=one_name)
    if not isinstance(generated, str) and size not in (None, drawn.info.size[1]):
        what = "generator makes" if isinstance(generated, Generator) else "array holds"
        raise UserError(
            f"the {what} images of {drawn.info.pixels}, and size={size} scales files alone; size={drawn.info.size[1]} "
            "brings those that they are compared with to theirs"
        )
    fitting = [name for name, entry in EXTRACTORS.shipped().items() if entry.channels == drawn.info.channels]
    names = list(dict.fromkeys(extractors)) or fitting
    if several := next((name for name in names if "," in name), None):
        raise UserError(f'"{several}" is no extractor; name each with an --extractor of its own (a list in Python)')
    loaded = [load_extractor(name, device) for name in names]
    channels = drawn.info.channels if isinstance(generated, Generator) else None
    compared, more = _compared_with(against, root, drawn.info, size, channels, whole_path=one_name)
    of_files = isinstance(generated, str) and size is not None
    remarks = scoring_remarks(drawn.info, compared.info, against, names, scaled=of_files)
    said = (*left_out, *more, *remarks)
    return Scoring(generated=drawn, against=compared, extractors=loaded, remarks=said)


def _is_generator(path: Path) -> bool:
    """True for the weights of one and for a record, whose sample grids are no images to score."""
    return path.suffix == ".safetensors" or os.path.isfile(path / TRIAL)  # noqa: PTH113 - Path's raises if closed


def scoring_remarks(
    generated: ImageSetInfo, against: ImageSetInfo | None, named: str, extractors: list[str], *, scaled: bool = False
) -> Iterator[str]:
    """Yield why scores may say little: an extractor that was made for other images, or images of two sizes.

    Args:
        generated: What is scored.
        against: What it is compared with; None of statistics, which do not say.
        named: How that was named.
        extractors: Names.
        scaled: Whether what is scored was brought to its size because that was asked for.
    """
    is_dataset = named.partition(":")[0] in DATASETS
    if named in DATASETS and Path(named).exists():
        yield f"{named} is the dataset of that name; {Path(named).name} in this folder is ./{named}"
    if against and generated.size != against.size:
        label = against.label
        if is_dataset and scaled:
            yield f"{label} is brought from {against.pixels} to {generated.pixels}, the size that was asked for"
        elif is_dataset:
            yield f"{generated.label} is {generated.pixels}, so {label} is brought to that size from {against.pixels}"
        else:
            least = _fitting_size(min(generated.size), None)
            yield (
                f"{generated.label} is {generated.pixels} and {label} {against.pixels}: a difference in size "
                f"counts as one in what they show; bring both to one size, for example with --size {least} "
                f"(size={least} from Python)"
            )
    if against and (same := len(generated.files & against.files)):
        yield (
            f"{same:,} of {plural(len(generated.files), 'different file')} of {generated.label} "
            f"{'is' if same == 1 else 'are'} in {against.label}, too: copies score as real images do"
        )
    for name in extractors:
        channels = EXTRACTORS[name].channels
        others = [side for side in (generated, against) if side and channels not in (None, side.channels)]
        if others:
            yield (
                f"{name} is made for images of {plural(channels or 0, 'channel')}, and "
                f"{' and '.join(side.label for side in others)} {'has' if len(others) == 1 else 'have'} "
                f"{others[0].channels}: these scores say little; name another one with --extractor"
            )


def export(dataset: str, extractor: str, root: DataRoot, device: torch.device, out: Path) -> int:
    """Write the moments of a dataset's split as an ``.npz`` with ``mu`` and ``sigma``.

    Returns:
        The number of images.

    Raises:
        UserError: A name is unknown, data are missing, or the file cannot be written or is there and is no such file.
    """
    check_output(out.parent, [out.name], "export of moments", _is_export)
    loaded = load_extractor(extractor, device)
    found = _dataset(dataset, root)[0].reference(loaded)
    with writing(out, "another place"):
        export_moments(out, found.moments)
    return found.moments.count


def _is_export(file: Path) -> bool:
    """True if a file holds what ``export_moments`` writes, and nothing else; other packages write no count."""
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(file) as opened:
        return set(opened.namelist()) == {"mu.npy", "sigma.npy", "count.npy"}
    return False


def _generated(
    generated: str | Tensor | Generator,
    device: torch.device,
    samples: int | None,
    size: int | None,
    other: int | None,
    *,
    whole_path: bool,
) -> tuple[ImagesToScore, list[str]]:
    """Return the images to score, and what of their files was left out."""
    if isinstance(generated, Generator):
        channels, height, width = generated.image_shape
        config, count = generated.config, samples or DRAWN
        network = generated.to(device)

        def draw() -> Iterator[Tensor]:
            return generated_chunks(network, config, count, "evaluation/0")

        info = ImageSetInfo("the generator", channels, (width, height))
        return ImagesToScore(info=info, count=count, chunks=draw, seed=config.seed), []
    if isinstance(generated, Tensor):
        info, images, left_out = _info_of("the array of images", generated), generated, list[str]()
    else:
        if not generated.strip():
            raise UserError("name the images to score: a folder, a zip file or a generator.safetensors")
        info, images, left_out = _read_images(generated, size, other, whole_path=whole_path)
    label = info.label
    if len(images) < 2:
        raise UserError(f"{label} holds {plural(len(images), 'image')}, and scores need at least 2; give more of them")
    if samples and samples > len(images):
        raise UserError(f"{label} holds {plural(len(images), 'image')}, fewer than --samples {samples} (samples=)")
    order = random_order(len(images), samples)
    return ImagesToScore(info=info, count=len(order), chunks=lambda: chunks(images, order)), left_out


def _info_of(label: str, images: Tensor, files: Iterable[str] = ()) -> ImageSetInfo:
    _, channels, height, width = images.shape
    if min(height, width) < SIZES[0]:
        least = f"{SIZES[0]}x{SIZES[0]}"
        raise UserError(f"{label} holds images of {width}x{height}, and scores need {least} at least; take larger ones")
    return ImageSetInfo(label, channels, (width, height), frozenset(files))


def _named_path(text: str) -> Path:
    """Return a path whose last part is a name, which . and .. are not."""
    path = Path(text)
    return path.resolve() if path.name in ("", "..") else path


def _label(path: str, *, whole_path: bool) -> str:
    return printable(path if whole_path else _named_path(path).name or path)


def without_equal_channels(images: Tensor) -> Tensor:
    """Return (N, 1, H, W) of images whose three channels are equal, which are grey; others as they are."""
    parts = torch.split(images, PART)  # large sets need not be in memory twice
    is_grey = images.shape[1] == 3 and all(bool((part == part[:, :1]).all()) for part in parts)
    return images[:, :1].contiguous() if is_grey else images


def _read_images(
    named: str, size: int | None, other: int | None, channels: int | None = None, *, whole_path: bool
) -> tuple[ImageSetInfo, Tensor, list[str]]:
    """Read a folder or zip as ``_prepared`` does, with remarks.

    They have the channels of the generator that they are compared with, as in a run; else colour where there is any.
    """
    path = _named_path(named)
    with named_by_no_suite():
        prepared = _prepared(path, size, other)
    name = printable(path.name)
    count, *others = prepared.contents()
    told = [count, *others] if prepared.distinct < len(prepared.images) else others
    said = [f"{name}: {without_suites(line)}" for line in told]
    with open_source(path) as opened:
        said += (f"{name}: {each}" for each in _of_splits(opened.names, name))
    images = without_equal_channels(torch.from_numpy(prepared.images))
    if channels == 1 < images.shape[1]:
        images = torch.from_numpy(_prepared(path, size, other, channels).images)
        said.append(f"{name} has colours, and is brought to grey, as the generator's images are")
    if channels == 3:
        images = images.expand(-1, channels, -1, -1)
    return _info_of(_label(named, whole_path=whole_path), images, prepared.digests), images, said


def _of_splits(names: list[str], label: str) -> Iterator[str]:
    """Yield that images of splits, or of folders that may be some, are counted together."""
    try:
        layout = layout_of(names, label)
    except DataError as error:
        yield f"all images are counted together, and {str(error).partition(';')[0]}; name the folder of one split"
        return
    if len(layout.folders) > 1:
        yield "all splits are counted together; name the folder of one"
    for doubt in layout.doubts:
        what = doubt.partition(";")[0].replace("are trained on", "are counted, too")
        yield f"{what}; name the folder of the others if they are held out"


def _prepared(path: Path, size: int | None, other: int | None, channels: int = 3) -> Prepared:
    """Prepare a folder or zip: scaled to a size, or unscaled if most of the first images have one square size.

    Errors propose the size of what they are compared with, where that is known.
    """
    with open_source(path) as opened:
        if not opened.names and path.suffix.lower() in (".npz", ".npy"):
            raise DataError(f"{path} holds no images; pass its array to gb.score in Python")
        opened.require_images(path)
        sizes = Counter(islice(_sizes(opened, path), 0 if size else LOOKED_AT))
    ((width, height), count), *_ = sizes.most_common(1) or [((size or SIZES[0],) * 2, 0)]
    if width != height or 4 * count < 3 * sizes.total():
        found = ", ".join(f"{width}x{height}" for width, height in list(sizes)[:3])
        raise DataError(
            f"the images of {path} are {found}; --size {_fitting_size(min(map(min, sizes)), other)} scales and crops "
            f"them to squares (size=N from Python){'' if other else '; take the size of what they are compared with'}"
        )
    try:
        return prepare_images(path, None, Transform(size=width, channels=channels, crop="center" if size else "none"))
    except DataError as error:
        remedy = f"remove it, or --size {_fitting_size(width, other)} scales and crops all of them (size=N from Python)"
        raise DataError(str(error).replace(ONE_SIZE, remedy)) from error.__cause__


def _sizes(opened: ImageSource, path: Path) -> Iterator[tuple[int, int]]:
    """Yield the sizes of images that can be decoded."""
    for name in opened.names:
        with suppress(DataError):
            yield decode(opened.read(name), f"{path}/{name}", 3).size


def _fitting_size(side: int, other: int | None) -> int:
    """Return a size to suggest: that of the reference if it is known, else the images' own."""
    return min(max(other or side, SIZES[0]), SIZES[1])


LOOKED_AT = 16
"""First images whose sizes are examined."""


def _dataset(named: str, root: DataRoot, size: int | None = None) -> tuple[Compared, list[str]]:
    """Read a split of a dataset, scaled to the size of the images that are compared with it.

    Returns:
        It, and what is wrong with the dataset's images, as ``remarks_on`` yields it.
    """
    name, _, asked = named.partition(":")
    entry, split = DATASETS[name], asked or "train"
    if split not in entry.counts:
        raise UserError(f'{name} has no split "{as_typed(split)}", only {", ".join(entry.counts)}')
    splits = {known: load(name, root, known, size or entry.size) for known in entry.counts}
    images, held_out = splits[split], splits.get("test") if split == "train" else None
    found = Compared(
        named=f"{name}:{split}",
        info=ImageSetInfo(name, entry.channels, (entry.size, entry.size)),
        reference=partial(reference, images, held_out, split),
        class_extractor=entry.class_extractor,
        held_out=held_out,
    )
    return found, list(remarks_on(entry, root.path, {known: each.images for known, each in splits.items()}))


def _moments(path: Path, extractor: Extractor) -> Reference:
    """Read statistics from a file, for an extractor of as many features."""
    return Reference(printable(path.stem), import_moments(path, extractor.feature_dim)).to(extractor.device)


def _compared_with(
    against: str, root: DataRoot, generated: ImageSetInfo, size: int | None, channels: int | None, *, whole_path: bool
) -> tuple[Compared, list[str]]:
    """Read the reference of a comparison, in a generator's channels, and what was omitted of its files."""
    if against.partition(":")[0] in DATASETS:
        return _dataset(against, root, generated.size[1])
    path = _named_path(against)
    if path.suffix.lower() == ".npy":
        raise UserError(f"{path} is one array; statistics are an .npz with the arrays mu and sigma")
    if path.suffix.lower() == ".npz":
        return Compared(named=printable(against), info=None, reference=partial(_moments, path)), []
    if is_gone(path):
        splits = (f"{name}:{split}" for name, entry in DATASETS.shipped().items() for split in entry.counts)
        meant = did_you_mean(against.replace("/", ":"), [*DATASETS, *splits])
        remedy = odd_path(against) or (meant if meant.startswith("did") else "")
        raise UserError(
            f'"{against}" is neither a dataset ({", ".join(DATASETS)}) nor a folder, zip or .npz file'
            f"{remedy and f'; {remedy}'}"
        )
    info, images, left_out = _read_images(against, size, generated.size[1], channels, whole_path=whole_path)
    if len(images) < 2:
        raise DataError(f"{path} has 1 image, and scores compare with at least two; name a folder of more")
    name = printable(path.stem)
    found = partial(compute, images, None, name)
    return Compared(named=printable(against), info=info, reference=found), left_out
