"""Pillow's settings of the process, which notebooks and plug-ins change, as they are while images are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin

from gan_bench.core.shared_settings import Shared, shared_warnings

_DEFAULTS: tuple[tuple[Any, str, object], ...] = (
    (ImageFile, "LOAD_TRUNCATED_IMAGES", False),
    (Image, "MAX_IMAGE_PIXELS", 2**30 // 4 // 3),
    (PngImagePlugin, "MAX_TEXT_CHUNK", 2**20),
    (PngImagePlugin, "MAX_TEXT_MEMORY", 2**26),
    (TiffImagePlugin, "READ_LIBTIFF", False),
)
"""Those that change which images are refused, or what is read of them, with the values that Pillow comes with."""


@contextmanager
def _defaults() -> Iterator[None]:
    before = [(module, name, getattr(module, name)) for module, name, _ in _DEFAULTS]
    for module, name, value in _DEFAULTS:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


pillow_defaults = Shared(_defaults)
"""Reads images by the settings that Pillow comes with, and gives back those of the process."""


@contextmanager
def pillow_silenced() -> Iterator[None]:
    """Read images by the settings that Pillow comes with, and without what it warns of on odd files."""
    with shared_warnings(), pillow_defaults():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
