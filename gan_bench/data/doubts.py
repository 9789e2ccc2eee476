"""What may be wrong with images that are trained on together, as far as the names show of them and of files beside."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from gan_bench.core.errors import DataError
from gan_bench.core.text import plural, printable
from gan_bench.data.image_source import ImageSource
from gan_bench.data.splits import DATA, HELD_OUT, MASKS, TEST, TRAINING, Words, is_split, layout_of, words_of


def doubts(names: Iterable[str]) -> Iterator[str]:
    """Yield what may be wrong with images that are trained on together, as far as their names show.

    Args:
        names: Images of one split, with forward slashes.
    """
    stems: dict[str, list[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        stems.setdefault(folder, []).append(file.rpartition(".")[0])
    held_out = sorted(stem for files in stems.values() for stem in _held_out(files))
    if held_out:
        yield (
            f"held-out images may be among them: the names of {plural(len(held_out), 'image')} begin like "
            f"{printable(held_out[0])}; keep training images in a folder train and those in test"
        )
    yield from itertools.islice(itertools.chain(_masks_beside_images(stems), _folders_of_masks(stems)), 1)


_LISTS = frozenset({".txt", ".csv", ".tsv", ".json", ".jsonl", ".lst"})
_SAYING = TEST | {"val", "valid", "validation", "holdout", "heldout", "split", "splits", "partition", "partitions"}
"""Words that make a file a list of held-out images; ``evaluate`` may be of what was computed."""
_LIKE_SPLITS = re.compile("|".join(("metadata", "h[eo]ld", *_SAYING)))
"""What every name of a list of splits has; labels may be a million."""
_OF_LISTS = _SAYING | HELD_OUT | TRAINING | DATA | {"list", "lists", "id", "ids"}
_READ = 3
"""Files ``metadata`` that are looked into, those of the upper folders: each image may have one."""


def doubts_of_notes(opened: ImageSource, source: str) -> Iterator[str]:
    """Yield that files which are no images tell of held-out ones, where no images are held out.

    Args:
        opened: The images for training, and these files; open.
        source: Named in errors.
    """
    if len(folders := layout_of(opened.names, source).folders) > 1:
        return
    filled = {str(above) for name in opened.names for above in PurePosixPath(name).parents}
    called = {each for each in opened.others if PurePosixPath(each).name.lower() in HELD_OUT}
    empty = sorted(called - filled)
    if folders["train"]:
        if empty:
            yield f"no images are held out: the folder {printable(empty[0])} holds none"
        return
    notes = sorted(note for found in opened.others.values() for note in found if _LIKE_SPLITS.search(note.lower()))
    metadata = sorted(
        (note for note in notes if PurePosixPath(note).stem == "metadata"), key=lambda each: each.count("/")
    )
    first, last = min(opened.names), max(opened.names)
    deep = (
        each for each in empty if PurePosixPath(each).relative_to(os.path.commonpath((first, last, each))).parent.name
    )
    beside = {PurePosixPath(name).stem for name in opened.names} if notes else set()
    found = itertools.chain(
        (each for each in deep if all(map(_is_list, opened.others[each]))),  # labels/val; the upper one says nothing
        (note for note in notes if _says_split(note) and PurePosixPath(note).stem not in beside),
        (each for each in metadata[:_READ] if _has_column(opened, each)),
    )
    for about in itertools.islice(found, 1):
        yield (
            f"held-out images may be among them: {printable(about)} may say which; keep training images in a folder "
            "train and those in test"
        )


def _is_list(note: str) -> bool:
    return PurePosixPath(note).suffix.lower() in _LISTS | {".xml", ".mat", ".npy"}


def _says_split(note: str) -> bool:
    """True for a list whose name says no more than that it is one, and of a held-out split or of a partition."""
    path = PurePosixPath(note)
    words = {each for each in words_of(path.stem) if not each.isdecimal()}
    return path.suffix.lower() in _LISTS and not words.isdisjoint(_SAYING) and words <= _OF_LISTS


_KEY, _BETWEEN = re.compile('"split"\\s*:', re.IGNORECASE), re.compile("[,;\t]")


def _has_column(opened: ImageSource, note: str) -> bool:
    """True for ``metadata.csv`` or one of its kinds whose first line has a column or key of that name."""
    suffix, start = PurePosixPath(note).suffix.lower(), ""
    if suffix in _LISTS:
        with contextlib.suppress(DataError):
            start = opened.read(note)[:4096].decode("utf-8-sig", "replace")
    first = start.partition("\n")[0]
    columns = first.split() if suffix != ".txt" and not _BETWEEN.search(first) else _BETWEEN.split(first)
    is_column = "split" in (each.strip(" \r\"'").lower() for each in columns)
    return _KEY.search(start) is not None if suffix.startswith(".json") else is_column


_SPLIT = re.compile(rf"(?<![^\W\d_])(?:({'|'.join(TRAINING)})|({'|'.join(HELD_OUT)}))(?![^\W\d_])")
_LIKE_MASKS = re.compile("mask|label|annot|gt|ground|seg|trimap", re.IGNORECASE)
"""What every name with a word for masks has."""


def _held_out(stems: Iterable[str]) -> list[str]:
    """Return those of the images of a folder that are called like held-out ones, where others are like training ones.

    What precedes the word for the split is the same in both, numbers aside: ``img_val_0`` beside ``img_train_0``.
    """
    training, held_out = set[str](), list[tuple[str, str]]()
    for stem in stems:
        if found := _SPLIT.search(stem.lower()):
            before = "".join(filter(str.isalpha, stem.lower()[: found.start()]))
            if found[1]:
                training.add(before)
            else:
                held_out.append((before, stem))
    return [stem for before, stem in held_out if before in training]


_THINGS = frozenset({"mask", "masks", "label", "labels", "gt", "gts"})
"""Words for masks that at the end of a name may be of what an image shows, as in ``anna_mask`` and ``mustang gt``."""


def _masks_beside_images(stems: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Yield that images of a folder have the names of others there and a word for masks."""
    for files in stems.values():
        masks = {stem: number for stem in files if _LIKE_MASKS.search(stem) and (number := _number(stem, masks=True))}
        wanted = {*masks.values()}
        images = {number: stem for stem in files if wanted and (number := _number(stem, masks=False)) in wanted}
        found = sorted((mask, images[number]) for mask, number in masks.items() if number in images)
        if len(found) < 2:
            found = _partners(files)
        if len(found) > 1:
            mask, image = map(printable, found[0])
            yield (
                f"masks may be among them: the names of {plural(len(found), 'image')} are those of others but for a "
                f"word, as {mask} and {image}; move them away if they are drawn over these"
            )


