"""Which images of a folder or archive are for training and which are held out, by the names of their folders."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from gan_bench.core.errors import DataError
from gan_bench.core.text import plural, printable, some_of

Split = Literal["train", "test"]
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
    """Find the splits of a source: the folders of its first level, or of that below a single folder that holds all.

    They are splits when one is for training and all others are held out. What nearly surely is split in another way is
    asked for: a folder ``test`` beside images, beside nothing but ``images``, or with the classes beside it; ``trainA``
    beside ``testA``; ``faces`` beside ``faces_test``; ``cat/train`` beside ``cat/test``; ``train`` beside one folder of
    its classes. Elsewhere such a folder is a class, with a doubt where it is called like a held-out split or its
    classes are merged with another's: held-out images must not be trained on without a word. In a training folder
    beside a held-out one, what that holds too are classes, and ``train`` beside ``test`` alone is asked for.

    Args:
        names: Its images, with forward slashes.
        source: Named in errors.

    Raises:
        DataError: Folders may be splits or classes.
    """
    paths = Counter(tuple(name.split("/")[:-1]) for name in names)
    depth = 0
    while True:
        tops: Counter[str] = Counter()
        for path, count in paths.items():
            if len(path) > depth:
                tops[path[depth]] += count
        loose = paths.total() - tops.total()
        training = [top for top in tops if _normal_name(top) in TRAINING]
        held_out = [top for top in tops if _normal_name(top) in HELD_OUT]
        if training or held_out or loose or len(tops) != 1:
            break
        depth += 1
    rest = [top for top in tops if top not in training]
    if training and not loose and all(_normal_name(top) in HELD_OUT | BESIDE_TRAINING for top in rest):
        held_out = rest
    others = [top for top in rest if top not in held_out]
    within = next(iter(paths))[:depth] if paths else ()
    where = printable("/".join((source, *within)))
    if not training and not others and len(held_out) > 1:
        some = " and ".join(map(printable, held_out))
        raise DataError(f"{where} holds {some} and no training images; name a folder of them train")
    below = {path[depth + 1] for path in paths if len(path) > depth + 1 and path[depth] in held_out}
    if training and not others and not loose and len(training) == 1:
        inside = (*within, training[0])
        kept = [path[depth + 1 :] for path in paths if path[depth : depth + 1] != inside[-1:]]
        layout = _layout(tops, training[0], held_out, within, where)
        ours = {path for path in paths if path[: depth + 1] == inside}
        classes = {path[:end] for path in kept for end in range(1, len(path) + 1)}
        return replace(layout, doubts=_doubts(ours, inside, source, classes if held_out else None))
    if (training and (held_out or not others)) or (held_out and (loose or not below.isdisjoint(others))):
        beside = [*others, *training[1:], *([plural(loose, "image")] if loose else [])]
        raise DataError(
            f"{where} holds {', '.join(map(printable, (*training[:1], *held_out)))} beside "
            f"{', '.join(map(printable, beside[:3]))}: these may be splits or classes; keep splits alone in a folder, "
            "or rename them"
        )
    return Layout(doubts=_doubts(paths, within, source))


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


def _alike_at_end(paths: Collection[tuple[str, ...]]) -> int:
    """Return how many last names all of some folders share, where that leaves each of them one."""
    cut = 0
    while len(paths) > 1 and min(map(len, paths)) > 1 and len({path[-1] for path in paths}) == 1:
        paths, cut = {path[:-1] for path in paths}, cut + 1
    return cut


def _called(paths: Collection[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return what folders are called: their last name, or more of their path where others have the same."""
    below: dict[tuple[str, ...], set[str]] = {}
    for path in paths:
        below.setdefault(path[:-1], set()).update(path[-1:])
    if len(set(map(frozenset, below.values()))) == 1 and all(len(found) > 1 for found in below.values()):
        return {path: "/".join(path[-1:]) for path in paths}
    length = dict.fromkeys(paths, 1)
    while True:
        ends: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for path in paths:
            ends.setdefault(path[-length[path] :], []).append(path)
        alike = [path for some in ends.values() if len(some) > 1 for path in some if length[path] < len(path)]
        if not alike:
            return {path: "/".join(path[-length[path] :]) for path in paths}
        for path in alike:
            length[path] += 1


