"""One atomic file that holds where a trial stands."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gan_bench.atomic import write_atomically
from gan_bench.trial import SCHEMA_VERSION


def save(path: Path, trial_id: str, state: Mapping[str, Any], progress: Mapping[str, Any]) -> None:
    """Write a checkpoint so that at any instant the file is either the old or the new one.

    Args:
        path: The file.
        trial_id: Identity of the trial, checked on reading.
        state: Tensors and plain values of the training state.
        progress: Plain values of the runner: offsets of the history, seconds so far.

    Raises:
        OSError: The file cannot be written.
    """
    buffer = io.BytesIO()
    content = {"schema": SCHEMA_VERSION, "trial": trial_id, "state": dict(state), "progress": dict(progress)}
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path, trial_id: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Read a checkpoint, without running code from it.

    Args:
        path: The file.
        trial_id: The trial it must belong to.

    Returns:
        The state, on the CPU, and the progress, or None when there is no usable checkpoint; an unusable one is set
        aside under the ending ``.broken``.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["schema"] == SCHEMA_VERSION and content["trial"] == trial_id:
            return content["state"], content["progress"]
    except Exception:  # noqa: S110 - a damaged file may raise anything; it is set aside below
        pass
    os.replace(path, path.with_name(path.name + ".broken"))  # noqa: PTH105
    return None
