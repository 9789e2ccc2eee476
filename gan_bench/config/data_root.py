"""Where datasets are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gan_bench.core.errors import UserError
from gan_bench.core.text import at_home


@dataclass(frozen=True)
class DataRoot:
    """The folder datasets are read from.

    Attributes:
        path: The folder.
        given: Whether the user named it. A folder that was given is only read; the default one may be filled.
    """

    path: Path
    given: bool


def data_root(given: Path | None) -> DataRoot:
    """Choose the data folder: the one given, else ``$GAN_BENCH_DATA``, else ``data``, which may be filled.

    Raises:
        UserError: The folder that was given does not exist.
    """
    named = str(given) if given else os.environ.get("GAN_BENCH_DATA")
    folder = Path(at_home(named)) if named else None
    if folder is not None and not folder.is_dir():
        where = "--data" if given else "GAN_BENCH_DATA"
        raise UserError(f"the data folder {folder} does not exist; name another with {where} or leave it out")
    return DataRoot(folder or Path("data"), folder is not None)
