"""``try``: from a folder of images to a first answer: it is looked at, and a suite is proposed with reasons."""

from __future__ import annotations

import re
import sys
import textwrap
import webbrowser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gan_bench.config.image_folder import ImageFolder, Transform
from gan_bench.config.recipes import RECIPES
from gan_bench.config.suite import named_files, suites_folder
from gan_bench.config.trial import RESERVED_NAMES
from gan_bench.config.yaml_document import scalar
from gan_bench.core.atomic import write_new
from gan_bench.core.errors import UserError, writing
from gan_bench.core.text import as_typed, at_home, is_utf8, plural, printable, some_of
from gan_bench.data.datasets import DATASETS
from gan_bench.data.image_folders import darkness, named_by_no_suite
from gan_bench.data.own_images import LEAST_DISTINCT, Inspection, inspect_images, prepare_folder
from gan_bench.data.splits import Split
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.terminal.console import PlainConsole

STEPS = 6_000
"""Steps of a proposed full training: about what the articles' DCGANs take."""
LEAST_STEPS = 4
"""Steps that an epoch should have at least."""
QUICK_IMAGES = {"cats-dcgan": 2_560, "mnist-dcgan": 26_000}
"""Images that a quick trial trains on, over all its epochs: half a minute of one core of an AMD EPYC."""
FEW = 1_000
"""Training images below which a caution is said: FID against fewer is mostly the bias of their number."""
_CALLED: Mapping[Split, str] = {"train": "training", "test": "held out"}
SHOWN = 12
"""Most classes, and most files that cannot be used, that are named."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A suite for somebody's images.

    Attributes:
        name: What the suite and its dataset are called.
        recipe: The recipe whose networks fit.
        size: Height and width that images are brought to.
        channels: 1 for grey, 3 for colour.
        batch_size: Images of a step.
        epochs: Of the full profile.
        quick_epochs: Of the quick one.
        quick_limit: Training images of the quick one.
        samples: Images that are generated for a score.
        reasons: Why each of these, by field.
    """

    name: str
    recipe: str
    size: int
    channels: int
    batch_size: int
    epochs: int
    quick_epochs: int
    quick_limit: int
    samples: int
    reasons: dict[str, str]


def try_folder(source: Path, out: Path | None, console: PlainConsole) -> Path:
    """Look at images, say what they are, and write a suite for them, unless one is there.

    Args:
        source: The folder or zip file.
        out: The suite's file; None names it after the source, in the current folder.
        console: Where it is said.

    Returns:
        The suite's file.

    Raises:
        UserError: Nothing can be trained on it.
    """
    source = Path(at_home(str(source)))
    if not is_utf8(str(source.absolute())):
        raise UserError(f"{as_typed(str(source))} is no UTF-8 name, which no suite can hold; rename the folder")
    if out is not None and out.suffix not in (".yaml", ".yml"):
        raise UserError(f"{out} is no name of a suite; end it in .yaml")
    name = name_for(source if out is None else out)
    file = out or Path(f"{name}.yaml")
    there = _folder_of(file, source) if file.exists() else None
    most = max(_networks(recipe)[1] for recipe in QUICK_IMAGES)
    found = inspect_images(source, *((there.transform.size, there.transform.range) if there else (most,)))
    for line in report(found):
        console.say(line)
    proposal = propose(found, source, name)
    if there:
        for line in _prepare(there):
            console.say(line)
        console.say(f"{file} is there and is used as it is; --out names another", style="yellow")
        now, then = _form(proposal), _form(there.transform)
        if now != then:
            console.say(f"it brings the images to {then}; for these images {now} would be proposed now", style="yellow")
        return file
    with named_by_no_suite():
        for line in _prepare(_proposed(proposal, source)):
            console.say(line)
    text = suite_text(proposal, source, file)
    with writing(file, "another"):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_new({file: text})
    console.say(f"{file}: a suite for them")
    for field, why in proposal.reasons.items():
        console.say(f"  {field}: {why}")
    return file


def _form(of: Proposal | Transform) -> str:
    return f"{of.size}x{of.size} in {'colour' if of.channels == 3 else 'grey'}"


def _proposed(proposal: Proposal, source: Path) -> ImageFolder:
    """Return the images as the proposed suite has them."""
    unreadable: Literal["stop", "skip"] = "skip" if "unreadable" in proposal.reasons else "stop"
    transform = Transform(size=proposal.size, channels=proposal.channels, unreadable=unreadable)
    return ImageFolder(name=proposal.name, path=source, transform=transform)


def _prepare(folder: ImageFolder) -> Iterator[str]:
    """Prepare images as a run does, and yield what it would say of them that is not said yet.

    Raises:
        DataError: No run could use them.
    """
    for split, found in prepare_folder(folder).items():
        yield from (f"{_CALLED[split]}: {line}" for line in found.remarks())


