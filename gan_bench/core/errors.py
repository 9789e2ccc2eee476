"""Errors that a user can act on. Each message is one sentence: what, where and the remedy."""

from __future__ import annotations

import errno
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Numbers of errors that say that no space is left: for bytes, or for one more file."""
CLOSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""Error numbers of places where nothing can be written, even after files are removed."""


class StopProcess(BaseException):
    """A request to end this process; it cannot be confused with an exception of other code."""


def is_stop(error: BaseException) -> bool:
    """True if an exception must end this process and may not be caught.

    Third-party code may raise anything: also what is no ``Exception``, such as ``asyncio.CancelledError``. It may print
    whose reader is gone; a broken pipe of its own is its own fault.
    """
    if isinstance(error, BrokenPipeError):
        return any(map(is_broken_pipe, (1, 2)))
    return isinstance(error, (KeyboardInterrupt, StopProcess))


def is_broken_pipe(descriptor: int) -> bool:
    """True if the reader of a stream is gone."""
    try:
        poll = select.poll()
        poll.register(descriptor, 0)  # errors and hang-ups are always reported
        return bool(poll.poll(0))
    except (AttributeError, OSError):  # not on every system; a stream that was closed
        return False


class UserError(Exception):
    """Something the user gave cannot be used; the command line prints it and exits with code 2."""

    def __str__(self) -> str:
        """Return the message, with file names that are not UTF-8 escaped: no stream could print them."""
        return super().__str__().encode(errors="backslashreplace").decode()


@contextmanager
def writing(out: Path, instead: str) -> Iterator[None]:
    """Turn errors of writing to ``--out`` into a sentence.

    Args:
        out: The place.
        instead: What else may be named: ``another folder``.

    Raises:
        UserError: The block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); choose {instead} with --out") from None


class DeviceError(UserError):
    """A device does not exist, or it cannot be used."""


class DataError(UserError):
    """A dataset is missing, damaged or too small for what is asked of it."""


class DiskFullError(UserError):
    """There is no space left where something must be written."""


class SuiteError(UserError):
    """A suite file or a plan made from it is not valid."""


class UnrunPluginsError(SuiteError):
    """A suite names a recipe that may be of its plug-ins, which did not run."""


class RecordError(UserError):
    """A record cannot be used.

    Attributes:
        status: What its row in tables says.
        folder: Name of the record directory or the suite's folder that it is about, where a reader of many set it.
        bare: The message without what helps, where a reader of many knows that better.
    """

    status = "damaged"
    folder = ""
    bare = ""

    @property
    def line(self) -> str:
        """The message with the status, for lists of omitted records."""
        return f"{self.status}: {self}"


class DamagedError(RecordError):
    """A record is damaged: its content is not what it claims to be."""


class AlteredError(DamagedError):
    """A record is well-formed but not what was saved: a digest does not match."""

    status = "altered"


class CopiedError(RecordError):
    """A record is a copy of another one under the same results folder; a trial counts once."""

    status = "copy"

    def __init__(self, path: Path, first: Path) -> None:
        super().__init__(f"{path} is a copy of {first}, and a trial counts once; move it elsewhere")
        self.path = path


class MisplacedError(RecordError):
    """Records lie in another folder than that which their suite is read from: they count in no study."""

    status = "misplaced"

    def __init__(self, path: Path, home: Path, count: int = 0) -> None:
        """Name the folder of the suite.

        Args:
            path: A record, or a folder of them.
            home: The folder of their suite.
            count: How many records the folder holds.
        """
        what = f"{path}, with {count} record{'s' * (count > 1)}," if count else f"{path}"
        said = f"{what} is of a suite that is read from {home}, and counts in no table"
        super().__init__(f"{said}; move what is of the same run there, and all else elsewhere")
        self.path, self.bare = path, said


class UnreadableError(RecordError):
    """A record that this process may not read, or that another version wrote: it is not damaged, and is kept."""

    status = "unreadable"


_NO_MEMORY = (
    *("can't allocate memory", "not enough memory", "cannot allocate memory"),
    *("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    *("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "CUSOLVER_STATUS_ALLOC_FAILED"),
    *("CUDA driver error: out of memory", "Triton Error [CUDA]: out of memory"),
)
_PERHAPS_NO_MEMORY = (
    "was unable to find an engine to execute this computation",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
)
"""What PyTorch says where cuDNN has no algorithm for a convolution, or a library cannot begin, and also where none of
the algorithms, or the library, got its memory."""


def is_out_of_memory(error: BaseException, trials: int = 1) -> bool:
    """True if memory ran out: torch raises a RuntimeError, for main memory a plain one.

    Args:
        error: What was raised.
        trials: How many train together. Several for which a library has no algorithm, or cannot begin, are taken to
            be too many: half of them may fit, and a lone trial for which it is so says why.
    """
    if isinstance(error, RuntimeError):
        texts = _NO_MEMORY if trials == 1 else (*_NO_MEMORY, *_PERHAPS_NO_MEMORY)
        return any(text in str(error) for text in texts)
    return isinstance(error, MemoryError)


_OF_CUDA = ("CUDA", "cuDNN", "cudnn", "CUBLAS_", "unable to find an engine to execute")


def is_of_cuda(error: BaseException) -> bool:
    """True if CUDA or one of its libraries failed; of these torch raises plain RuntimeErrors."""
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OF_CUDA)


def brief(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message, where it can say one."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # a third-party class
        lines = []
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
