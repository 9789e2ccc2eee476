"""Which images of a folder or archive are for training and which are held out, by the names of their folders.

Folders are splits where ``train`` lies beside held-out ones alone. Otherwise all images are for training, unless rules
say that some may be held out: first those of ``ASKED``, then those of ``SAID``, each of which looks at one place.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal

from gan_bench.core.errors import DataError
from gan_bench.core.text import plural, printable, some_of
from gan_bench.data.folder_names import Folder, Place, Words, classes_of, places_of, words_of

Split = Literal["train", "test"]
Pair = tuple[Folder, Folder]
"""What may be for training, and what may be held out."""
MANY = 12
"""Folders among more of which ``FIRST_NAMES`` are those of people: ``Val_Kilmer`` among thousands."""
FIRST_NAMES = frozenset({"dev", "val"})


@dataclass(frozen=True)
class Layout:
    """How the images of a source are split.

    Attributes:
        folders: How the names of the images of every split begin: with the folder of it, or with anything where all
            images are for training.
        left_out: How many images are in no split, by reason.
        doubts: What may be wrong with training on all images that are not known to be held out.
    """

    folders: Mapping[Split, str] = field(default_factory=lambda: {"train": ""})
    left_out: Mapping[str, int] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    def names(self, names: Iterable[str], split: Split) -> list[str]:
        """Return those of the images that are in a split."""
        folder = self.folders.get(split)
        return [] if folder is None else [name for name in names if name.startswith(folder)]

    def classes(self, names: Iterable[str]) -> dict[str, str]:
        """Return the class of every image that is in a split, as ``classes_of`` finds it among all images.

        Names that differ in nothing but their form of Unicode are one.
        """
        listed = list(names)
        inside = {split: self.names(listed, split) for split in self.folders}
        below = {split: [name.removeprefix(self.folders[split]) for name in own] for split, own in inside.items()}
        found: dict[str, str] = {}
        for split, own in inside.items():
            others = [name for other in below if other != split for name in below[other]]
            found.update(zip(own, classes_of(below[split], others), strict=True))
        return {name: unicodedata.normalize("NFC", called) for name, called in found.items()}


def layout_of(names: Iterable[str], source: str) -> Layout:
    """Find the splits of a source, which are those of its first folders or of those below a single one that holds all.

    What nearly surely is split in another way is asked for, and what may be is said: held-out images must not be
    trained on without a word.

    Args:
        names: Its images, with forward slashes.
        source: Named in errors.

    Raises:
        DataError: Folders may be splits or classes.
    """
    images = Counter(tuple(name.split("/")[:-1]) for name in names)
    layout, places = Layout(), places_of(images)
    if (top := _first_place(places)) and _is_layout(top):
        layout = _exact_layout(top, source)
        places = _places_of_training(images, layout)
    for place, ask in product(places.values(), ASKED):
        if pair := ask(place):
            raise _question(place, pair, source)
    said = [what for place, say in product(places.values(), SAID) if (what := say(place))]
    alike = next(filter(None, map(_with_the_same_classes, places.values())), "")
    if alike and "test" not in layout.folders:
        said.append(f"folders of the same names{', merged,' if _are_merged(images) else ''} in {alike}")
    return replace(layout, doubts=tuple(_MAYBE.format(what) for what in said[:1]))


def _first_place(places: Mapping[Words, Place]) -> Place | None:
    """Return the first place that holds more than one folder, or one called like a split."""
    path: Words = ()
    while (place := places.get(path)) and len(place.folders) == 1 and not place.folders[0].is_exact:
        path = (*path, place.folders[0].name)
    return place


def _places_of_training(images: Mapping[Words, int], layout: Layout) -> dict[Words, Place]:
    """Return the places of the images for training, without folders that a held-out split has too: they are classes."""
    inside = tuple(layout.folders["train"].split("/")[:-1])
    ours = {path: count for path, count in images.items() if path[: len(inside)] == inside}
    held_out = (path[len(inside) :] for path in images if path not in ours)
    classes = {(*inside, *path[:end]) for path in held_out for end in range(1, len(path) + 1)}
    return places_of(ours, classes)


def _is_layout(place: Place) -> bool:
    """True for ``train`` beside ``val``, ``test`` and the like, and nothing else."""
    exact = [each.exact for each in place.folders]
    return exact.count("train") == 1 and "" not in exact


def _exact_layout(top: Place, source: str) -> Layout:
    """Return the layout of ``train`` and held-out folders, of which one alone may be for tests.

    Raises:
        DataError: It cannot be told which is held out.
    """
    training, *held_out = sorted(top.folders, key=lambda each: each.exact != "train")
    tests = [each for each in held_out if each.exact == "test"] or held_out
    if len(tests) > 1:
        some, where = " and ".join(printable(each.name) for each in tests), _called(source, *top.path)
        raise DataError(f"{where} holds {some}, and it cannot be told which is held out; keep one of them")
    splits: dict[Split, list[Folder]] = {"train": [training], "test": tests}
    unused = [each for each in held_out if each not in tests]
    return Layout(
        {split: "/".join((*top.path, each.name, "")) for split, found in splits.items() for each in found},
        {f"images of {each.name}, as {tests[0].name} is held out": each.images for each in unused},
    )


def _training_beside_held_out(place: Place) -> Pair | None:
    """``trainA`` beside ``testA``, ``train`` beside ``test_faces``, ``train_cats`` beside ``holdout`` and ``dogs``."""
    training = sorted((each for each in place.folders if each.split == "train"), key=_plainness)
    alike = {each.rest: each for each in reversed(training)}
    held_out = sorted(place.held_out, key=lambda each: (each.rest not in alike, _plainness(each)))
    return (alike.get(held_out[0].rest, training[0]), held_out[0]) if training and held_out else None


def _plainness(folder: Folder) -> tuple[bool, int]:
    """Return what sorts names of splits first, then those with the fewest words that say more."""
    return not folder.is_exact, len(folder.rest)


def _two_that_may_be_splits(place: Place) -> Pair | None:
    """``tr`` beside ``te``, ``faces_train`` beside ``faces_gallery``; among others these are languages and classes."""
    pair = sorted(place.named, key=lambda each: each.may_be != "train")
    return (pair[0], pair[1]) if [each.may_be for each in pair] == ["train", "test"] else None


def _held_out_of_neighbour(place: Place) -> Pair | None:
    """``faces_test`` beside ``faces``, ``test/cat`` beside ``cat`` or ``A/cat``, and ``test`` beside ``images``.

    The last is asked where all images lie: further down, images beside ``test`` may be a day's photos. Folders of the
    same classes may be opposites: ``valid`` and ``invalid``.
    """
    others = [each for each in place.folders if each.split != "test"]
    alike = {each.rest: each for each in reversed(others) if each.rest or (each.is_data and place.holds_all)}
    named = {each.name: each for each in others}
    with_classes = [each for each in others if each.classes]
    for held_out in place.held_out:
        found = alike.get(held_out.rest) or named.get(min(held_out.below & named.keys(), default=""))
        if held_out.classes and not found:
            having = (each for each in with_classes if held_out.classes <= each.classes)
            found = next((each for each in having if not each.name.lower().endswith(held_out.name.lower())), None)
        if found:
            return found, held_out
    return None


def _two_called_splits(place: Place) -> Pair | None:
    """``val`` beside ``test`` without a training folder, and ``train`` beside ``Training``."""
    exact = [each for each in place.folders if each.is_exact]
    return (exact[0], exact[1]) if len(exact) > 1 else None


def _train_beside_its_classes(place: Place) -> Pair | None:
    """``train/cat`` and ``train/dog`` beside ``extra/cat`` and ``extra/dog``; not where a third folder has them."""
    folders = [each for each in place.folders if each.classes and not each.is_masks]
    training = [each for each in folders if each.is_plain_training]
    known = frozenset().union(*(each.classes for each in training))
    others = [each for each in folders if each.split != "train" and each.classes <= known]
    return (training[0], others[0]) if len(others) == 1 else None


ASKED: tuple[Callable[[Place], Pair | None], ...] = (
    _training_beside_held_out,
    _two_that_may_be_splits,
    _held_out_of_neighbour,
    _two_called_splits,
    _train_beside_its_classes,
)
"""Rules of what is asked for: each returns two folders of a place that are nearly surely splits, or None."""


def _named_held_out(place: Place) -> str:
    """``test`` beside ``cat``, and ``test tubes`` beside ``beakers``: no things first, and no people."""
    things = [each for each in place.folders if each.split == "test"]
    if len(place.folders) > MANY:
        things = [each for each in things if each.name.islower() or FIRST_NAMES.isdisjoint(words_of(each.name))]
    found = place.held_out or things
    return f"those in {_called(*place.path, found[0].name)}" if found else ""


def _images_beside_train(place: Place) -> str:
    """``images``, or images, beside ``train`` and nothing else but masks."""
    pair = sorted((each for each in place.folders if not each.is_masks), key=lambda each: not each.is_plain_training)
    is_said = len(pair) == 2 and pair[0].is_plain_training and pair[1].is_plain_data
    return f"{printable(pair[1].name)} beside {_called(*place.path, pair[0].name)}" if is_said else ""


def _with_the_same_classes(place: Place) -> str:
    """``2019/cat`` and ``2019/dog`` beside ``2020/cat`` and ``2020/dog``; no ``train_1`` beside ``train_2``."""
    folders = [each for each in place.folders if not each.is_masks]
    counts = Counter(name for each in folders for name in (each.name, *each.classes))
    alike = [each for each in folders if all(counts[name] > 1 for name in each.classes or (each.name,))]
    some = some_of([_called(*place.path, each.name) for each in alike], 3)
    return "" if all(each.is_plain_training for each in alike) else some


def _are_merged(images: Collection[Words]) -> bool:
    """True if some folders of images are one class."""
    return len({*classes_of("/".join((*path, "")) for path in images)}) < len(images)


SAID: tuple[Callable[[Place], str], ...] = (_named_held_out, _images_beside_train)
"""Rules of what is said: each returns what of a place may be held out and is trained on, or nothing."""


_MOVE = "put splits alone into one folder as train and test, with their classes below"
_MAYBE = f"held-out images may be among them: {{}} are trained on; {_MOVE}, if they are held out"


def _called(*path: str) -> str:
    return printable("/".join(path))


def _question(place: Place, pair: Pair, source: str) -> DataError:
    """Return the error that asks whether two folders of a place are splits."""
    where = _called(source, *place.path)
    one, other = (printable(each.name) for each in pair)
    folders = [each.name for each in pair if each.name != plural(each.images, "image")]
    renamed = "both" if len(folders) > 1 else printable(folders[0])
    alone = f", or name {where} to leave the others out" if _is_layout(place) else ""
    said = f"these may be splits or classes; {_MOVE}, or rename {renamed}{alone}"
    return DataError(f"{where} holds {one} and {other}: {said}")
