"""How a trial can end, and which class of reason an exception belongs to."""

from __future__ import annotations

import errno

import torch

from gan_bench.core.errors import DataError, UserError, brief, is_out_of_memory
from gan_bench.records.record import Failure, Status

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Diverged(Exception):  # noqa: N818 - it is an outcome, not an error
    """Training produced numbers that are not finite."""


class Interrupted(Exception):  # noqa: N818 - it is an outcome, not an error
    """A stop of the trial was requested."""


class TimeLimit(Exception):  # noqa: N818 - it is an outcome, not an error
    """The trial used up its time.

    Args:
        seconds: Its limit.
    """

    def __init__(self, seconds: float | None) -> None:
        super().__init__(f"the time limit of {seconds or 0:g} s is reached; raise it and run with --retry-failed")


def classify(error: BaseException, device: torch.device) -> tuple[Status, Failure | None, str]:
    """Classify how a trial ended, from the exception it raised.

    Args:
        error: What ended it.
        device: Where it ran.

    Returns:
        Status, class of a failure, and the reason as one sentence.
    """
    failure, reason = Failure.CRASH, brief(error)
    match error:
        case Interrupted():
            return Status.INTERRUPTED, None, "stopped on request; run the suite again to continue"
        case Diverged():
            return Status.DIVERGED, None, str(error)
        case SystemExit():
            reason = f"code that the trial uses tried to end the process ({reason}); correct it"
        case TimeLimit():
            failure, reason = Failure.TIMEOUT, str(error)
        case _ if is_out_of_memory(error):
            failure, reason = Failure.OUT_OF_MEMORY, f"out of memory on {device}; lower batch_size, samples or --group"
        case DataError():
            failure, reason = Failure.DATA, str(error)
        case UserError():
            failure, reason = Failure.SETUP, str(error)
        case OSError(errno=code) if code in _DISK_FULL:
            where = f" at {error.filename}" if error.filename else ""
            failure, reason = Failure.DISK_FULL, f"no space left{where}; free some and run with --retry-failed"
    return Status.FAILED, failure, reason
