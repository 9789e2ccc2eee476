"""What the names of folders say of splits, masks and classes: facts about each, and what lies beside it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from gan_bench.core.text import plural

Words = tuple[str, ...]

TRAINING = frozenset({"train", "training", "trainval", "trn"})
TEST = frozenset({"test", "tests", "testing", "tst"})
HELD_OUT = (
    TEST
    | {"val", "vals", "vali", "valid", "validate", "validating", "validation", "validations", "dev", "eval", "evals"}
    | {"evaluate", "evaluating", "evaluation", "evaluations", "holdout", "heldout"}
)
"""Names of folders that are splits, in small letters, without blanks, hyphens, underscores and ``set`` at the end."""
BESIDE_TRAINING = frozenset({"development", "unseen", "query", "gallery", "probe"})
"""Names of held-out folders where a training folder and no class lies beside them; elsewhere they may be classes."""
DATA = frozenset(
    {"data", "dataset", "datasets", "set", "sets", "split", "splits", "folder", "files", "sample", "samples", "rgb"}
    | {"image", "images", "img", "imgs", "im", "photo", "photos", "picture", "pictures", "pic", "pics", "frame"}
    | {"frames", "jpg", "png", "input", "inputs", "original", "originals"}
)
"""Words that say no more than that something holds data."""
_MASKS = ("mask", "label", "annotation", "gt", "groundtruth", "segmentation", "seg", "trimap")
MASKS = frozenset({*_MASKS, *(f"{word}s" for word in _MASKS)})
"""Words of folders and images that may be drawn over others."""


def _pattern(words: Collection[str]) -> str:
    """Return a pattern of words, each perhaps with one of data, ``a`` or ``b`` written to it."""
    data = "|".join(DATA)
    return f"(?:{data})?(?:{'|'.join(words)})(?:{data}|[ab])?"


_SURE = re.compile(f"(?P<train>{_pattern(TRAINING)})|(?P<test>{_pattern(HELD_OUT)})")
_MAYBE = re.compile(f"(?P<train>{_pattern(TRAINING)}|tr)|(?P<test>{_pattern(HELD_OUT | BESIDE_TRAINING)}|te|ts)")
"""Words for splits, without and with those that may be languages or classes."""
_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])|\d+")
_IN_TWO = re.compile(r"\b(hold|held|ground) (out|truth)\b")


@lru_cache(maxsize=2**14)
def words_of(name: str) -> Words:
    """Return the words and numbers of a name in small letters, such as those of ``train_64x64`` and ``testA``."""
    return tuple(_IN_TWO.sub(r"\1\2", " ".join(_WORD.findall(name)).lower()).split())


_EXACT = {
    **dict.fromkeys(BESIDE_TRAINING, "maybe"),
    **dict.fromkeys(HELD_OUT, "val"),
    **dict.fromkeys(TEST, "test"),
    **dict.fromkeys(TRAINING, "train"),
}


@dataclass(frozen=True)
class Folder:
    """What the names of a folder and of those in it say. Images beside folders are one more, called ``4 images``.

    ==============  =======  =======  =======  =======  =========  =========
    name            exact    split    may_be   is_data  rest       behind
    ==============  =======  =======  =======  =======  =========  =========
    ``train``       "train"  "train"  "train"  False    ()         ()
    ``gallery``     "maybe"  ""       "test"   False    (gallery)  (gallery)
    ``imagesTs``    ""       "test"   "test"   True     ()         ()
    ``faces_test``  ""       "test"   "test"   False    (faces)    ()
    ``test_tubes``  ""       "test"   "test"   False    (tubes)    (tubes)
    ==============  =======  =======  =======  =======  =========  =========

    Attributes:
        name: Its own.
        exact: What it is called: "train", "test", "val" or another held-out split, "maybe" one beside ``train``, or "".
        split: What a word says it is for, "train" or "test", or "".
        may_be: The same with words that may be languages or classes: ``tr``, ``te``, ``gallery``.
        is_masks: Whether a word is for masks.
        is_data: Whether a word is for data.
        rest: Words that say more than that, without numbers and letters.
        behind: Those behind the word for the split, or all of them without one.
        images: How many lie in it and below.
        below: Names of the folders in it.
        classes: Those that may be classes, in it or in the only folder there, if they are several.
    """

    name: str
    exact: str
    split: str
    may_be: str
    is_masks: bool
    is_data: bool
    rest: Words
    behind: Words
    images: int
    below: frozenset[str]
    classes: frozenset[str]

    @property
    def is_exact(self) -> bool:
        """True if it is called like a split, wherever it lies."""
        return self.exact not in ("", "maybe")

    @property
    def is_plain_data(self) -> bool:
        """True if its name says no more than that it holds data: ``images``, which may be a class or a split."""
        return self.is_data and not (self.split or self.rest)

    @property
    def is_plain_training(self) -> bool:
        """True if its name says no more than that it is for training."""
        return self.split == "train" and not self.rest


@dataclass(frozen=True)
class Place:
    """A folder with folders in it: its path, these by name, and whether all images but masks lie in it."""

    path: Words
    folders: tuple[Folder, ...]
    holds_all: bool

    @property
    def named(self) -> list[Folder]:
        """The folders that are called like neither masks nor data alone."""
        return [each for each in self.folders if not (each.is_masks or each.is_plain_data)]

    @property
    def held_out(self) -> list[Folder]:
        """The folders that are held out by their names.

        A name that ends in a word of its own is that of a thing: ``test tubes`` beside ``beakers``. No thing is
        ``test_faces`` beside ``faces``, nor ``test_easy`` where all names beside ``train`` are of splits.
        """
        others = [each for each in self.folders if each.split != "test"]
        is_beside_train = all(each.split for each in self.named) and any(each.split == "train" for each in others)
        known = {word for each in others for word in each.rest}
        found = [each for each in self.folders if each.split == "test"]
        return [each for each in found if is_beside_train or known.issuperset(each.behind)]


def places_of(images: Mapping[Words, int], ignored: Collection[Words] = ()) -> dict[Words, Place]:
    """Return all places by their paths, those of masks last.

    Args:
        images: How many lie in each folder.
        ignored: Folders that are left out: classes that a held-out split has, too.
    """
    counts, unmasked, below = Counter[Words](), Counter[Words](), dict[Words, set[str]]()
    for path, count in images.items():
        for depth in range(len(path) + 1):
            counts[path[:depth]] += count
            unmasked[path[:depth]] += 0 if has_masks(path) else count
        for depth, name in enumerate(path):
            below.setdefault(path[:depth], set()).add(name)
    classes, places = _classes_of_folders(below), {}
    for path in sorted(below, key=lambda path: (has_masks(path), path)):
        inside = [each for name in sorted(below[path]) if (each := (*path, name)) not in ignored]
        folders = [_folder(plural(images[path], "image"), images[path])] if path in images else []
        folders += [_folder(each[-1], counts[each], below.get(each, ()), classes.get(each, ())) for each in inside]
        places[path] = Place(path, tuple(folders), unmasked[path] == unmasked[()])
    return places


def has_masks(path: Iterable[str]) -> bool:
    """True if a folder of a path is called like masks."""
    return not all(MASKS.isdisjoint(words_of(name)) for name in path)


def _folder(name: str, images: int = 0, below: Iterable[str] = (), classes: Iterable[str] = ()) -> Folder:
    words = words_of(name)
    more = [each for each in words if each not in DATA and len(each) > 1 and not each.isdecimal()]
    is_data = not DATA.isdisjoint(words)
    # Where all else is for data, "Tr" and "Ts" are for splits: of imagesTr; not of hi_tr, which may be a language.
    pattern = _MAYBE if is_data and all(map(_MAYBE.fullmatch, more)) else _SURE
    found = {at: match.lastgroup or "" for at, each in enumerate(words) if (match := pattern.fullmatch(each))}
    rest = tuple(each for each in more if not pattern.fullmatch(each))
    return Folder(
        name=name,
        exact=_EXACT.get(re.sub(r"[\s_-]+", "", name.lower()).removesuffix("set"), ""),
        split=max(found.values(), default=""),  # train before test, as in train_val
        may_be=max((match.lastgroup or "" for each in words if (match := _MAYBE.fullmatch(each))), default=""),
        is_masks=has_masks((name,)),
        is_data=is_data,
        rest=rest,
        behind=tuple(each for each in words[max(found, default=0) :] if each in rest),
        images=images,
        below=frozenset(below),
        classes=frozenset(classes),
    )


def _classes_of_folders(below: Mapping[Words, Collection[str]]) -> dict[Words, frozenset[str]]:
    """Return the names of folders in each that may be classes, or in the only one there, if there are several."""
    found: dict[Words, frozenset[str]] = {}
    for path in sorted(below, key=len, reverse=True):
        names = [name for name in below[path] if not has_masks((name,))]
        classes = frozenset(name for name in names if DATA.isdisjoint(words_of(name)))
        inside = found.get((*path, *names), frozenset()) if len(names) == 1 else classes
        found[path] = inside if len(inside) > 1 else frozenset()
    return found


@lru_cache(maxsize=2**14)
def is_of_data(name: str) -> bool:
    """True for ``images``, ``train2017`` and ``leftImg8bit``; ``images without masks`` are a class."""
    folder = _folder(name)
    return (folder.is_data or (folder.split != "" and not folder.rest)) and "mask" not in name.lower()


def classes_of(names: Iterable[str], others: Iterable[str] = ()) -> list[str]:
    """Return the class of every image: the folder that it lies in, or "" beside all folders.

    Below folders that all hold one of the same name, as ``n01443537/images`` and ``n01629819/images``, it is the first
    name that tells them apart. Folders of one name that lie in different ones are one class where all of these hold the
    same names, as ``2019/cat``, ``2019/dog``, ``2020/cat`` and ``2020/dog``; else they are called by as much of their
    paths as tells them apart, as ``apartment/outdoor`` and ``building/outdoor``.

    Args:
        names: The images, with forward slashes, without the folder of their split.
        others: Those of the other split likewise: a class has one name in both, also where one of them alone has such
            a folder in every class.
    """
    folders = [tuple(name.split("/")[:-1]) for name in names]
    own, other = set(folders), {tuple(name.split("/")[:-1]) for name in others}
    in_both = _alike_at_end(own | other)
    cut, cut_other = in_both, in_both
    if own.isdisjoint(other):
        cut, cut_other = max(in_both, _alike_at_end(own)), max(in_both, _alike_at_end(other))
    called = _called({*(path[: len(path) - cut] for path in own), *(path[: len(path) - cut_other] for path in other)})
    return [called[folder[: len(folder) - cut]] for folder in folders]


def _alike_at_end(paths: Collection[Words]) -> int:
    """Return how many last names all of some folders share, where that leaves each of them one."""
    ends = takewhile(lambda names: len({*names}) == 1, zip(*(path[:0:-1] for path in paths), strict=False))
    return len(list(ends)) if len(paths) > 1 else 0


def _called(paths: Collection[Words]) -> dict[Words, str]:
    """Return what folders are called: their last name, or more of their path where others have the same."""
    below: dict[Words, set[str]] = {}
    for path in paths:
        below.setdefault(path[:-1], set()).update(path[-1:])
    are_alike = len(set(map(frozenset, below.values()))) == 1 and all(len(found) > 1 for found in below.values())
    counts = Counter(path[at:] for path in paths for at in range(len(path)))
    ends = {path: [path[at:] for at in range(len(path) - 1, 0, -1)] for path in paths}
    unique = {path: next((end for end in ends[path] if counts[end] == 1), path) for path in paths}
    return {path: "/".join(path[-1:] if are_alike else unique[path]) for path in paths}
