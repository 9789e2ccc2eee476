"""``python -m gan_bench``: the command line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType

from gan_bench.core.errors import StopProcess

_STOPS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a signal ends it as quietly while libraries load as later, with nothing half-written.

    Args:
        arguments: Its words; None takes those of this process.
    """
    for number in _STOPS:
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):  # not where a shell ignores it
            signal.signal(number, _interrupt)
    try:
        from gan_bench.cli.app import main as run

        run(arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except StopProcess as stop:
        sys.exit(stop.args[0])


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise what ends this process; end at once within an import, where libraries in C lose exceptions, or state."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            with contextlib.suppress(OSError):
                os.write(2, b"interrupted\n" if number == signal.SIGINT else b"")
            os._exit(128 + number)
        frame = frame.f_back
    raise KeyboardInterrupt if number == signal.SIGINT else StopProcess(128 + number)


if __name__ == "__main__":
    main()
