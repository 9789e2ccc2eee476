"""The console that commands print to, and what stops a run from the keyboard."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO

from rich.console import Console

from gan_bench.core.text import printable

PIPE_WIDTH = 400
"""Columns of tables where nobody folds lines: a file or a pipe has no width."""


class PlainConsole(Console):
    """A console to which text from files and exceptions can be printed as it is: it commands nothing."""

    def say(self, text: str, style: str | None = None) -> None:
        """Print one line without markup; only its own line breaks break it."""
        lines = "\n".join(printable(line) for line in text.split("\n"))
        self.print(lines, style=style, markup=False, highlight=False, soft_wrap=True)


def console(*, stderr: bool = False, file: IO[str] | None = None, width: int | None = None) -> PlainConsole:
    """Return a console for lines."""
    return PlainConsole(stderr=stderr, file=file, width=width)


def table_console(lines: PlainConsole) -> PlainConsole:
    """Return a console for tables, wide where there is no terminal."""
    return lines if lines.is_terminal else PlainConsole(width=PIPE_WIDTH, file=lines.file)


class StopRequest:
    """Becomes true at the first Ctrl-C or SIGTERM; the second ends the process at once.

    Args:
        console: Where that is said.
    """

    def __init__(self, console: PlainConsole) -> None:
        self.asked = False
        self._console = console

    def __call__(self) -> bool:
        """Say whether a stop was asked for."""
        return self.asked

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        from gan_bench.execution.worker_pool import kill_workers

        if self.asked:
            kill_workers()
            self._console.show_cursor(True)
            os._exit(130)
        self.asked = True
        self._console.say("\nstopping after a checkpoint; press Ctrl-C again to abort", style="yellow")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals for as long as the block runs."""
        if threading.current_thread() is not threading.main_thread():  # only that one hears signals
            yield
            return
        before = {n: signal.signal(n, self.handle) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
