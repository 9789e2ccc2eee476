"""What may be wrong with images that are trained on together, as far as their names show."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise

from gan_bench.core.text import plural, printable
from gan_bench.data.splits import HELD_OUT, TRAINING, WORD, words_of

Words = tuple[str, ...]


def doubts(names: Iterable[str]) -> Iterator[str]:
    """Yield what may be wrong with images that are trained on together, as far as their names show.

    Args:
        names: Images of one split, with forward slashes.
    """
    stems: dict[Words, set[str]] = {}
    for name in names:
        *folder, file = name.split("/")
        stems.setdefault(tuple(folder), set()).add(file.rpartition(".")[0])
    for files in (stems[folder] for folder in sorted(stems)):
        first = {stem: (words_of(stem) or [""])[0] for stem in map(str.lower, files)}
        held_out = sorted(stem for stem, word in first.items() if word in HELD_OUT)
        if held_out and set(first.values()) & TRAINING:
            yield (
                f"held-out images may be among them: the names of {plural(len(held_out), 'image')} begin like "
                f"{printable(held_out[0])}; keep training images in a folder train and those in test"
            )
        yield from _masks_beside_images(files)
    said: dict[str, str] = {}
    for masks, images in _folders_of_masks(stems):
        said.setdefault(masks, images)
    for masks, images in said.items():
        yield (
            f"masks may be among them: the images in {printable(masks)} have the names of those in "
            f"{printable(images) or 'the folder above'}; move them away if they are drawn over these"
        )


_ONE = ("mask", "label", "annotation", "annot", "gt", "groundtruth", "segmentation", "seg", "trimap", "matte")
_MASKS = frozenset({*_ONE, *(f"{word}s" for word in _ONE)})
"""Words, also as two, of folders and images that may be drawn over others: ``ground_truth``, ``0_label``."""
_IMAGES = frozenset({"image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pic", "frame", "im"})
"""Words that the name of an image may have more than that of its mask."""


def _folders_of_masks(stems: dict[Words, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield folders whose names have words for masks, and whose images those of a folder that differs in these alone.

    That is one beside them, as ``images/cat`` beside ``masks/cat`` and ``annotations/trimaps/cat``, or the one above.
    """
    wanted: dict[tuple[Words, Words], list[tuple[int, Words]]] = {}
    for folder in sorted(stems):
        for start, end in _runs(folder):
            wanted.setdefault((folder[:start], folder[end:]), []).append((end, folder))
    if not wanted:
        return
    for other in sorted(stems, key=lambda folder: (any(map(_is_of_masks, folder)), folder)):
        for start in range(len(other) + 1):
            for end in range(start, min(start + 2, len(other) + 1)):
                for stop, folder in wanted.get((other[:start], other[end:]), ()):
                    if folder != other and _are_of(stems[folder], stems[other], other[start:end]):
                        yield "/".join(folder[:stop]), "/".join(other[:end])


def _runs(folder: Words) -> Iterator[tuple[int, int]]:
    """Yield where names of a path that have words for masks begin and end: each of them, and all in a row."""
    marked = [index for index, name in enumerate(folder) if _is_of_masks(name)]
    for place, start in enumerate(marked):
        for count, end in enumerate(marked[place:]):
            if end == start + count:
                yield start, end + 1


def _is_of_masks(name: str) -> bool:
    """True if a folder may hold masks; one of people with masks or without them does not."""
    words = words_of(name)
    return _mask_at(words) is not None and not {"with", "without", "no", "not"} & set(words)


def _mask_at(words: Collection[str]) -> tuple[int, int] | None:
    """Return where the first word for masks begins and ends, which may be written as two."""
    listed = list(words)
    both = {index: "".join(pair) for index, pair in enumerate(pairwise(listed))}
    for index, word in enumerate(listed):
        if word in _MASKS or both.get(index) in _MASKS:
            return index, index + (1 if word in _MASKS else 2)
    return None


def _are_of(masks: Iterable[str], images: Iterable[str], called: Words) -> bool:
    """True if every name of a mask is that of an image, but for what says that it is one.

    Args:
        masks: Names of images in a folder of masks.
        images: Those of images that they may be drawn over.
        called: The name of the folder of these, which their names may end with: ``0_leftImg8bit``.
    """
    ending = tuple(each for name in called for each in _parts(name))
    known = {form for name in images for form in _forms(_parts(name), ending)}
    return all(not known.isdisjoint({_parts(name), *_forms(_of_mask(_parts(name)), ())}) for name in masks)


def _parts(stem: str) -> Words:
    """Return the words and numbers of a name in small letters, or all of it where it has none."""
    found = re.findall(rf"{WORD}|\d+|[^\W\d_A-Za-z]+", stem)
    return tuple(each.lower() for each in found) if found else (stem,)


def _forms(parts: Words, ending: Words) -> Iterator[Words]:
    """Yield a name as it is, and without the ending or a word at one end that says that it is an image."""
    yield parts
    if ending and len(parts) > len(ending) and parts[-len(ending) :] == ending:
        yield parts[: -len(ending)]
    if len(parts) > 1 and parts[0] in _IMAGES:
        yield parts[1:]
    if len(parts) > 1 and parts[-1] in _IMAGES:
        yield parts[:-1]


def _of_mask(parts: Words) -> Words:
    """Return the name of the image that a mask is of: what follows the word for masks at the start, or precedes it."""
    found = _mask_at(parts)
    if found is None:
        return parts
    start, end = found
    return (parts[:start] if start else parts[end:]) or parts


def _masks_beside_images(stems: Collection[str]) -> Iterator[str]:
    """Yield that several images of a folder have the names of others there, with a word for masks before or behind."""
    parts = {stem: _parts(stem) for stem in stems}
    marked = {stem: _of_mask(each) for stem, each in parts.items() if _ends_as_mask(each)}
    known = {form: stem for stem, each in parts.items() if stem not in marked for form in _forms(each, ())}
    found = sorted(
        {stem: known[form] for stem, each in marked.items() for form in _forms(each, ()) if form in known}.items()
    )
    if len(found) > 1:
        mask, image = map(printable, found[0])
        yield (
            f"masks may be among them: the names of {plural(len(found), 'image')} are those of others but for a word, "
            f"as {mask} and {image}; move them away if they are drawn over these"
        )


def _ends_as_mask(parts: Words) -> bool:
    """True if a name begins with a word for masks, or ends with one and perhaps a number."""
    found = _mask_at(parts)
    return found is not None and (found[0] == 0 or all(each.isdecimal() for each in parts[found[1] :]))