def _partners(stems: Collection[str]) -> list[tuple[str, str]]:
    """Return the masks of a folder with the images that they are of, where nearly all others there have one."""
    masks = {stem: _of_mask(stem) for stem in stems if _LIKE_MASKS.search(stem) and _is_like_mask(stem)}
    images = {_without_data_words(stem): stem for stem in stems if masks and stem not in masks}
    found = sorted((mask, images[name]) for mask, name in masks.items() if name in images)
    few = 4 if any(not _THINGS.isdisjoint(words_of(mask)[1:]) for mask, _ in found) else 2
    partners = len({image for _, image in found})
    return found if partners >= max(few, 0.9 * (len(stems) - len(found))) else []


def _is_like_mask(stem: str) -> bool:
    """True if a name begins or ends with a word for masks, numbers aside."""
    words = [each for each in words_of(stem) if not each.isdecimal()]
    return not MASKS.isdisjoint((*words[:1], *words[-1:]))


def _number(stem: str, *, masks: bool) -> Words:
    """Return the numbers of a name that says no more than them and that it is of a mask, or of an image."""
    words = words_of(stem)
    number = tuple(each for each in words if each not in DATA and each not in MASKS)
    return number if all(map(str.isdecimal, number)) and masks == (not MASKS.isdisjoint(words)) else ()


def _folders_of_masks(stems: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Yield that a folder of masks has the names of images in folders whose paths differ in words for data alone.

    These lie beside it, as ``images/cat`` beside ``masks/cat`` and ``annotations/trimaps/cat``, or above it.
    """
    paths = {folder: tuple(folder.split("/")) if folder else () for folder in sorted(stems)}
    masks = {
        each: _without_mask_folders(paths[each])
        for each in paths
        if _LIKE_MASKS.search(each) and any(map(_is_of_masks, paths[each]))
    }
    wanted = {*masks.values()}
    images: dict[Words, tuple[Words, set[Words]]] = {}
    for folder, path in paths.items() if wanted else ():
        if folder not in masks and (place := _without_mask_folders(path)) in wanted:
            ends = tuple(filter(_is_of_data, path))
            short = (stem[: -len(end)] for stem in stems[folder] for end in ends if stem.endswith(end))
            images.setdefault(place, (path, set()))[1].update(
                map(_without_data_words, itertools.chain(stems[folder], short))
            )
    for folder, place in masks.items():
        image, known = images.get(place, ((), set()))
        if known.issuperset(map(_of_mask, stems[folder])):
            mask = paths[folder]
            while mask[-1:] == image[-1:]:  # they end at the folder of masks, if not before
                mask, image = mask[:-1], image[:-1]
            yield (
                f"masks may be among them: the images in {printable('/'.join(mask))} have the names of those in "
                f"{printable('/'.join(image)) or 'the folder above'}; move them away if they are drawn over these"
            )


def _without_mask_folders(path: Words) -> Words:
    """Return a path without the folders of it that are of masks, of data or splits."""
    return tuple(each for each in path if not _is_of_masks(each) and not _is_of_data(each))


def _is_of_masks(name: str) -> bool:
    return not MASKS.isdisjoint(words_of(name))


def _is_of_data(name: str) -> bool:
    of_data = not DATA.isdisjoint(words_of(name)) or is_split(name)
    return of_data and "mask" not in name.lower()  # nor without masks


def _of_mask(stem: str) -> Words:
    """Return the name of the image that a mask is of: what precedes the word for masks, or follows it at the start."""
    words = words_of(stem)
    start = next((place for place, each in enumerate(words) if each in MASKS), len(words))
    return _without_data_words(" ".join(words[:start] or words[start + 1 :]) or stem)


def _without_data_words(stem: str) -> Words:
    return tuple(each for each in words_of(stem) if each not in DATA) or (stem,)
