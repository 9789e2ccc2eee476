"""Which images of a folder or archive are for training and which are held out, by the names of their folders."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gan_bench.core.errors import DataError
from gan_bench.core.text import plural, printable

Split = Literal["train", "test"]

TRAINING = frozenset({"train", "training", "trainset", "trainingset", "trainval", "trn"})
TEST = frozenset({"test", "testing", "testset", "testingset", "tests", "tst"})
HELD_OUT = (
    TEST
    | {"val", "vals", "vali", "valid", "validation", "validations", "validate", "validating", "valset", "validationset"}
    | {"dev", "devset", "eval", "evals", "evaluation", "evaluations", "evaluate", "evaluating", "evalset"}
    | {"evaluationset", "holdout", "holdoutset", "heldout", "heldoutset"}
)
"""Names of folders that are splits, in small letters, without the blanks, hyphens and underscores in them."""
BESIDE_TRAINING = frozenset({"development", "developmentset", "unseen", "query", "gallery", "probe"})
"""Names of held-out folders where a training folder and no class lies beside them; elsewhere they may be classes."""
_SHORT = ({"tr"}, {"te", "ts"})
"""What ends or is the name of a training and of a held-out folder, as ``imagesTr``; alone it may be a language."""


@dataclass(frozen=True)
class Layout:
    """How the images of a source are split.

    Attributes:
        folders: The folder of every split; empty where all images are for training.
        left_out: How many images are in no split, by reason.
    """

    folders: Mapping[Split, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits there are."""
        return ("train", "test") if "test" in self.folders else ("train",)

    def names(self, names: Iterable[str], split: Split) -> list[str]:
        """Return those of the images that are in a split."""
        if not self.folders:
            return list(names) if split == "train" else []
        folder = self.folders.get(split)
        return [] if folder is None else [name for name in names if name.startswith(f"{folder}/")]

    def classes(self, names: Iterable[str]) -> dict[str, str]:
        """Return the class of every image that is in a split, as ``classes_of`` finds it among all images."""
        listed = list(names)
        inside = {split: self.names(listed, split) for split in self.splits}
        found: dict[str, str] = {}
        for split, own in inside.items():
            others = [self._below(name) for other in inside if other != split for name in inside[other]]
            found.update(zip(own, classes_of(map(self._below, own), others), strict=True))
        return found

    def _below(self, name: str) -> str:
        inside = (f"{folder}/" for folder in self.folders.values())
        return next((name.removeprefix(each) for each in inside if name.startswith(each)), name)


def layout_of(names: Iterable[str], source: str) -> Layout:
    """Find the splits of a source: the folders of its first level, or of that below a single folder that holds all.

    They are splits when one is for training and all others are held out; a folder ``train`` among classes is a class.
    Folders beside each other that are called like splits, as ``trainA`` and ``testA`` or ``cat/train`` and
    ``cat/test``, are asked for, as is a folder ``test`` beside images or with the classes beside it: held-out images
    must not be trained on without a word.

    Args:
        names: Its images, with forward slashes.
        source: Named in errors.

    Raises:
        DataError: It cannot be told whether folders are splits or classes.
    """
    listed = list(names)
    within = ""
    while True:
        tops: dict[str, int] = {}
        loose = 0
        for name in listed:
            first, slash, _ = name[len(within) :].partition("/")
            if slash:
                tops[first] = tops.get(first, 0) + 1
            else:
                loose += 1
        kinds = {top: _plain(top) for top in tops}
        training = [top for top, plain in kinds.items() if plain in TRAINING]
        held_out = [top for top, plain in kinds.items() if plain in HELD_OUT]
        if training and not loose and all(plain in TRAINING | HELD_OUT | BESIDE_TRAINING for plain in kinds.values()):
            held_out = [top for top in tops if top not in training]
        if training or len(tops) != 1 or loose or held_out:
            parts = [name[len(within) :].split("/") for name in listed]
            below = {each[1] for each in parts if each[0] in held_out}
            found = _layout(tops, loose, training, held_out, below, within, source)
            if not found.folders:
                _refuse_hidden_splits(listed, source)
            return found
        within += f"{next(iter(tops))}/"


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


def _layout(
    tops: Mapping[str, int],
    loose: int,
    training: list[str],
    held_out: list[str],
    within_held_out: set[str],
    within: str,
    source: str,
) -> Layout:
    """Find the splits among the folders of one level.

    Args:
        tops: The folders, with how many images are below each.
        loose: Images beside them.
        training: Those that are called like training splits.
        held_out: Those that are called like held-out ones.
        within_held_out: Names of the folders in these.
        within: Where the level is, with a slash at its end.
        source: Named in errors.

    Raises:
        DataError: It cannot be told whether folders are splits or classes.
    """
    others = [top for top in tops if top not in training and top not in held_out]
    if not training and not others and len(held_out) > 1:
        raise DataError(
            f"{printable(f'{source}/{within}'.rstrip('/'))} holds {' and '.join(map(printable, held_out))} and no "
            "training images; name a folder of them train"
        )
    is_held_out = held_out and (loose or within_held_out & set(others))
    if not (training or is_held_out) or (others and not held_out):
        return Layout()  # no split, or classes one of which has such a name
    where = f"{source}/{within}".rstrip("/")
    if others or loose or len(training) > 1:
        beside = [*(f"{top}" for top in (*others, *training[1:])), *([plural(loose, "image")] if loose else [])]
        raise DataError(
            f"{printable(where)} holds {', '.join(map(printable, (*training[:1], *held_out)))} beside "
            f"{', '.join(map(printable, beside[:3]))}: these may be splits or classes; keep splits alone in a folder, "
            "or rename them"
        )
    named_test = [top for top in held_out if _plain(top) in TEST]
    tests = named_test or held_out
    if len(tests) > 1:
        raise DataError(
            f"{printable(where)} holds {' and '.join(map(printable, tests))}, and it cannot be told which is held out; "
            "keep one of them"
        )
    folders: dict[Split, str] = {"train": within + training[0]}
    if tests:
        folders["test"] = within + tests[0]
    unused = {f"images of {top}, as {tests[0]} is held out": tops[top] for top in held_out if top not in tests}
    return Layout(folders, unused)