def _layout(tops: Mapping[str, int], training: str, held_out: list[str], within: Words, where: str) -> Layout:
    """Return the layout of a training folder beside nothing but held-out ones, of which one alone may be for tests.

    Raises:
        DataError: It cannot be told which is held out.
    """
    tests = [top for top in held_out if _normal_name(top) in TEST] or held_out
    if len(tests) > 1:
        some = " and ".join(map(printable, tests))
        raise DataError(f"{where} holds {some}, and it cannot be told which is held out; keep one of them")
    folders: dict[Split, str] = {"train": "/".join((*within, training, ""))}
    if tests:
        folders["test"] = "/".join((*within, tests[0], ""))
    unused = {f"images of {top}, as {tests[0]} is held out": tops[top] for top in held_out if top not in tests}
    return Layout(folders, unused)


def _doubts(
    paths: Collection[Words], first: Words, source: str, classes: Collection[Words] | None = None
) -> tuple[str, ...]:
    """Return what is said of the first folders that may be held out, where none is known to be so.

    Args:
        paths: All folders of images.
        first: The folder that the first level is in.
        source: Named in errors.
        classes: Folders below it that a held-out split has too, if there is one.

    Raises:
        DataError: Folders beside each other are nearly surely splits.
    """
    every: dict[Words, dict[str, list[str]]] = {}
    for path in paths:
        for depth, name in enumerate(path):
            folders = every.setdefault(path[:depth], {})
            if name not in folders:
                folders[name] = words_of(name)
    beside = {
        place: {each: words for each, words in folders.items() if (*place, each)[len(first) :] not in (classes or ())}
        for place, folders in every.items()
    }
    pairs = {place: pair for place, folders in beside.items() if (pair := _pair(folders))}
    pairs = {place: pair for place, pair in pairs.items() if not _has_masks(place[len(first) :])} or pairs
    tops = beside.get(first, {})
    inside = {each: _classes(every, (*first, each)) for each, words in tops.items() if MASKS.isdisjoint(words)}
    doubts: list[str] = []
    for place, folders in sorted(beside.items()):
        where = printable("/".join((source, *place)))
        called = _held_out(folders)
        is_asked = place == first and classes is None
        if pair := pairs.get(place) or (_alike(folders, inside, called) if is_asked else None):
            exact = {_normal_name(each) in HELD_OUT for each in {*every[place]} - {pair[0]}} == {True}
            exact = exact and _normal_name(pair[0]) in TRAINING and place not in paths
            if exact or classes is None:
                remedy = _remedy(place if exact else (), where, paths, first, len(pairs) > 1)
                if place not in pairs and len(folders) == 2:
                    remedy = f": {_EITHER}; {_renaming(pair, called)}"
                raise DataError(f"{where} holds {printable(pair[0])} and {printable(pair[1])}{remedy}")
            called = [pair[1]]
        doubts += (_MAYBE.format(f"those in {printable('/'.join((*place, each)))} are trained on") for each in called)
    names = ["/".join((*path[len(first) :], "")) for path in paths]
    merged = classes is None and len(inside) > 1 and len({*classes_of(names)}) < len(names)
    together = sorted(inside if merged else itertools.chain(*_twins(tops, inside)))
    if not all(map(_is_training, together)):
        some = some_of([printable("/".join((*first, each))) for each in together], 3)
        said = f"folders of the same names in {some} {'are merged and ' if merged else ''}are trained on"
        doubts.append(_MAYBE.format(said))
    return tuple(doubts[:1])


def _is_training(name: str) -> bool:
    """True if a name says no more than that it is for training, as ``train_1``; ``trainA`` may be of a kind."""
    said = [each for each in words_of(name) if each not in DATA and not each.isdecimal()]
    return len(said) == 1 and _TRAINING_ALONE.fullmatch(said[0]) is not None


