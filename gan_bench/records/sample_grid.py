"""The sample grids of a record, read back within limits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.core.errors import DamagedError, RecordError, brief
from gan_bench.core.text import printable
from gan_bench.records.json_files import read_file

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 80_000_000
"""Most pixels of a grid: above 8 x 8 images of 1,024 x 1,024 pixels with frames."""


def read_sample_grid(path: Path) -> Image:
    """Read a stored sample grid as an RGB image.

    Raises:
        RecordError: It is no intact PNG, or is too large to be a sample grid.
    """
    from PIL import Image, UnidentifiedImageError

    from gan_bench.pillow_settings import pillow_silenced

    try:
        if path.lstat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES // 2**20} MiB")
        if path.parent.is_symlink():
            raise ValueError("its folder is a link, and records have none")
        data = read_file(path)
        # other formats may be programs, such as EPS
        with pillow_silenced(), Image.open(io.BytesIO(data), formats=("PNG",)) as grid:
            if grid.width * grid.height > MAX_PIXELS:
                raise ValueError(f"{grid.width:,}x{grid.height:,} pixels")
            return grid.convert("RGB")
    except RecordError:
        raise
    except Exception as error:  # damaged data make PIL raise any kind
        why = "no PNG" if isinstance(error, UnidentifiedImageError) else printable(brief(error))
        raise DamagedError(f"the sample grid {path} cannot be read ({why}); restore or delete it") from None
