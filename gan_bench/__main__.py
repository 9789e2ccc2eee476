"""``python -m gan_bench``: the command line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType

from gan_bench.core.errors import StopProcess

_STOPS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]

GRACE = 5.0
"""Seconds that threads of other code have to end, once a command is over."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a signal also ends it cleanly while libraries load.

    Args:
        arguments: Its words; None takes those of this process.
    """
    _open_closed_streams()
    for number in _STOPS:
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):  # not where a shell ignores it
            signal.signal(number, _interrupt)
    try:
        from gan_bench.cli.app import main as run

        run(arguments)
    except KeyboardInterrupt:
        code: str | int | None = 130
    except StopProcess as stop:
        code = stop.args[0]
    except SystemExit as stop:
        code = stop.code
    else:
        return
    if arguments is None and _threads_left():  # this process ends with its command
        threading.Thread(target=_end, args=(code,), daemon=True).start()
    sys.exit(code)


def _open_closed_streams() -> None:
    """Open the null device for standard streams that are closed (``>&-``), for this process and its children.

    Python has None in their place, and the next file to be opened, such as a lock, would have their descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


def _threads_left() -> list[str]:
    """Return the names of the threads that Python waits for before it ends."""
    return [each.name for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]


def _end(code: str | int | None) -> None:
    """End this process if threads of other code, such as a part's, do not end."""
    time.sleep(GRACE)
    if not (left := _threads_left()):
        return
    told = f"ended with the command: {', '.join(left)}, threads that a part left; make them daemons\n"
    for say in (lambda: os.write(2, told.encode(errors="backslashreplace")), sys.stdout.flush):
        with contextlib.suppress(OSError, ValueError):
            say()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise the exception that ends this process; exit at once within an import, where C libraries lose exceptions."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            with contextlib.suppress(OSError):
                os.write(2, b"interrupted\n" if number == signal.SIGINT else b"")
            os._exit(128 + number)
        frame = frame.f_back
    raise KeyboardInterrupt if number == signal.SIGINT else StopProcess(128 + number)


if __name__ == "__main__":
    main()