def _remedy(place: Words, where: str, paths: Collection[Words], first: Words, more: bool) -> str:
    """Return what to do about splits in a folder.

    Args:
        place: The folder, if it holds nothing but ``train`` and held-out splits; else nothing.
        where: What it is called in errors.
        paths: All folders of images.
        first: The folder that the first level is in.
        more: Whether there are such splits elsewhere.
    """
    elsewhere = [path for path in paths if path[: len(place)] != place and path != place[: len(path)]]
    if place and all(path[: len(place)] == place for path in paths):
        return f": {_EITHER}; name {where} if they are splits, or rename classes"
    if place and all(_has_masks(path[len(first) :]) for path in elsewhere):
        return f", and images lie beside it; name {where}, or remove these images"
    if place and more:
        return f": {_EITHER}; {_REMEDY}, or name {where} alone if the others hold the same images"
    return f": {_EITHER}; {_REMEDY}, or rename classes"


def _renaming(pair: tuple[str, str], called: Collection[str]) -> str:
    """Return how to rename two folders that lie alone, of which the second may be held out."""
    training, held_out = map(printable, pair)
    renames = [f"{training} to train"] * (_normal_name(pair[0]) not in TRAINING)
    renames += [f"{held_out} to test"] * (_normal_name(pair[1]) not in HELD_OUT)
    others = f"{held_out} if it is a class" if pair[1] in called else f"{training} to another name if it is not"
    return f"rename {' and '.join(renames)} if {held_out} is held out, or {others}"


_EITHER = "these may be splits or classes"
_REMEDY = "put splits alone into one folder as train and test, with their classes below"
_MAYBE = f"held-out images may be among them: {{}}; {_REMEDY}, if they are held out"


def _pair(folders: Mapping[str, Collection[str]]) -> tuple[str, str] | None:
    """Return two of some folders that are nearly surely a training and a held-out split, if there are such.

    They are where nothing else tells them apart, as ``trainA`` and ``testA``, and where one says no more than that it
    is a split, as ``train`` and ``test_faces``, or no folder but of masks lies beside them. ``tr`` and ``te``, which
    are languages, and ``query`` or ``gallery`` are splits where nothing else tells two folders apart that lie alone,
    or say no more than that they hold data, as ``imagesTr``. Among classes a train station is no split of a test tube.

    Args:
        folders: Their names, with the words of these.
    """
    alone = sum(map(MASKS.isdisjoint, folders.values())) == 2
    for training, held_out, sure in ((_TRAINING, _HELD_OUT, True), (_MAYBE_TRAINING, _MAYBE_HELD_OUT, False)):
        ours = _rests(folders, training)
        theirs = _rests({each: words for each, words in folders.items() if ours and each not in ours}, held_out)
        if theirs and not sure and not alone:
            ours, theirs = (
                {each: rest for each, rest in found.items() if not rest and not DATA.isdisjoint(folders[each])}
                for found in (ours, theirs)
            )
        same = {*ours.values()} & {*theirs.values()}
        if same or (sure and theirs and (alone or () in {*ours.values(), *theirs.values()})):
            first = min(ours, key=lambda each: (ours[each] not in same, ours[each] != (), each))
            return first, min(theirs, key=lambda each: (theirs[each] != ours[first], theirs[each] != (), each))
    return None