def _folder_of(file: Path, source: Path) -> ImageFolder:
    """Return the images as a suite has them that is there.

    Raises:
        UserError: It is of other images, and what was said of these is not what is trained on; or it is no suite.
    """
    there = named_files(file)[1]
    for folder in there:
        if folder.path.resolve() == source.resolve():
            return folder
    of = f"of {printable(str(there[0].path.resolve()))}" if there else "of no images of one's own"
    raise UserError(f"{file} is there and is a suite {of}, not of {source}; name another with --out")


def report(found: Inspection) -> Iterator[str]:
    """Yield what was found, a line each."""
    for split, classes in found.classes.items():
        named = [f"{printable(name)} {count:,}" for name, count in sorted(classes.items())]
        folders = f" in {plural(len(named), 'folder')}: {some_of(named, SHOWN)}" if len(named) > 1 else ""
        yield f"{_CALLED[split]}: {plural(found.count(split), 'image')}{folders}"
    if any(len(classes) > 1 for classes in found.classes.values()):
        yield "folders: trained on together; the networks are not told which an image is from"
    if "test" not in found.classes:
        yield "held out: none, so that scores of real images are those of one half against the other"
    if found.sides:
        low, high = min(found.sides), max(found.sides)
        sizes = f"all {low}" if low == high else f"{low} to {high}, median {found.median_side}"
        kinds = ", ".join(f"{count:,} {kind.removeprefix('.')}" for kind, count in sorted(found.kinds.items()))
        yield f"shorter side in pixels: {sizes}; {found.square:,} of {found.usable:,} are square; files: {kinds}"
        yield f"colour: {found.coloured:,} of {found.usable:,} have some"
    if found.transparent:
        yield f"transparent: {found.transparent:,} of {found.usable:,} have some pixels, which are laid over white"
    yield from _doubts(found)


def _doubts(found: Inspection) -> Iterator[str]:
    """Yield what speaks against training on the images as they are."""
    if found.elongated:
        yield (
            f"long: {found.elongated:,} are more than twice as long as wide or as wide as long, and only their middle "
            "squares are kept"
        )
    for reason, count in found.left_out.items():
        yield f"left out: {reason}: {count:,}"
    if dark := darkness(found.brightest):
        yield dark
    if found.copies:
        have = "has" if found.copies == 1 else "have"
        yield f"copies: {found.copies:,} {have} the very pixels of another, which count twice in training and in scores"
    if found.shared:
        pairs = ", ".join(f"{printable(a)} is {printable(b)}" for a, b in found.shared[:3])
        of = found.count("test")
        yield (
            f"held out and trained on: {len(found.shared):,} of {of:,} held-out images are, or look like, training "
            f"images ({pairs}{', …' if len(found.shared) > 3 else ''}); scores against them say little about new images"
        )
    if 0 < found.count("train") < FEW:
        yield (
            f"few: GANs learn from thousands of images; of {found.count('train'):,} expect copies, and scores that say "
            "little"
        )
    if "test" in found.classes and not found.compared:
        yield "of the splits, the first 5,000 images each were compared"
    yield from _unusable(found)


def _unusable(found: Inspection) -> Iterator[str]:
    """Yield which files cannot be used, and why."""
    if found.unreadable:
        yield f"cannot be used: {plural(len(found.unreadable), 'file')}"
        for why in list(found.unreadable.values())[:SHOWN]:
            yield f"  {printable(why)}"
        if len(found.unreadable) > SHOWN:
            yield f"  and {len(found.unreadable) - SHOWN} more"


