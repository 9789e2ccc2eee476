"""Sample grids in MLflow's format, without decoding and writing each of them three times.

``log_image`` takes 20 ms for a grid, most of it for encoding what is encoded already. Its page finds images by the
names of their files, which differ between versions of MLflow: they are learnt from ``log_image`` itself, once.
"""

from __future__ import annotations

import functools
import io
import uuid
from pathlib import Path

import numpy as np
from PIL import features

from gan_bench.records.sample_grid import read_sample_grid

SAMPLES_KEY = "eval/samples"
LAST_KEY = "eval/last_samples"
"""Key of a trial's last grid, as MLflow's page opens images at their first step."""
LOGGED_TAG = "mlflow.loggedImages"
"""Tag by which MLflow's page knows that a run has images."""
SMALL = 256
"""Pixels of the longer side of the copy that charts show, as MLflow makes it."""
_STEP, _TIME = 987_654_321, 1_234_567_890_123


def stage(path: Path, folder: Path, epoch: int, time_ms: int, *, last: bool) -> None:
    """Write a sample grid into a folder in the layout of ``log_image``.

    Args:
        path: The grid, a PNG.
        folder: Where the artifacts of a run are gathered.
        epoch: The step that the page shows it at.
        time_ms: When it was made, in milliseconds. The same grid gets the same name, so sent twice it is there once.
        last: Whether it is the last of its trial.

    Raises:
        RecordError: It cannot be read.
    """
    grid = read_sample_grid(path)
    if max(grid.size) > SMALL:
        grid.thumbnail((SMALL, SMALL))
    packed = io.BytesIO()
    if features.check("webp"):
        grid.save(packed, "WEBP", method=0)
    else:  # Pillow may be built without it; pages read the bytes, not the name
        grid.save(packed, "PNG")
    for key in (SAMPLES_KEY, LAST_KEY) if last else (SAMPLES_KEY,):
        mark = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{key}/{epoch}/{time_ms}"))
        whole, small = (
            folder / name.replace(str(_STEP), str(epoch)).replace(str(_TIME), str(time_ms)).replace("MARK", mark)
            for name in _file_names(key)
        )
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.symlink_to(path.resolve())
        small.write_bytes(packed.getvalue())


@functools.cache
def _file_names(key: str) -> tuple[str, str]:
    """Return how MLflow names the file of an image and that of its small copy."""
    from mlflow import MlflowClient

    named: list[str] = []

    class Listening(MlflowClient):  # type: ignore[misc]  # mlflow has no types
        """Takes no files, and remembers their names."""

        def __init__(self) -> None:
            pass  # there is no server

        def log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
            named.append(f"{artifact_path}/{Path(local_path).name}")

        def set_tag(self, *_: object, **__: object) -> None:
            pass

    black = np.zeros((1, 1, 3), np.uint8)
    Listening().log_image("0" * 32, black, key=key, step=_STEP, timestamp=_TIME, synchronous=True)
    whole = next(each for each in named if each.endswith(".png"))
    small = next(each for each in named if each.endswith(".webp"))
    mark = whole.removesuffix(".png")[-36:]
    return whole.replace(mark, "MARK"), small.replace(mark, "MARK")