def _held_out(folders: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the folders that may be held out by their names: what follows the word for it is of data, or of others.

    These are ``test``, ``celeb_test`` and ``test_faces`` beside ``faces``, and no ``test_tubes`` beside ``beakers``.

    Args:
        folders: Their names, with the words of these.
    """
    plain = set(map(_normal_name, folders))
    opposites = ((each, f"{no}{each}") for each in plain for no in ("in", "un", "no", "non", "not"))
    not_splits = {each for pair in opposites if pair[1] in plain for each in pair}
    rests = _rests(folders, _HELD_OUT)
    known = {word for each, words in folders.items() if each not in rests for word in words}
    return sorted(
        each
        for each in rests
        if known.issuperset(_more(itertools.takewhile(lambda word: not _HELD_OUT.fullmatch(word), folders[each][::-1])))
        and _normal_name(each) not in not_splits
    )


def _alike(
    folders: Mapping[str, Collection[str]], inside: Mapping[str, frozenset[str]], called: Collection[str]
) -> tuple[str, str] | None:
    """Return a training and a held-out folder that hold the same, as far as names tell, if there are such.

    They are where every folder has a held-out one of its classes or its name, if that says more than that it holds
    data; and where ``train`` has the classes of one other, or of several one of which may be held out by its name or
    none of which says more than that it holds data.

    Args:
        folders: The names of folders of the first level, with the words of these.
        inside: The names of the classes in each that is not of masks, where it has several.
        called: Those that may be held out by their names.
    """
    training, twins = _twins(folders, inside)
    words = {each: folders[each] for each in twins}
    maybe = _rests(words, _MAYBE_HELD_OUT)
    if maybe or len(twins) == 1 or (twins and not any(map(_more, words.values()))):
        return min(training), min(maybe or twins)
    rests = _rests({each: folders[each] for each in called}, _HELD_OUT)
    theirs = {*rests.values(), *(inside.get(each) for each in called)} - {None, frozenset()}
    ours = {
        each: {inside[each], *([rest] if (rest := _more(words)) or not DATA.isdisjoint(words) else [])}
        for each, words in ((each, folders[each]) for each in inside)
        if each not in rests
    }
    return (min(ours), min(called)) if ours and all(theirs & signs for signs in ours.values()) else None


def _twins(folders: Mapping[str, Collection[str]], inside: Mapping[str, frozenset[str]]) -> tuple[list[str], list[str]]:
    """Return folders called ``train``, and those not named for training that hold nothing but classes of these."""
    named = _rests({each: folders[each] for each in inside}, _TRAINING)
    training = [each for each, rest in named.items() if not rest]
    known = frozenset().union(*(inside[each] for each in training))
    twins = [each for each, classes in inside.items() if each not in named and classes and classes <= known]
    shared = frozenset().union(*(inside[each] for each in twins))
    return [each for each in training if shared & inside[each]], twins


def _classes(below: Mapping[Words, Mapping[str, Collection[str]]], place: Words) -> frozenset[str]:
    """Return the names of folders in a place that may be classes, or in the only one there, if there are several."""
    while True:
        folders = {each: words for each, words in below.get(place, {}).items() if MASKS.isdisjoint(words)}
        if len(folders) != 1:
            found = frozenset(each for each, words in folders.items() if DATA.isdisjoint(words))
            return found if len(found) > 1 else frozenset()
        place = (*place, *folders)


def _has_masks(path: Words) -> bool:
    return not all(MASKS.isdisjoint(words_of(name)) for name in path)


def _pattern(words: Collection[str], *further: str) -> str:
    """Return a pattern of words, each perhaps with one of data, or something further, written to it."""
    data = "|".join(DATA)
    return f"(?:{data})?(?:{'|'.join(words)})(?:{'|'.join((data, *further))})?"


_TRAINING, _HELD_OUT = (re.compile(_pattern(words, "[ab]")) for words in (TRAINING, HELD_OUT))
_TRAINING_ALONE = re.compile(_pattern(TRAINING))
_MAYBE_TRAINING = re.compile(f"{_TRAINING.pattern}|tr")
_MAYBE_HELD_OUT = re.compile("|".join((_HELD_OUT.pattern, "te", "ts", *BESIDE_TRAINING)))


def _rests(folders: Mapping[str, Collection[str]], split: re.Pattern[str]) -> dict[str, Words]:
    """Return the folders that have a word for a split, with those of their words that say more than that, or data."""
    found: dict[str, Words] = {}
    for name, words in folders.items():
        others = [each for each in words if not split.fullmatch(each)]
        if len(others) < len(words):
            found[name] = _more(others)
    return found


def _more(words: Iterable[str]) -> Words:
    return tuple(each for each in words if each not in DATA and len(each) > 1 and not each.isdecimal())


def is_split(name: str) -> bool:
    """True if a name says no more than that it is a split, as ``train2017``."""
    return any(not rest for split in (_TRAINING, _HELD_OUT) for rest in _rests({name: words_of(name)}, split).values())


_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])|\d+")
_IN_TWO = re.compile(r"\b(hold|held|ground) (out|truth)\b")


def words_of(name: str) -> list[str]:
    """Return the words and numbers of a name in small letters, such as those of ``train_64x64`` and ``testA``."""
    return _IN_TWO.sub(r"\1\2", " ".join(_WORD.findall(name)).lower()).split()


def _normal_name(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower()).removesuffix("set")
