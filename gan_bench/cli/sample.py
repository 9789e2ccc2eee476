"""``sample``: images of a recorded generator."""

from __future__ import annotations

from pathlib import Path

from gan_bench.core.errors import UserError
from gan_bench.core.text import plural
from gan_bench.records.layout import RecordDirectory
from gan_bench.sampling import interpolation, load_generator, single_image, to_image, write_film
from gan_bench.terminal.console import PlainConsole

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
