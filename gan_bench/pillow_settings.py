"""Pillow's global settings while images are read, as notebooks and plug-ins may change them."""

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
"""Settings that change which images are refused, or how they are read, with Pillow's defaults."""


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
"""Applies Pillow's defaults while images are read, and restores the process's settings."""


@contextmanager
def pillow_silenced() -> Iterator[None]:
    """Read images with Pillow's defaults, without its warnings about unusual files."""
    with shared_warnings(), pillow_defaults():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
