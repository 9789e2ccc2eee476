"""``score`` and ``sample``: scores of images from any source, and images of a recorded generator."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan_bench.cli.options import AllowArchitecture, Data, Device
from gan_bench.config.image_folder import data_root
from gan_bench.core.errors import UserError
from gan_bench.core.text import as_argument, plural
from gan_bench.terminal.console import console, table_console

if TYPE_CHECKING:
    from gan_bench.records.record import Score
    from gan_bench.report.study.table import Table
    from gan_bench.rescoring import Added
    from gan_bench.scoring import ImageSetInfo


def score(
    generated: Annotated[
        str,
        typer.Argument(help="Folder or zip of images, or a generator.safetensors; with --add a results folder."),
    ],
    reference: Annotated[
        str | None, typer.Argument(help="Dataset[:split], folder or zip of images, or .npz (mu, sigma).")
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            help="Add this measure, or all scores under this extractor, to what finished trials have; may be repeated."
        ),
    ] = None,
    extractor: Annotated[list[str] | None, typer.Option(help="Score with this extractor; may be repeated.")] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=2, help="Images to draw from a generator \\[default: 10000], or to pick of the others \\[default: all]."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=8, max=1024, help="Scale and crop the images of files to this size, as run does.")
    ] = None,
    data: Data = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per score.")] = False,
    allow_plugins: AllowArchitecture = False,
) -> None:
    """Score images from any source, with the measures of a benchmark run."""
    from gan_bench import rescoring, scoring
    from gan_bench.execution.trial.environment import choose_device, fix_bits
    from gan_bench.records.json_files import finite
    from gan_bench.terminal.tables import print_table

    root, where, out = data_root(data), choose_device(device), console()
    fix_bits(where)
    if add:
        if reference is not None or extractor or samples or size or as_json:
            said = "with --add, name a results folder alone: each trial is scored as it was"
            raise UserError(f"{said}, so --extractor, --samples, --size and --json do not go together with it")
        made = rescoring.add_scores(Path(generated), add, root, where, allow_plugins=allow_plugins)
        raise typer.Exit(_say_added(made, generated))
    if reference is None:
        raise UserError("name what the images are compared with: a dataset, a folder, a zip or an .npz")
    found = scoring.prepare(
        generated, reference, extractor or [], root, where, samples, size=size, allow_plugins=allow_plugins
    )
    for remark in found.remarks:
        console(stderr=True).say(remark, style="yellow")
    scores = found.scores()
    if as_json:
        for each in scores:
            sys.stdout.write(json.dumps(finite(each.to_json()), allow_nan=False) + "\n")
        return
    for table in score_tables(scores, found.real(), found.generated.info, found.against.named):
        print_table(table, table_console(out), filed=False)


def _say_added(made: Iterable[Added], results: str) -> int:
    """Print what was added to each trial, or why not; return the exit code: 1 if a trial could not be scored."""
    out, faults, scores = console(), 0, 0
    for each in made:
        if each.fault:
            out.say(f"{each.trial}: {each.fault}", style="yellow")
        elif each.scores:
            epochs = ", ".join(map(str, each.epochs))
            out.say(f"{each.trial}: {plural(each.scores, 'score')} added, of epochs {epochs}")
        if each.other:
            why = "the held-out images changed when it was resumed, and its record does not say at which epoch"
            out.say(f"{each.trial}: nothing added to epochs {', '.join(map(str, each.other))}; {why}", style="yellow")
        if each.without:
            why = "evaluate: {keep: weights} in a suite keeps them"
            why = "they were kept, and are not in this folder" if each.kept else why
            out.say(f"{each.trial}: no weights of epochs {', '.join(map(str, each.without))}; {why}", style="yellow")
        faults, scores = faults + bool(each.fault), scores + each.scores
    shows = f"; `gan-bench report {shlex.quote(as_argument(results))}` shows them" if scores else ""
    out.say(f"{plural(scores, 'score')} added{shows}")
    return min(faults, 1)


def score_tables(
    scores: Iterable[Score], real: Iterable[Score], images: ImageSetInfo, reference: str
) -> Iterator[Table]:
    """Lay out scores: a table for each extractor, whose title names the protocol.

    Args:
        scores: The scores.
        real: What as many held-out real images score; nothing where there are none.
        images: The images that were scored.
        reference: What they were compared with, a dataset with its split.
    """
    import pandas as pd

    from gan_bench.config.measures import MEASURES
    from gan_bench.report.study.table import Column, Table, arrow

    columns = (
        Column("measure", "measure", essential=True),
        Column("value", "score", "interval", essential=True),
        Column("real", "held-out real images", "number", vital=True),
        Column("note", "remarks", essential=True),  # why a score is none
    )
    held_out = {(each.metric, each.extractor): each.value for each in real}
    for extractor, of_it in groupby(scores, lambda each: each.extractor):
        group = list(of_it)
        rows = [
            {
                "measure": arrow(each.metric) if each.metric in MEASURES else each.metric,
                "value": each.value,
                "value_low": None if each.std is None or each.value is None else each.value - each.std,
                "value_high": None if each.std is None or each.value is None else each.value + each.std,
                "real": held_out.get((each.metric, extractor)),
                "note": each.note or ("" if each.value is not None else "no value"),
            }
            for each in group
        ]
        counts = f"{group[0].generated:,} images of {images.pixels}"
        against = f"{group[0].real:,} of {reference}" if group[0].real else reference
        title = f"{images.label}: {counts}, compared with {against} by {extractor}"
        yield Table("", title, columns, pd.DataFrame(rows))


GRID = 64
WAYS = 8


def sample(
    trial: Annotated[Path, typer.Argument(help="A record directory, or a generator.safetensors in one.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the images \\[default: TRIAL-samples here].")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the latent vectors.")] = 0,
    images: Annotated[int, typer.Option(min=0, max=1_000_000, help="Write so many single PNG files.")] = 0,
    interpolate: Annotated[
        int, typer.Option(min=0, max=1000, help="Write 8 latent interpolations of so many images each.")
    ] = 0,
    gif: Annotated[bool, typer.Option("--gif", help="Write the sample grids of all epochs as a GIF.")] = False,
    ema: Annotated[bool, typer.Option("--ema", help="Take the moving average of G.")] = False,
    allow_plugins: AllowArchitecture = False,
    device: Device = "auto",
) -> None:
    """Draw from a trained generator: a grid, single images, a latent interpolation, a GIF over epochs."""
    from PIL.PngImagePlugin import PngInfo
    from torchvision.transforms.functional import to_pil_image

    from gan_bench import sampling
    from gan_bench.execution.trial.environment import choose_device

    where, said = choose_device(device), list[str]()
    folder = out or Path(f"{sampling.record_of(trial).path.resolve().name}-samples")
    single = [f"image-{index:0{max(5, len(str(images - 1)))}d}.png" for index in range(images)]
    _refuse_others(folder, single, [*["interpolation.png"] * bool(interpolate), *["epochs.gif"] * gif])
    mark = PngInfo()
    mark.add_text("Software", sampling.MARK)
    try:
        if gif:
            frames = sampling.write_film(trial, folder / "epochs.gif")
            said.append(f"{folder / 'epochs.gif'}: {plural(frames, 'frame')}")
        if images or interpolate or not gif:
            generator = sampling.load_generator(trial, average=ema, allow_plugins=allow_plugins, device=where)
            folder.mkdir(parents=True, exist_ok=True)
            if interpolate:
                made = sampling.to_image(sampling.interpolation(generator, WAYS, interpolate, seed), interpolate)
                made.save(folder / "interpolation.png", pnginfo=mark)
                said.append(f"{folder / 'interpolation.png'}: {WAYS} ways of {plural(interpolate, 'image')}")
            if images:
                for name, image in zip(single, generator.images(images, seed), strict=True):
                    to_pil_image(image).save(folder / name, pnginfo=mark)
                said.append(f"{folder}: {plural(images, 'image')}")
            if not images and not interpolate:
                sampling.to_image(generator.images(GRID, seed), WAYS).save(folder / "grid.png", pnginfo=mark)
                said.append(f"{folder / 'grid.png'}: {GRID} images")
    except BrokenPipeError:  # a closed standard output, not the folder
        raise
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); choose another folder with --out") from None
    for line in said:
        console().say(line)


def _refuse_others(folder: Path, single: list[str], more: list[str]) -> None:
    """Refuse to overwrite a user's files, or to mix the images of two draws: scoring the folder would score both.

    Raises:
        UserError: There are such, or images of an earlier draw that this one would not replace.
    """
    from gan_bench.records.outputs import check_output, holds
    from gan_bench.sampling import MARK

    names = [*more, *single] or ["grid.png"]
    check_output(folder, names, "sample", lambda file: holds(file, MARK))
    others = sorted({path.name for path in folder.glob("image-*.png")} - set(single))
    if single and others:
        what = f"{folder} holds {plural(len(others), 'image')} of another draw, such as {others[0]}"
        raise UserError(f"{what}; choose another folder with --out, or remove them")
