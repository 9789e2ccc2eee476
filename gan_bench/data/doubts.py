"""What may be wrong with images that are trained on together, as far as the names show of them and of files beside."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from pathlib import PurePosixPath

from gan_bench.core.errors import DataError
from gan_bench.core.text import plural, printable
from gan_bench.data.folder_names import DATA, HELD_OUT, MASKS, TEST, TRAINING, Words, has_masks, is_of_data, words_of
from gan_bench.data.image_source import ImageSource, folders_above
from gan_bench.data.splits import layout_of

_REMEDY = "keep training images in a folder train and those in test"


def doubts(names: Collection[str]) -> Iterator[str]:
    """Yield what may be wrong with images that are trained on together, as far as their names show.

    Args:
        names: Images of one split, with forward slashes.
    """
    if held_out := sorted(_named_held_out(names)):
        yield (
            f"held-out images may be among them: the names of {plural(len(held_out), 'image')} begin like "
            f"{printable(held_out[0])}; {_REMEDY}"
        )
    if len(masks := _masks_with_images(names)) >= FEW:
        mask, image = (printable(name.rpartition(".")[0]) for name in min(masks.values()))
        yield (
            f"masks may be among them: the names of {plural(len(masks), 'image')} are those of others but for a word "
            f"for masks, as {mask} and {image}; move them away if they are drawn over these"
        )


_SPLIT = re.compile(rf"(?<![^\W\d_])(?:({'|'.join(TRAINING)})|({'|'.join(HELD_OUT)}))(?![^\W\d_])")


def _named_held_out(names: Iterable[str]) -> list[str]:
    """Return those of some images that are called like held-out ones, where others in their folder are for training.

    What precedes the word for the split is the same in both, numbers aside: ``img_val_0`` beside ``img_train_0``.
    """
    training, held_out = set[Words](), list[tuple[Words, str]]()
    for name in names:
        folder, _, file = name.rpartition("/")
        stem = file.rpartition(".")[0]
        if found := _SPLIT.search(stem.lower()):
            before = (folder, "".join(filter(str.isalpha, stem.lower()[: found.start()])))
            if found[1]:
                training.add(before)
            else:
                held_out.append((before, stem))
    return [stem for before, stem in held_out if before in training]


FEW = 4
"""Fewest masks that are said: one or two, as ``anna mask``, may be of what an image shows."""
_LIKE_MASKS = re.compile("mask|label|annot|gt|ground|seg|trimap", re.IGNORECASE)
"""What every name with a word for masks has."""


def _masks_with_images(names: Collection[str]) -> dict[tuple[Words, Words], tuple[str, str]]:
    """Return the masks among some images, each with the image that it is of: one of the same subject and no mask.

    Folders that hold all of them tell none apart: ``Kvasir-SEG``.
    """
    ends = min(names, default=""), max(names, default="")
    start = len(os.path.commonpath([name.rpartition("/")[0] for name in ends]))
    masks = {_subject(name): name for name in names if _LIKE_MASKS.search(name, start) and _is_mask(name[start:])}
    images = {_subject(name): name for name in names if masks and not _is_mask(name[start:])}
    return {subject: (mask, images[subject]) for subject, mask in masks.items() if subject in images}


def _is_mask(name: str) -> bool:
    return has_masks(name.rpartition(".")[0].split("/"))


def _subject(name: str) -> tuple[Words, Words]:
    """Return the folders and words of an image's name without those that are for masks, data or splits.

    Of ``masks/cat/1_mask_color`` as of ``images/cat/1`` and ``cat/1`` these are the folder ``cat`` and the word ``1``.
    """
    *folders, stem = name.rpartition(".")[0].split("/")
    kept = []
    for folder in folders:
        if not has_masks((folder,)) and is_of_data(folder):
            stem = stem.replace(folder, "")
        elif not has_masks((folder,)):
            kept.append(folder)
    words = words_of(stem)
    start = next((at for at, each in enumerate(words) if each in MASKS), len(words))
    return tuple(kept), tuple(each for each in words[:start] or words[start + 1 :] if each not in DATA) or (stem,)


_LISTS = frozenset({".txt", ".csv", ".tsv", ".json", ".jsonl", ".lst"})
_SAYING = TEST | {"val", "valid", "validation", "holdout", "heldout", "split", "splits", "partition", "partitions"}
"""Words that make a file a list of held-out images; ``evaluate`` may be of what was computed."""
_LABELS = frozenset({".xml", ".mat", ".npy"})
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
    folders = layout_of(opened.names, source).folders
    if "test" in folders:
        return
    without_images = opened.others.keys() - folders_above(opened.names)
    empty = sorted(each for each in without_images if PurePosixPath(each).name.lower() in HELD_OUT)
    if folders["train"]:
        yield from (f"no images are held out: the folder {printable(each)} holds none" for each in empty[:1])
        return
    notes = sorted(note for found in opened.others.values() for note in found if _LIKE_SPLITS.search(note.lower()))
    metadata = sorted(
        (each for each in notes if PurePosixPath(each).stem == "metadata"), key=lambda each: each.count("/")
    )
    with_column = (each for each in metadata[:_READ] if _has_column(opened, each))
    found = chain(_folders_of_lists(opened, empty), _lists_of_splits(opened, notes), with_column)
    for about in islice(found, 1):
        yield f"held-out images may be among them: {printable(about)} may say which; {_REMEDY}"


def _folders_of_lists(opened: ImageSource, folders: Iterable[str]) -> Iterator[str]:
    """Yield those of some folders without images that hold lists alone: ``labels/val``, and no ``val`` at the top."""
    ends = min(opened.names), max(opened.names)
    for folder in folders:
        is_below = PurePosixPath(folder).relative_to(os.path.commonpath((*ends, folder))).parent.name
        if is_below and all(PurePosixPath(note).suffix.lower() in _LISTS | _LABELS for note in opened.others[folder]):
            yield folder


def _lists_of_splits(opened: ImageSource, notes: Collection[str]) -> Iterator[str]:
    """Yield the lists whose names say no more than that they are some, and of a held-out split or of a partition."""
    images = {PurePosixPath(name).stem for name in opened.names} if notes else set()
    for path in map(PurePosixPath, notes):
        words = {each for each in words_of(path.stem) if not each.isdecimal()}
        if path.suffix.lower() in _LISTS and words & _SAYING and words <= _OF_LISTS and path.stem not in images:
            yield str(path)


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
