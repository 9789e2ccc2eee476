"""Where the trials of a plan run: in this process or in worker processes, and how many of those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gan_bench.config.suite import Plan
from gan_bench.core.errors import UserError
from gan_bench.core.registry import REGISTRIES
from gan_bench.data.datasets import DATASETS
from gan_bench.execution.preflight.checks import Survey
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.environment import cores
from gan_bench.execution.workers.pool import WorkerPoolConfig

T = TypeVar("T")


@dataclass(frozen=True)
class ThisProcess:
    """This process.

    Attributes:
        context: Its run context.
    """

    context: RunContext

    @property
    def device(self) -> str:
        """What computes here."""
        return str(self.context.device)

    def call(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:  # noqa: ANN401 - the work's own
        """Let a function work here."""
        return work(*arguments, context=self.context, **options)


def choose_pool(
    executor: str,
    workers: int | None,
    group: int | None,
    devices: Sequence[str],
    plan: Plan,
    found: Survey,
    count: int,
) -> WorkerPoolConfig | None:
    """Choose the worker processes: a thread each on a CPU, one process per GPU, never more than there are trials.

    Beside other work, one thread per process is also the robust choice: threads of one operation wait for the slowest.

    Args:
        executor: ``auto``, ``inline`` or ``processes``.
        workers: Processes that are asked for, or None.
        group: How many trials train together, as asked for, or None.
        devices: Where trials may run.
        plan: The plan.
        found: What its survey found.
        count: How many trials are left to run.

    Returns:
        The worker processes, or None when trials run in this process.

    Raises:
        UserError: Worker processes are asked for and would not know a part.
    """
    cuda = devices[0] != "cpu"
    number = max(1, min(workers or (len(devices) if cuda else cores()), count))
    inline_is_better = number == 1 or (group or 1) > 1  # a group is one process's
    if executor == "inline" or (executor == "auto" and (inline_is_better or _known_here_alone(found))):
        return None
    check_known(found)
    places = tuple(devices[i % len(devices)] for i in range(number))
    return WorkerPoolConfig(devices=places, threads=None if cuda else 1, folders=plan.folders, plugins=plan.plugins)


def check_known(found: Survey) -> None:
    """Refuse parts that other processes would not know.

    Raises:
        UserError: This program registered one itself.
    """
    if alone := _known_here_alone(found):
        raise UserError(
            f"worker processes do not know the {alone}, which this program registered itself; put it into a file that "
            "the suite names under plugins:, or use --executor inline"
        )


def _known_here_alone(found: Survey) -> str | None:
    """Name a part that this program registered itself, so that other processes do not know it, or return None."""
    for plural, name in found.parts:
        registry = REGISTRIES[plural]
        folder = plural == "datasets" and DATASETS[name].folder is not None
        if not (folder or registry.is_shipped(name) or registry.source(name)):
            return f'{registry.kind} "{name}"'
    return None
