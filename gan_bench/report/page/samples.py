"""Sample grids of the same noise, side by side across settings and epochs, and as small animations."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.core.errors import RecordError
from gan_bench.core.text import slug
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.sample_grid import read_sample_grid
from gan_bench.report.study.frame import FAULTY
from gan_bench.report.study.study import Study

if TYPE_CHECKING:
    from PIL.Image import Image

TILES = 4
"""Images per row and column that are shown; a stored grid has eight."""
SETTINGS = 16
EPOCHS = 8
_PAD = 2
_EDGE = 36


@dataclass(frozen=True)
class Strip:
    """Samples of one setting for the same latent noise, epoch by epoch.

    Attributes:
        name: Name of its animation's file.
        label: The setting.
        trial: The trial it is from, the lowest seed that is there.
        seed: That seed.
        frames: Epoch and image.
    """

    name: str
    label: str
    trial: str
    seed: int
    frames: tuple[tuple[int, Image], ...]

    @cached_property
    def data_uris(self) -> list[tuple[int, str]]:
        """The frames for a page that needs no other file."""
        return [(epoch, data_uri(image, 80)) for epoch, image in self.frames]

    def animation(self) -> bytes:
        """Return the frames as an animated GIF that plays once."""
        out = io.BytesIO()
        first, *rest = (image.quantize(64) for _, image in self.frames)
        times = [700] * len(rest) + [2500]
        first.save(out, format="GIF", save_all=True, append_images=rest, duration=times, optimize=True)
        return out.getvalue()


def strips(study: Study, labels: list[str]) -> Iterator[Strip]:
    """Cut the stored sample grids of settings to a few images each; unreadable ones are left out.

    Args:
        study: The study.
        labels: Settings in the order they are to be shown; at most ``SETTINGS`` are.
    """
    for label in labels[:SETTINGS]:
        members = study.trials[(study.trials["label"] == label) & ~study.trials["status"].isin(FAULTY)]
        members = members.sort_values("seed")
        for _, row in members.iterrows():
            grids = _evenly_chosen(list(RecordDirectory(Path(row["path"])).grids.items()))
            frames = tuple((epoch, part) for epoch, file in grids if (part := _corner(file)) is not None)
            if frames:
                yield Strip(slug(study.slug, "samples", label), label, row["trial"], int(row["seed"]), frames)
                break


def grid_uri(file: Path | None, *, whole: bool = False) -> str | None:
    """Return a few or all images of a stored grid for a page; None if it is missing or unreadable."""
    image = None if file is None else _grid(file) if whole else _corner(file)
    return data_uri(image, 85 if whole else 80) if image else None


def _evenly_chosen(grids: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Keep the first, the last, and some in between."""
    if len(grids) <= EPOCHS:
        return grids
    return [grids[round(i * (len(grids) - 1) / (EPOCHS - 1))] for i in range(EPOCHS)]


def _grid(file: Path) -> Image | None:
    try:
        return read_sample_grid(file)
    except RecordError:
        return None


def _corner(file: Path) -> Image | None:
    from PIL import Image

    grid = _grid(file)
    side = (grid.width - _PAD) // 8 if grid else 0
    if grid is None or side < 1:
        return None
    part = grid.crop((0, 0, TILES * side + _PAD, TILES * side + _PAD))
    if side < _EDGE:  # small images are enlarged without blur
        scale = -(-2 * _EDGE // side)
        part = part.resize((part.width * scale, part.height * scale), Image.Resampling.NEAREST)
    return part


def data_uri(image: Image, quality: int) -> str:
    """Return an image as WebP for a page that needs no other file, or as PNG where Pillow is built without WebP.

    Args:
        image: The image.
        quality: Of WebP, from 0 to 100.
    """
    from PIL import features

    form, out = "WEBP" if features.check("webp") else "PNG", io.BytesIO()
    image.save(out, format=form, **({"quality": quality, "method": 4} if form == "WEBP" else {}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"
