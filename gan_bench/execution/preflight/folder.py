"""Before a suite runs: what its results folder allows. May it be written, has it room, do its locks hold?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import UserError
from gan_bench.core.text import rounded
from gan_bench.metrics.evaluator import GRID
from gan_bench.models.architectures import ARCHITECTURES, without_memory
from gan_bench.records.layout import ENVIRONMENT, PLAN, SUITE, TRIAL

_LINE = 250
_SPARE = 16_000_000
"""Bytes of a history line, and of what else is written: plan, baselines, tables, the database."""


_NO_RESULTS = (("the folder of one suite", (PLAN, SUITE), 0), ("the record of one trial", (TRIAL, ENVIRONMENT), 1))
"""What lies in a results folder, the files by which it is known, and how far up that is."""


def check_writable(results: Path, *, make: bool) -> None:
    """Find out before anything else whether a results folder can be written.

    Args:
        results: The folder.
        make: Whether to make it where it is not there.

    Raises:
        UserError: It cannot; or it is a suite's folder or a record in one, below which no report looks for suites.
    """
    try:
        for what, names, up in _NO_RESULTS:
            if all((results / name).exists() for name in names):
                folder = results.absolute().parents[up]
                raise UserError(
                    f"{results} is {what}; name the results folder that it lies in, {folder}, with --results"
                )
        if not make and not results.exists():
            return
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        why = "a link to what does not exist" if results.is_symlink() and not results.exists() else error.strerror
        raise UserError(
            f"the results folder {results} cannot be written ({why}); choose another with --results"
        ) from None


def check_space(trials: list[Trial], at_a_time: int, results: Path, *, mirrored: bool) -> None:
    """Find out before hours are spent whether the results folder has room for what trials will write.

    Counted are generators, sample grids and history lines, and what is to spare: three checkpoints of every trial that
    runs at the same time (the last, the one before, and the next while it is written) and ``_SPARE``.

    Args:
        trials: The trials.
        at_a_time: How many of them run at the same time.
        results: The results folder.
        mirrored: Whether MLflow keeps a copy of generators and grids beside them.

    Raises:
        UserError: It has not.
    """
    lasting, passing = 0, 0
    for config in (trial.config for trial in trials):
        architecture = ARCHITECTURES[config.architecture]
        sizes = [_weight_bytes(network) for network in without_memory(architecture, config.latent_dim)]
        sizes[0] *= 2 if config.ema_decay else 1  # the moving average is another generator
        grids = len(config.evaluation.epochs) * GRID * architecture.image_shape[0] * config.image_size**2
        lasting += (2 if mirrored else 1) * (sizes[0] + grids) + _LINE * config.epochs * 4
        lasting += kept_bytes(config)
        passing = max(passing, 3 * 3 * sum(sizes))  # Adam keeps two moments beside each weight
    spare = at_a_time * passing + _SPARE
    free = shutil.disk_usage(results).free
    if free < lasting + spare:
        written, needed, there = (rounded(size / 1e6) for size in (lasting, spare, free))
        raise UserError(
            f"the suite will write about {written} MB to {results} and needs {needed} MB to spare for checkpoints and "
            f"tables, where {there} MB are free; free some space or choose another "
            "folder with --results"
        )


def kept_bytes(config: TrialConfig) -> int:
    """Return the bytes of the weights that a trial keeps of its evaluated epochs, beside the last."""
    if config.evaluation.keep != "weights":
        return 0
    generator, _ = without_memory(ARCHITECTURES[config.architecture], config.latent_dim)
    each = _weight_bytes(generator) * (2 if config.ema_decay else 1)
    return each * sum(epoch < config.epochs for epoch in config.evaluation.epochs)


def kept_remark(trials: list[Trial]) -> Iterator[str]:
    """Yield how much disk the weights take that trials keep of their evaluated epochs."""
    sizes = [kept_bytes(trial.config) for trial in trials]
    if total := sum(sizes):
        yield (
            f"the weights of every evaluated epoch are kept (evaluate: keep: weights): {rounded(total / 1e6)} MB in "
            f"all, at most {rounded(max(sizes) / 1e6)} MB a trial"
        )


_OWN_LOCKS = (
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "fuse.goofys",
    "fuse.blobfuse",
    "fuse.blobfuse2",
)
"""File systems whose locks hold on one machine only. On sshfs 3.7 two mounts of one folder were both given the same
lock; GlusterFS 10 refused the second, through ``flock`` and through ``fcntl``."""


def locks_remark(results: Path, mounts: str | None = None) -> Iterator[str]:
    """Warn where locks do not reach other machines, so that two of them would train the same trial.

    Args:
        results: The results folder.
        mounts: What ``/proc/self/mounts`` says; None reads it, where there is one.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
    fields = [line.split(" ") for line in mounts.splitlines()]
    kinds = {Path(f[1].replace("\\040", " ")): f[2] for f in fields if len(f) > 2}
    place = results.resolve()
    kind = next((kinds[folder] for folder in (place, *place.parents) if folder in kinds), "")
    if kind in _OWN_LOCKS:
        yield (
            f"{results} lies on {kind.removeprefix('fuse.')}, whose locks do not reach other machines; run this suite "
            "from one machine at a time"
        )


def _weight_bytes(network: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in network.parameters())
