"""Images of a recorded trial's generator: module, grids, files, interpolations, and an animation of its epochs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from gan_bench.config.plugins import forget_plugin, load_plugin
from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import DamagedError, DataError, UserError
from gan_bench.core.fields import whole_number
from gan_bench.core.program_code import is_other_code
from gan_bench.core.sources import calling
from gan_bench.execution.trial.environment import as_in_a_command
from gan_bench.metrics.evaluator import to_uint8
from gan_bench.models.architectures import ARCHITECTURES, construct, require_images
from gan_bench.randomness import draw_latent, generator_for, global_draws
from gan_bench.records.json_files import unreadable
from gan_bench.records.layout import AVERAGE_WEIGHTS, KEPT, WEIGHTS, RecordDirectory
from gan_bench.records.places import find_code
from gan_bench.records.reader import StoredTrial, read_saved
from gan_bench.records.sample_grid import read_sample_grid

if TYPE_CHECKING:
    from PIL.Image import Image

_BLOCK = 64
FRAME_MS = 400
"""Milliseconds per frame of an animation."""
MARK = "gan_bench sample"
"""Marks image files of gan_bench: in a GIF's comment or a PNG's software field."""


class Generator(nn.Module):
    """A recorded trial's generator in eval mode, with methods to draw from it.

    Args:
        network: G.
        config: The trial.

    Attributes:
        config: The trial.
        image_shape: (channels, height, width) of its images.
    """

    def __init__(self, network: nn.Module, config: TrialConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.image_shape = ARCHITECTURES[config.architecture].image_shape
        self.eval().requires_grad_(False)

    def forward(self, z: Tensor) -> Tensor:
        """Map latent vectors (N, latent_dim) to images (N, C, H, W) in [-1, 1].

        Raises:
            UserError: A third-party network fails, or gives no images.
        """
        name = self.config.architecture
        images: Tensor
        if ARCHITECTURES.is_shipped(name):
            images = self.network(z)
        else:
            with calling(f'architecture "{name}"'):
                images = self.network(z)
                require_images(images, ARCHITECTURES[name], len(z))
        return images

    def latent(self, count: int, seed: int = 0) -> Tensor:
        """Return latent vectors (count, latent_dim); a larger count of a seed begins with the same.

        Raises:
            UserError: The count is negative, or one of both is no whole number.
        """
        if whole_number("the number of images", count) < 0:
            raise UserError(f"the number of images must be 0 or more, not {count}")
        source = generator_for(whole_number("seed", seed), "sample", next(self.parameters()).device)
        shape = (_BLOCK, self.config.latent_dim)  # blocks of one size: the last numbers of a draw depend on its length
        blocks = [draw_latent(shape, self.config.latent, source) for _ in range(-(-count // _BLOCK))]
        return torch.cat(blocks)[:count] if blocks else torch.zeros(0, shape[1], device=source.device)

    def images(self, count: int, seed: int = 0) -> Tensor:
        """Return images (count, C, H, W) uint8, those of ``latent(count, seed)``, as a command draws them."""
        with as_in_a_command():
            return _drawn(self, self.latent(count, seed), seed)


def _drawn(generator: Generator, z: Tensor, seed: int) -> Tensor:
    """Return images (N, C, H, W) uint8 of latent vectors.

    Raises:
        UserError: Values of theirs are not finite.
    """
    drawn = []
    with global_draws(seed, "sample/layers", z.device):
        for part in torch.split(z, 500):
            images = generator(part)
            if not images.isfinite().all():
                told = "makes images with values that are not finite, which cannot be drawn; take another trial"
                raise UserError(f"the generator of {generator.config.architecture} {told}")
            drawn.append(to_uint8(images).cpu())
    return torch.cat(drawn)


def load_generator(
    path: Path, *, average: bool = False, allow_plugins: bool = False, device: torch.device | str = "cpu"
) -> Generator:
    """Load the generator of a finished trial.

    Args:
        path: A record directory, or a ``generator.safetensors`` or ``weights/epoch-NNNN.safetensors`` in one.
        average: Whether the moving average of G is wanted.
        allow_plugins: Whether the local file that the architecture is of may run.
        device: Where it will run.

    Raises:
        DataError: There is no generator, or it is damaged.
        RecordError: It or its record is damaged or not what was saved, or cannot be read.
        UserError: Its architecture is not there, or may not be loaded.
    """
    file, stored = _find(path, average=average)
    config = TrialConfig.from_json(stored.trial["config"])
    name = config.architecture
    _require_plugins(stored, name, allowed=allow_plugins)
    # its first weights are drawn, and overwritten
    with calling(f'architecture "{name}"'):
        network = construct(lambda: ARCHITECTURES[name].generator(config.latent_dim))
    try:
        network.load_state_dict(read_weights(file))
    except RuntimeError:
        place = RecordDirectory(stored.path).trial
        raise DataError(f"{file} does not fit the architecture {name} of {place}") from None
    return Generator(network.to(device), config)


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read the weights of a generator, also from paths that are not UTF-8, which the library cannot open.

    Raises:
        DataError: They are damaged.
        UnreadableError: The system does not let this process read them.
    """
    try:
        return load(file.read_bytes())
    except SafetensorError as error:
        raise DataError(f"{file} is damaged ({error}); run the trial again") from None
    except OSError as error:
        raise unreadable(file, error) from None


def record_of(path: Path) -> RecordDirectory:
    """Return the record directory that a path names: itself, or that of a file of weights in it."""
    if path.suffix != ".safetensors":
        return RecordDirectory(path)
    return RecordDirectory(path.parent.parent if path.parent.name == KEPT else path.parent)