def _refuse_hidden_splits(names: Iterable[str], source: str) -> None:
    """Refuse folders beside each other one of which is called like a training split, and another like a held-out one.

    Two alone of which one is called like a held-out split are refused too, whatever the other is called.

    Raises:
        DataError: There are such.
    """
    children: dict[str, set[str]] = {}
    for name in names:
        parts = name.split("/")[:-1]
        for depth, part in enumerate(parts):
            children.setdefault("/".join(parts[:depth]), set()).add(part)
    for where, folders in sorted(children.items()):
        named = (
            [f for f in sorted(folders) if _rests(f, words) or _without_short(f, short) is not None]
            for words, short in zip((TRAINING, HELD_OUT | BESIDE_TRAINING), _SHORT, strict=True)
        )
        alone = len(folders) == 2
        pair = next((each for each in itertools.product(*named) if _are_splits(*each, alone=alone)), None)
        if pair:
            training, held_out = map(printable, pair)
            if where and folders == set(pair) and _plain(pair[0]) in TRAINING and _plain(pair[1]) in HELD_OUT:
                raise DataError(
                    f"{printable(f'{source}/{where}')} holds {training} and {held_out}, and images lie beside it; name "
                    f"{printable(f'{source}/{where}')}, or remove these images"
                )
            raise DataError(
                f"{printable(f'{source}/{where}'.rstrip('/'))} holds {training} and {held_out}: these may be splits or "
                "classes; put splits alone into one folder as train and test, with their classes below, or rename "
                "classes"
            )
        called = [folder for folder in folders if _plain(folder) in HELD_OUT]
        if alone and len(called) == 1:
            (other,) = map(printable, folders - {*called})
            held = printable(called[0])
            raise DataError(
                f"{printable(f'{source}/{where}'.rstrip('/'))} holds {other} and {held}: these may be splits or "
                f"classes; rename {other} to train if {held} is held out, or {held} if it is a class"
            )


def _are_splits(training: str, held_out: str, *, alone: bool) -> bool:
    """True if two names may be those of a training and a held-out split.

    They are where nothing else tells them apart, as ``trainA`` and ``testA``, and where both have such a word and one
    says nothing more than that it holds data, as ``train`` and ``test_faces``, or no folder lies beside them, as
    ``train_clean`` and ``test_noisy``. Among classes a train station is no split of a test tube.
    """
    if _rests(held_out, TRAINING):
        return False
    ours = _rests(training, TRAINING)
    if ours & _rests(held_out, HELD_OUT) or ours & _rests(held_out, BESIDE_TRAINING) - (set() if alone else {"*"}):
        return True
    rest = _without_short(training, _SHORT[0])
    if rest is not None and rest == _without_short(held_out, _SHORT[1]):
        return alone or bool(rest)
    bare, theirs = _says_no_more(training, TRAINING), _says_no_more(held_out, HELD_OUT)
    has_ours = bare or not TRAINING.isdisjoint(words_of(training))
    has_theirs = theirs or not HELD_OUT.isdisjoint(words_of(held_out))
    return has_ours and has_theirs and (alone or bare or theirs)


_DATA = frozenset(
    {"", "data", "dataset", "datasets", "set", "sets", "split", "splits", "image", "images", "img", "imgs", "picture"}
    | {"pictures", "pic", "pics", "photo", "photos", "sample", "samples", "file", "files", "folder", "jpg", "png", "hr"}
    | {"lr", "small", "large", "resized", "cropped", "aug", "augmented", "full", "new", "old", "final", "real", "px"}
    | {"my", "our", "the"}
)
"""Words that beside the name of a split say no more than that it holds data."""


def _says_no_more(name: str, words: frozenset[str]) -> bool:
    """True if a name is one of these words, with nothing but words for data, as ``test_images`` and ``valset``."""
    found = words_of(name)
    rest = [each for each in found if not any(word in each and each.replace(word, "", 1) in _DATA for word in words)]
    return len(rest) < len(found) and all(each in _DATA or len(each) == 1 for each in rest)


def _rests(name: str, words: frozenset[str]) -> set[str]:
    """Return the letters of a name with a star in place of a word, for each of the words that it has."""
    letters = re.sub("[^a-z]", "", name.lower())
    return {letters.replace(word, "*", 1) for word in words if word in letters}


def _without_short(name: str, short: Collection[str]) -> list[str] | None:
    """Return the words of a name but the last, where that is one of these."""
    *rest, last = words_of(name) or [""]
    return rest if last in short else None


WORD = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])"
"""A word of a name, which a capital may begin or make up."""


def words_of(name: str) -> list[str]:
    """Return the words of a name in small letters, such as those of ``train_64x64`` and ``testA``."""
    return [word.lower() for word in re.findall(WORD, name)]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())
