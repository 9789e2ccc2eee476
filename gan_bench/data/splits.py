"""Splits of a folder or archive by folder names: which images are for training, and which are held out.

Folders are splits where ``train`` lies beside held-out ones alone. A place with names that speak of both is asked
about, and a name that speaks of held-out images is said.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from gan_bench.core.errors import DataError
from gan_bench.core.text import printable, some_of

Split = Literal["train", "test"]

TRAINING = frozenset({"train", "training", "trainval", "trn"})
TEST = frozenset({"test", "tests", "testing", "tst"})
HELD_OUT = (
    TEST
    | {"val", "vals", "vali", "valid", "validate", "validating", "validation", "validations", "dev", "eval", "evals"}
    | {"evaluate", "evaluating", "evaluation", "evaluations", "holdout", "heldout"}
)
"""Lower-case names of held-out folders, without blanks, hyphens, underscores and a final ``set``."""
WHOLE: Mapping[Split, frozenset[str]] = {
    "train": TRAINING | {"tr", "imagestr"},
    "test": HELD_OUT | {"development", "query", "gallery", "unseen", "te", "ts", "imagests"},
}
"""Names of split folders as a whole; some mean nothing as a word of a longer name, such as ``art_gallery``."""
_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])")
_WORDS: Mapping[Split, re.Pattern[str]] = {
    "train": re.compile(f"(?:{'|'.join(TRAINING)})(?:set|data|images|[ab])?"),
    "test": re.compile(f"(?:{'|'.join(HELD_OUT)})(?:set|data|images|[ab])?"),
}
_ALONE = "put splits alone into one folder as train and test"


@dataclass(frozen=True)
class Layout:
    """How the images of a source are split.

    Attributes:
        folders: How the names of the images of every split begin.
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

    def class_of(self, name: str) -> str:
        """Return the class of an image: the folders that it lies in, below that of its split."""
        begin = next(each for each in self.folders.values() if name.startswith(each))
        return name.removeprefix(begin).rpartition("/")[0]


def layout_of(names: Iterable[str], source: str) -> Layout:
    """Find the splits of a source among its top folders, or those below a single folder that holds everything.

    Args:
        names: Its images, with forward slashes.
        source: Named in errors.

    Raises:
        DataError: Folders may be splits or classes.
    """
    images = [name.split("/") for name in names]
    inside: dict[str, set[str]] = {"": set()}
    for *folders, _ in images:
        for depth, name in enumerate([*folders, ""]):
            inside.setdefault("".join(f"{each}/" for each in folders[:depth]), set()).add(name)
    top = ""
    while len(inside[top]) == 1 and (only := min(inside[top])) and not split_called(only):
        top += f"{only}/"
    layout = _layout_at(top, inside[top], images, source)
    said: list[str] = []
    train, test = layout.folders["train"], layout.folders.get("test")
    for place in sorted(place for place in inside if place.startswith(train) or test is None):
        below = inside[place]
        if test is not None:  # what both splits have are classes
            below = below - inside.get(test + place.removeprefix(train), set())
        held_out = {each for each in below if _speaks_of(each, "test")}
        training = {each for each in below if _speaks_of(each, "train")} - held_out
        if place == top and len(below) == 2 and any(split_called(each) == "train" for each in below):  # hardly a class
            held_out = below - training
        if training and held_out:
            raise DataError(
                f"{_called(source, place)} holds {_both(min(training), min(held_out))}: these may be splits or "
                f"classes; {_ALONE}, with their classes below, or rename both"
            )
        said += sorted(printable(place + each) for each in held_out)
    doubt = (
        f"held-out images may be among them: those in {some_of(said, 3)} are trained on; {_ALONE}, if they are held out"
    )
    return replace(layout, doubts=(doubt,) if said else ())


def _layout_at(top: str, folders: Collection[str], images: list[list[str]], source: str) -> Layout:
    """Return the layout of ``train`` and held-out folders; with other folders, all images are for training.

    Raises:
        DataError: It cannot be told which is held out.
    """
    training = [each for each in folders if split_called(each) == "train"]
    held_out = sorted(each for each in folders if split_called(each) == "test")
    if len(training) != 1 or len(held_out) + 1 != len(folders):
        return Layout({"train": top})
    train = f"{top}{training[0]}/"
    tests = [each for each in held_out if _plain(each) in TEST] or held_out
    if not tests:
        return Layout({"train": train})
    if len(tests) > 1:
        some = _both(*tests[:2])
        raise DataError(
            f"{_called(source, top)} holds {some}, and it cannot be told which is held out; keep one of them"
        )
    depth, test = top.count("/"), tests[0]
    unused = {each: sum(name[depth] == each for name in images) for each in held_out if each != test}
    return Layout(
        {"train": train, "test": f"{top}{test}/"},
        {f"images of {printable(each)}, as {printable(test)} is held out": count for each, count in unused.items()},
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower()).removesuffix("set")


def split_called(name: str) -> Split | None:
    """Return the split that a folder's whole name means, or None."""
    return next((split for split, names in WHOLE.items() if _plain(name) in names), None)


def _speaks_of(name: str, split: Split) -> bool:
    """True if a folder's name is that of a split, or has a word for it: ``faces_test``, ``trainA``."""
    joined = re.sub(r"(?i)\b(h[eo]ld)[ _-]out", r"\1out", name)
    words = (each.lower() for each in _WORD.findall(joined))
    return split_called(name) == split or any(map(_WORDS[split].fullmatch, words))


def _called(source: str, place: str) -> str:
    return printable(f"{source}/{place}").rstrip("/")


def _both(one: str, other: str) -> str:
    """Name two folders; an empty name stands for the images beside folders."""
    return f"{printable(one) or 'images'} and {printable(other) or 'images'}"