def _read_saved(path: Path, files: Iterable[str]) -> StoredTrial:
    """Read the record that a path names, with some of its files.

    Raises:
        DataError: There is no record.
        RecordError: It or a file is damaged or not what was saved.
    """
    record = record_of(path)
    try:
        return read_saved(record.path, files)
    except DamagedError as error:
        if os.path.lexists(record.trial):
            raise
        raise DataError(
            f"{path} is no record of a trial ({record.trial.name} is not there); name a directory that holds "
            f"trial.json and {WEIGHTS}"
        ) from error


def _find(path: Path, *, average: bool) -> tuple[Path, StoredTrial]:
    """Return the file of a recorded generator, and the record that it lies in."""
    is_file, record = path.suffix == ".safetensors", record_of(path)
    is_kept = is_file and path.parent.name == KEPT
    file = record.average_weights if average and not is_kept else path if is_file else record.weights
    stored = _read_saved(path, [f"{KEPT}/{file.name}" if is_kept else file.name])
    if not file.is_file():
        kept = "; the trial kept no moving average (ema_decay)" if file.name == AVERAGE_WEIGHTS else ""
        raise DataError(
            f"{record.path} has no {file.name}{kept}; only trials that are done have one, and of published ones a few"
        )
    return file, stored


def _require_plugins(stored: StoredTrial, name: str, *, allowed: bool) -> None:
    """Load the plug-in that defines an architecture, if there is one and it is allowed.

    Raises:
        UserError: It is not allowed, or the code of the architecture is another now.
    """
    part = stored.environment.get("parts", {}).get(f"architectures/{name}")
    known = ARCHITECTURES.source(name) if name in ARCHITECTURES else None
    is_of_another_file = bool(part and known and known.path and known.sha256 != part["sha256"])
    if part and (path := part.get("path")) and (name not in ARCHITECTURES or is_of_another_file):
        found = find_code(stored.path, part)
        file = found or stored.path / path
        if not file.is_file():
            raise UserError(
                f"{stored.path} needs the code of the architecture {name}, {part['name']} with the SHA-256 "
                f"{part['sha256'][:12]}; put it at {file}"
            )
        if known and not found:
            raise UserError(f"the code of {known.name} is not what {stored.path} was trained with; restore it")
        if not allowed:
            raise UserError(
                f"the architecture {name} is of the file {file}; read it, then allow it with --allow-plugins "
                "(allow_plugins=True in Python)"
            )
        if known and known.path:  # another version of the network, from another record or card
            forget_plugin(known.path)
        load_plugin(file, part["sha256"])
    source = ARCHITECTURES.source(name)
    if part and source and is_other_code(part, vars(source), vars(ARCHITECTURES.in_program(name))):
        raise UserError(f"the code of {source.name} is not what {stored.path} was trained with; restore it")


# ------------------------------------------------------------------------------------------------- pictures


def to_image(images: Tensor, columns: int) -> Image:
    """Lay images (N, C, H, W) uint8 into a grid of so many columns."""
    from torchvision.transforms.functional import to_pil_image
    from torchvision.utils import make_grid

    grid: Image = to_pil_image(make_grid(images, nrow=columns, pad_value=255))
    return grid


def interpolation(generator: Generator, rows: int, steps: int, seed: int = 0) -> Tensor:
    """Return interpolated images, each row between two latent vectors of its own.

    Normal latents are joined on great circles, because the points of a straight line between two are too short to be
    likely (White 2016); uniform ones are joined by straight lines, which stay inside their cube.

    Args:
        generator: G.
        rows: Ways.
        steps: Images of each, its two ends included.
        seed: Seeds the ends.

    Returns:
        (rows * steps, C, H, W) uint8.
    """
    ends = generator.latent(2 * rows, seed)
    share = torch.linspace(0, 1, steps, device=ends.device)[None, :, None]
    start, stop = ends[:rows, None], ends[rows:, None]
    if generator.config.latent == "normal":
        cosine = nn.functional.cosine_similarity(start, stop, dim=-1)[..., None]
        angle = cosine.clamp(-1 + 1e-6, 1 - 1e-6).arccos()
        points = (((1 - share) * angle).sin() * start + (share * angle).sin() * stop) / angle.sin()
    else:
        points = (1 - share) * start + share * stop
    return _drawn(generator, points.flatten(0, 1), seed)


def write_film(path: Path, out: Path) -> int:
    """Write the sample grids of a trial as a GIF, one frame per epoch; the last is shown longer.

    Args:
        path: As ``load_generator`` takes it.
        out: The file to write; its folder is made once the grids are read.

    Returns:
        The number of frames.

    Raises:
        DataError: There is no record, or it has fewer than two grids.
        RecordError: The record or a grid is damaged or not what was saved.
    """
    record = record_of(path)
    _read_saved(path, ())
    files = list(record.grids.values())
    _read_saved(path, [f"{record.samples.name}/{file.name}" for file in files])
    if len(files) < 2:
        raise DataError(f"{record.path} has {len(files)} sample grids, too few for a film; evaluate at more epochs")
    first, *others = (read_sample_grid(file) for file in files)
    durations = [FRAME_MS] * len(others) + [5 * FRAME_MS]
    out.parent.mkdir(parents=True, exist_ok=True)
    first.save(out, save_all=True, append_images=others, duration=durations, loop=0, comment=MARK)
    return len(files)
