"""``score`` and ``sample``: the scores of images that were made anywhere, and images of a recorded generator."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from gan_bench import scoring
from gan_bench.config.images import DataRoot
from gan_bench.config.measures import MEASURES
from gan_bench.core.errors import UserError
from gan_bench.core.text import plural
from gan_bench.records.json_files import finite
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.record import Score
from gan_bench.rescoring import add_scores
from gan_bench.sampling import interpolation, load_generator, single_image, to_image, write_film
from gan_bench.terminal.console import PlainConsole, console


def write_added(
    results: Path, names: list[str], data: DataRoot, out: PlainConsole, *, where: torch.device, allow_plugins: bool
) -> bool:
    """Add scores to finished trials, and say of each what was added or why not.

    Returns:
        Whether every trial could be scored.

    Raises:
        UserError: A name is unknown, or there is no finished trial.
    """
    whole, added = True, 0
    for each in add_scores(results, names, data, where, allow_plugins=allow_plugins):
        if each.fault:
            out.say(f"{each.trial}: {each.fault}", style="yellow")
        elif each.scores:
            epochs = ", ".join(map(str, each.epochs))
            out.say(f"{each.trial}: {plural(each.scores, 'score')} added, of epochs {epochs}")
        if each.without:
            why = "evaluate: {keep: weights} in a suite keeps them"
            why = "they were kept, and are not in this folder" if each.kept else why
            out.say(f"{each.trial}: no weights of epochs {', '.join(map(str, each.without))}; {why}", style="yellow")
        whole, added = whole and not each.fault, added + each.scores
    out.say(f"{plural(added, 'score')} added" + (f"; `gan-bench report {results}` shows them" if added else ""))
    return whole


def write_scores(
    generated: str,
    reference: str,
    extractors: list[str],
    data: DataRoot,
    out: PlainConsole,
    *,
    where: torch.device,
    samples: int,
    size: int | None,
    as_json: bool,
    allow_plugins: bool,
) -> None:
    """Score images against a reference, and print each score beside that of as many held-out real images.

    Args:
        generated: A folder or zip of images, or a generator.
        reference: What they are compared with: a dataset, a folder or zip of images, or statistics.
        extractors: Names of extractors; the reference's own where there are none.
        data: The data folder.
        out: Where it is said.
        where: The device.
        samples: Images to draw from a generator.
        size: Height and width to which files are scaled and cropped, or None.
        as_json: Print one line of JSON per score, without the real images.
        allow_plugins: Whether the local file that the architecture is of may run.

    Raises:
        UserError: Something of it cannot be read or scored.
    """
    found = scoring.score(
        generated, reference, extractors, data, where, samples, size=size, allow_plugins=allow_plugins
    )
    if as_json:
        for each in found:
            sys.stdout.write(json.dumps(finite(each.to_json()), allow_nan=False) + "\n")
        return
    names = list(dict.fromkeys(each.extractor for each in found))
    held_out = scoring.real(reference, names, data, where, found[0].generated)
    real = {(each.metric, each.extractor): each.value for each in held_out}
    for each in found:
        out.say(score_line(each, real.get((each.metric, each.extractor))))
    for remark in scoring.scoring_remarks(generated, reference, names, resized=size is not None):
        console(stderr=True).say(remark, style="yellow")


def score_line(score: Score, real: float | None) -> str:
    """Write a score for people.

    Args:
        score: The score.
        real: What as many held-out real images score, or None where there are none.
    """
    value = "no value" if score.value is None else f"{score.value:.6g}"
    spread = "" if score.std is None else f" ± {score.std:.3g}"
    note = f"  ({score.note})" if score.note else ""
    facts = []
    if score.metric in MEASURES:
        facts.append(f"{'lower' if MEASURES[score.metric].lower_is_better else 'higher'} is better")
    if real is not None:
        facts.append(f"held-out real images: {real:.6g}")
    told = f"  ({'; '.join(facts)})" if facts else ""
    return f"{score.name} = {value}{spread}{told}{note}"


GRID = 64
WAYS = 8


def write_samples(
    trial: Path,
    out: Path | None,
    console: PlainConsole,
    *,
    seed: int,
    images: int,
    steps: int,
    film: bool,
    average: bool,
    allow_plugins: bool,
    device: str,
) -> None:
    """Write what is asked for; a grid when nothing else is.

    Args:
        trial: A record directory, or a generator file in one.
        out: Folder of the images; one named after the trial when None.
        console: Where it is said.
        seed: Seeds the latent vectors.
        images: Single images to write.
        steps: Images on each way of an interpolation, or 0 for none.
        film: Whether the sample grids of the epochs are wanted as a GIF.
        average: Whether the moving average of G is wanted.
        allow_plugins: Whether the local file that the architecture is of may run.
        device: Where the generator runs.

    Raises:
        UserError: The trial has no generator, or the folder cannot be written.
    """
    record = RecordDirectory(trial if trial.is_dir() else trial.parent)
    folder = out or Path(f"{record.path.resolve().name}-samples")
    try:
        if film:
            folder.mkdir(parents=True, exist_ok=True)
            frames = write_film(record, folder / "epochs.gif")
            console.say(f"{folder / 'epochs.gif'}: {plural(frames, 'frame')}")
            if not images and not steps:
                return
        generator = load_generator(trial, average=average, allow_plugins=allow_plugins, device=device)
        folder.mkdir(parents=True, exist_ok=True)
        if steps:
            made = to_image(interpolation(generator, WAYS, steps, seed), steps)
            made.save(folder / "interpolation.png")
            console.say(f"{folder / 'interpolation.png'}: {WAYS} ways of {plural(steps, 'image')}")
        if images:
            digits = max(5, len(str(images - 1)))
            names = [f"image-{index:0{digits}d}.png" for index in range(images)]
            _refuse_others(folder, names)
            for name, image in zip(names, generator.images(images, seed), strict=True):
                single_image(image).save(folder / name)
            console.say(f"{folder}: {plural(images, 'image')}")
        if not images and not steps:
            to_image(generator.images(GRID, seed), WAYS).save(folder / "grid.png")
            console.say(f"{folder / 'grid.png'}: {GRID} images")
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); choose another folder with --out") from None


def _refuse_others(folder: Path, names: list[str]) -> None:
    """Keep the images of two draws apart: who scores the folder would score both.

    Raises:
        UserError: There are images of an earlier draw that this one would not replace.
    """
    others = sorted({path.name for path in folder.glob("image-*.png")} - set(names))
    if others:
        what = f"{folder} holds {plural(len(others), 'image')} of another draw, such as {others[0]}"
        raise UserError(f"{what}; choose another folder with --out, or remove them")
