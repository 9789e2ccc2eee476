"""``try``: from a folder of images to a first answer: inspect it and propose a suite with reasons."""

from __future__ import annotations

import re
import sys
import textwrap
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gan_bench.config.image_folder import ImageFolder, Transform
from gan_bench.config.recipes import RECIPES
from gan_bench.config.suite import named_files, suites_folder
from gan_bench.config.trial import RESERVED_NAMES
from gan_bench.config.yaml_document import scalar
from gan_bench.core.atomic import write_new
from gan_bench.core.errors import UserError, writing
from gan_bench.core.text import as_typed, at_home, is_utf8, plural, printable
from gan_bench.data.datasets import DATASETS
from gan_bench.data.image_folders import UNDECODED, Prepared, digests_of_pixels
from gan_bench.data.own_images import count_coloured, count_near, prepare_folder, sizes_of
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
"""Training images below which a warning is printed: FID against fewer is mostly bias."""
_CALLED: Mapping[Split, str] = {"train": "training", "test": "held out"}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A suite for a user's images.

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
    """Inspect images, print what they are, and write a suite for them, unless one exists.

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
    if there:
        _look(there, console)
        console.say(f"{file} is there and is used as it is; --out names another", style="yellow")
        return file
    wide = ImageFolder(name=name, path=source, transform=Transform(size=64, channels=3, unreadable="skip"))
    proposal = propose(_look(wide, console), source, name)
    text = suite_text(proposal, source, file)
    with writing(file, "another"):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_new({file: text})
    console.say(f"{file}: a suite for them")
    for field, why in proposal.reasons.items():
        console.say(f"  {field}: {why}")
    return file


def _look(folder: ImageFolder, console: PlainConsole) -> dict[Split, Prepared]:
    """Prepare images as a run does, and print their contents.

    Raises:
        DataError: No run could use them.
    """
    found = prepare_folder(folder)
    for split, prepared in found.items():
        for line in prepared.contents():
            console.say(f"{_CALLED[split]}: {line}")
    copies = sum(len(each.images) - len(set(digests_of_pixels(each.images))) for each in found.values())
    if copies:
        console.say(f"copies: {copies:,} have the very pixels of another, which count twice in training and in scores")
    if "test" not in found:
        console.say("held out: none, so that scores of real images are those of one half against the other")
    else:
        near, compared = count_near(found["test"].images, found["train"].images)
        of = "" if compared == len(found["test"].images) else f" of the first {compared:,}"
        if near:
            console.say(f"held out and trained on: {near:,}{of} held-out images look like training images")
    if (count := len(found["train"].images)) < FEW:
        console.say(f"few: GANs learn from thousands of images; of {count:,} expect copies, and scores that say little")
    return found


def _folder_of(file: Path, source: Path) -> ImageFolder:
    """Return the images as an existing suite names them.

    Raises:
        UserError: It is of other images, and what was said of these is not what is trained on; or it is no suite.
    """
    there = named_files(file)[1]
    for folder in there:
        if folder.path.resolve() == source.resolve():
            return folder
    of = f"of {printable(str(there[0].path.resolve()))}" if there else "of no images of one's own"
    raise UserError(f"{file} is there and is a suite {of}, not of {source}; name another with --out")


def propose(found: Mapping[Split, Prepared], source: Path, name: str) -> Proposal:
    """Choose networks, size and lengths for images that were prepared in colour."""
    train, sizes = found["train"], sizes_of(source)
    coloured, count, median = count_coloured(train.images), len(train.images), sizes[len(sizes) // 2]
    is_colour = 20 * coloured > count
    recipe = RECIPES["cats-dcgan" if is_colour else "mnist-dcgan"]
    values = recipe.values()
    channels, size, _ = _networks(recipe.name)
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
        have, of_several = (f"{sizes[0]} to {sizes[-1]}", f", median {median}") if len(set(sizes)) > 1 else (median, "")
        turned = f"yours have {have} pixels at their shorter side{of_several}"
    shows = "which show that all works and not what it can do" if quick_steps < epochs * per_epoch else "for one seed"
    reasons = {
        "recipe": f"{recipe.name}, the articles' DCGAN for {kind} images at {size}x{size}",
        "size": f"{size}, which these networks make; {turned}",
        "channels": f"{channels}, as {coloured:,} of {count:,} have colour",
        "batch_size": f"{batch}{why}",
        "epochs": f"{epochs}, about {epochs * per_epoch:,} steps; the quick profile takes {quick_steps:,}, {shows}",
        "betas": "(0.5, 0.999), which won with a DCGAN on MNIST",
        "sweep": "the articles' two learning rates: a question to begin with",
    }
    if bad := sum(each.left_out.get(UNDECODED, 0) for each in found.values()):
        reasons["unreadable"] = f"skip, as {plural(bad, 'image')} cannot be read or decoded"
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
    """Open a page in the browser, if standard output is a terminal."""
    if sys.stdout.isatty() and page.is_file():
        webbrowser.open(page.resolve().as_uri())