def propose(found: Inspection, source: Path, name: str) -> Proposal:
    """Choose networks, size and lengths for images.

    Args:
        found: What they are.
        source: Named in errors.
        name: What suite and dataset are called.

    Raises:
        UserError: No image can be used.
    """
    if not found.count("train"):
        raise UserError(f"no training image of {source} can be used; what is wrong with them is said above")
    if (distinct := found.distinct["train"]) < LEAST_DISTINCT:
        raise UserError(f"{source} has {plural(distinct, 'different image')}; training needs at least {LEAST_DISTINCT}")
    is_colour = 20 * found.coloured > found.usable
    recipe = RECIPES["cats-dcgan" if is_colour else "mnist-dcgan"]
    values = recipe.values()
    channels, size, _ = _networks(recipe.name)
    count, median = found.count("train"), found.median_side
    batch = int(values["batch_size"])
    while batch > 4 and count < LEAST_STEPS * batch:
        batch //= 2
    per_epoch = _steps(count, batch, values)
    epochs = min(400, max(10, round(STEPS / per_epoch)))
    limit = min(count, 1_280 if is_colour else 13_000)
    seen = limit * int(values["dataset_repeats"])
    quick_epochs = min(epochs, max(1, round(QUICK_IMAGES[recipe.name] / seen)))
    quick_steps = quick_epochs * _steps(limit, batch, values)
    own = values["batch_size"]
    why = "" if batch == own else f" in the place of {own}, so that an epoch has {plural(per_epoch, 'step')}"
    kind = "colour" if is_colour else "grey"
    if median == size:
        turned = "the median of yours"
    else:
        turned = f"yours are {'enlarged' if median < size else 'scaled down'} from {median} pixels (median)"
    shows = "which show that all works and not what it can do" if quick_steps < epochs * per_epoch else "for one seed"
    reasons = {
        "recipe": f"{recipe.name}, the articles' DCGAN for {kind} images at {size}x{size}",
        "size": f"{size}, which these networks make; {turned}",
        "channels": f"{channels}, as {found.coloured:,} of {found.usable:,} have colour",
        "batch_size": f"{batch}{why}",
        "epochs": f"{epochs}, about {epochs * per_epoch:,} steps; the quick profile takes {quick_steps:,}, {shows}",
        "betas": "(0.5, 0.999), which won with a DCGAN on MNIST",
        "sweep": "the articles' two learning rates: a question to begin with",
    }
    if found.unreadable:
        reasons["unreadable"] = f"skip, as {plural(len(found.unreadable), 'file')} cannot be used"
    return Proposal(
        name=name,
        recipe=recipe.name,
        size=size,
        channels=channels,
        batch_size=batch,
        epochs=epochs,
        quick_epochs=quick_epochs,
        quick_limit=limit,
        samples=min(10_000, max(64, count)),
        reasons=reasons,
    )


def _networks(recipe: str) -> tuple[int, int, int]:
    """Return channels, height and width of what the networks of a recipe make."""
    return ARCHITECTURES[RECIPES[recipe].values()["architecture"]].image_shape


def _steps(images: int, batch: int, values: Mapping[str, object]) -> int:
    """Count the steps of an epoch, with the last batch where the recipe keeps it."""
    shown = images * int(str(values["dataset_repeats"]))
    return max(1, -(-shown // batch) if values["last_batch"] == "keep" else shown // batch)


def name_for(source: Path) -> str:
    """Return a name for a suite and its dataset that no shipped one has."""
    taken = {*RESERVED_NAMES, *DATASETS.shipped(), *(path.stem for path in suites_folder().glob("*.yaml"))}
    stem = re.sub(r"[^a-z0-9_-]+", "-", source.resolve().stem.lower()).strip("-_")[:40] or "images"
    return f"my-{stem}" if stem in taken else stem


def suite_text(proposal: Proposal, source: Path, file: Path) -> str:
    """Write a proposal as a suite file, each choice with its reason."""
    where = source.resolve()
    folder = file.resolve().parent
    path = f"./{where.relative_to(folder).as_posix()}" if where.is_relative_to(folder) else str(where)
    why, name = proposal.reasons, scalar(proposal.name)
    quick = (
        f"epochs: {proposal.quick_epochs}, train_limit: {max(2, proposal.quick_limit)}, "
        f"samples: {min(500, proposal.samples)}, seeds: [0]"
    )
    lines = [
        f"suite: {name}",
        "version: 1",
        f"description: {scalar(f'The two learning rates of the articles, on the images of {printable(where.name)}.')}",
        "datasets:",
        f"  {name}:",
        f"    path: {scalar(path)}",
        *_remark(why["size"], 4),
        f"    size: {proposal.size}",
        *_remark(why["channels"], 4),
        f"    channels: {proposal.channels}",
        *([*_remark(why["unreadable"], 4), "    unreadable: skip"] if "unreadable" in why else []),
        "trials:",
        *_remark(why["recipe"], 2),
        f"  - recipe: {proposal.recipe}",
        *_remark(f"batch_size {why['batch_size']}", 4),
        *_remark(f"epochs {why['epochs']}", 4),
        *_remark(f"betas {why['betas']}", 4),
        f"    set: {{dataset: {name}, betas: [0.5, 0.999], batch_size: {proposal.batch_size}, "
        f"epochs: {proposal.epochs}}}",
        *_remark(why["sweep"], 4),
        "    sweep: {lr: [2.0e-4, 3.0e-4]}",
        "looks: [5, 8, 12]",
        f"evaluate: {{epochs: [{max(1, proposal.epochs // 4)}, {max(1, proposal.epochs // 2)}], "
        f"samples: {proposal.samples}, extractors: auto}}",
        f"profiles: {{quick: {{{quick}}}}}",
    ]
    return "\n".join(lines) + "\n"


def _remark(text: str, indent: int) -> list[str]:
    return [f"{' ' * indent}# {line}" for line in textwrap.wrap(text, 100 - indent)]


def open_page(page: Path) -> None:
    """Open a page in the browser, where somebody sits at a terminal."""
    if sys.stdout.isatty() and page.is_file():
        webbrowser.open(page.resolve().as_uri())
