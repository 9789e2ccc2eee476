"""The console of commands, and stop requests from the keyboard."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any, NoReturn

from rich.cells import cell_len
from rich.console import Console

from gan_bench.core.text import printable

PIPE_WIDTH = 400
"""Width of tables in a file or pipe, unless ``COLUMNS`` sets it."""
HANGING = 2
"""Indentation of continuation lines."""
_WORD = re.compile(r"(\s*)((?:`[^`]*`|\S)+)")
"""A word, or a command in backticks, with the blanks before it."""
_ASCII = {
    "±": "+-", "\N{MULTIPLICATION SIGN}": "x", "·": "-", "β": "beta", "ε": "eps", "₁": "1", "₂": "2",
    "²": "2", "↓": "(lower)", "↑": "(higher)", "∞": "inf", "…": "...", "→": "->", "\N{EN DASH}": "-", "é": "e",
    "√": "sqrt", "≤": "<=",
}  # fmt: skip
"""Replacements for characters that a stream cannot encode."""


def write_any_text() -> None:
    """Make standard output and standard error accept any text in any encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="gan_bench")


def _spell(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - streams that are written do not decode
    text = error.object[error.start : error.end]
    spelled = "".join(_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text)
    return spelled, error.end


codecs.register_error("gan_bench", _spell)


def spelled(text: str, encoding: str) -> str:
    """Return a text with the characters that an encoding lacks replaced."""
    return text.encode(encoding, "gan_bench").decode(encoding)


class PlainConsole(Console):
    """A console that prints text from files and exceptions without interpreting markup or control characters."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - rich's
        told = os.environ.get("COLUMNS", "")
        self._told_width = told.isdecimal() and int(told) > 0  # 0 is how some say that they do not know
        if not self._told_width:
            options["_environ"] = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        if options.get("file") is not None:  # else rich would display it in a notebook instead
            options.setdefault("force_jupyter", False)
        super().__init__(**options)

    def on_broken_pipe(self) -> NoReturn:
        """Raise BrokenPipeError, where rich would exit the process."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    @property
    def on_screen(self) -> bool:
        """True if it is a terminal; ``FORCE_COLOR`` makes colours in files and pipes, too."""
        asked = getattr(self.file, "isatty", None)
        return self.is_terminal and asked is not None and bool(asked())

    @property
    def has_width(self) -> bool:
        """True if lines have a width: in a terminal, or by ``COLUMNS``."""
        return self.on_screen or self._told_width

    def say(self, text: str, style: str | None = None) -> None:
        """Print one line without markup, wrapped at words if lines have a width."""
        lines = [printable(line) for line in spelled(text, self.encoding).split("\n")]
        if self.has_width:
            lines = [part for line in lines for part in wrapped(line, self.width)]
        self.print("\n".join(lines), style=style, markup=False, highlight=False, soft_wrap=True)


def wrapped(line: str, width: int) -> list[str]:
    """Wrap a line at blanks with indented continuation; commands in backticks stay whole, to be copied.

    Args:
        line: Without line breaks.
        width: Columns; a word that is longer is left whole.
    """
    if cell_len(line) <= width or not line.strip():
        return [line]
    lines, indent = [""], len(line) - len(line.lstrip(" ")) + HANGING
    for gap, word in _WORD.findall(line):
        if lines[-1].strip() and cell_len(lines[-1] + gap + word) > width:
            lines.append(" " * indent + word)
        else:
            lines[-1] += gap + word
    return lines


def console(*, stderr: bool = False, file: IO[str] | None = None) -> PlainConsole:
    """Return a console for lines."""
    return PlainConsole(stderr=stderr, file=file)


def table_console(lines: PlainConsole) -> PlainConsole:
    """Return a console for tables, wide if lines have no width."""
    return lines if lines.has_width else PlainConsole(width=PIPE_WIDTH, file=lines.file, force_jupyter=lines.is_jupyter)


PLAIN_SECONDS = 15.0
"""Seconds between two plain lines about the same thing."""
STEP = 0.1
"""Fraction of a preparation between two progress lines."""


class PreparationLines:
    """Prints what is being prepared, once, and its progress when that takes long.

    Args:
        console: Where to.
    """

    def __init__(self, console: PlainConsole) -> None:
        self._console = console
        self._what, self._said_at, self._said = "", 0.0, 0.0

    def __call__(self, what: str, fraction: float) -> None:
        """Print the line, unless it was printed a moment ago; a closed stream must not fail a trial."""
        now, text = time.monotonic(), ""
        if what != self._what:
            text = f"  {what}"
        elif fraction - self._said >= STEP and now - self._said_at > PLAIN_SECONDS:
            text = f"  {what}: {fraction:.0%}"
        if text:
            self._what, self._said_at, self._said = what, now, fraction
            with contextlib.suppress(OSError):
                self._console.say(text, style="dim")


GRACE_SECONDS = 90.0
"""Seconds that trials of this machine may take to save a checkpoint; evaluations stop between chunks."""
CLUSTER_GRACE_SECONDS = 30.0
"""The same with a Ray cluster, parts of which the same signal may have ended."""
CONNECTING_GRACE_SECONDS = 5.0
"""The same before anything trains on the cluster."""


_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # not on every system
_STOPS = {signal.SIGINT, signal.SIGTERM, *([_HANG_UP] if _HANG_UP else [])}


LAST_WORDS = "stopping after a checkpoint"


class StopRequest:
    """Becomes true at the first Ctrl-C, SIGTERM or hang-up; a second one or the end of a grace period ends the process.

    Args:
        console: Where that is said.
        grace: Seconds from the first one in which everything ends.
        hears: Whether it takes signals. Where a caller's process must not be changed, it does not.

    Attributes:
        asked: Whether a signal asked for a stop.
        is_spent: Whether a budget of time did.
        hears: As given.
        grace: As given; it may be changed until then.
        last_words: What a signal is answered with.
        deadline: When the budget is spent, on the monotonic clock, or None.
    """

    def __init__(self, console: PlainConsole, grace: float = GRACE_SECONDS, *, hears: bool = True) -> None:
        self.asked = self.is_spent = False
        self.last_words = LAST_WORDS
        self.deadline: float | None = None
        self._console, self.grace = console, grace
        self._timer: threading.Timer | None = None
        self.hears = hears
        self._listens = not hears  # if signals are not heard, there is nothing to install

    def __call__(self) -> bool:
        """True if everything is to stop."""
        if self.deadline is not None and not self.is_spent and time.monotonic() >= self.deadline:
            self.is_spent = True
            self._tell("the budget is spent: stopping after a checkpoint")
        return self.asked or self.is_spent

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. A closed terminal sends it twice: from the shell and the system.

        It says nothing: this thread may be in the middle of a line, where Python's streams refuse another.
        """
        if not self.asked:
            self.asked = True
        elif number != _HANG_UP:
            self._abort()

    def _begin(self) -> None:
        """Begin the grace period with a message, if it has not begun."""
        if self._timer is None:
            self._timer = threading.Timer(self.grace, self._abort)
            self._timer.daemon = True
            self._timer.start()
            self._tell(f"\n{self.last_words}, after {self.grace:.0f} s in any case; press Ctrl-C again to abort")

    def _tell(self, text: str) -> None:
        """Print a line from within a trial, which must not fail when the stream is closed."""
        with contextlib.suppress(OSError):
            self._console.say(text, style="yellow")

    @contextmanager
    def _stopping_at_once(self) -> Iterator[None]:
        """Begin the grace period in a thread, as Python takes no signals while the main one is in a library's call.

        Such a call may outlast the period.
        """
        ear, mouth = socket.socketpair()
        mouth.setblocking(False)
        before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)

        def hear() -> None:
            while numbers := ear.recv(16):
                if _STOPS & set(numbers):
                    self._begin()

        thread = threading.Thread(target=hear, daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            mouth.close()
            thread.join()
            ear.close()

    def _abort(self) -> None:
        """Kill the workers and exit this process."""
        from gan_bench.execution.workers.pool import kill_workers

        kill_workers()
        with contextlib.suppress(Exception):
            self._console.show_cursor(True)
        os._exit(130)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals while the block runs; nested blocks change nothing."""
        is_main = threading.current_thread() is threading.main_thread()  # only that one hears signals
        if self._listens or not is_main:
            yield
            return
        self._listens = True
        heard = {n for n in _STOPS if n != _HANG_UP or signal.getsignal(n) is not signal.SIG_IGN}  # as under nohup
        before = {n: signal.signal(n, self.handle) for n in heard}
        try:
            with self._stopping_at_once():
                yield
        finally:
            self._listens = False
            if self._timer:
                self._timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)
