"""Where the trials of a plan will run, as far as the plan has questions to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from gan_bench.execution.context import RunContext

T = TypeVar("T")


class Place(Protocol):
    """A place with a run context, near or far."""

    @property
    def device(self) -> str:
        """What computes there: ``cpu``, ``cuda:0``."""

    def call(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:  # noqa: ANN401 - the work's own
        """Call ``work`` on that machine, with its run context as ``context``.

        Raises:
            UserError: What the function raised.
        """


@dataclass(frozen=True)
class Here:
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
