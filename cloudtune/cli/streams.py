"""Standard streams that may be missing, closed or full, so that printing never decides the exit code."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import IO

from cloudtune.errors import CloudtuneError

_STREAMS = (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY))


def open_missing() -> None:
    """Open /dev/null for standard streams closed at the start (``2>&-``), so that no file gets their descriptor.

    A database file with descriptor 2 would get whatever a library writes to stderr.
    """
    for descriptor, (name, flags) in enumerate(_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # gets the least free descriptor, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "r" if flags == os.O_RDONLY else "w", closefd=False))  # noqa: SIM115  # open until the process ends


@contextlib.contextmanager
def may_be_lost() -> Iterator[None]:
    """Discard output of the context that cannot be written; let errors of cloudtune and of files pass.

    Print the error to stderr, unless the reader has closed the pipe.
    """
    try:
        yield
        sys.stdout.flush()
    except CloudtuneError:
        raise
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        if error.filename is not None:
            raise
        _discard(sys.stdout)
        with contextlib.suppress(OSError):
            print(f"error: the result cannot be printed: {error.strerror or error}", file=sys.stderr)


def flush() -> None:
    """Flush stdout and stderr, or discard what cannot be written: Python would exit with code 120 for it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the reader has gone, the disk is full, or it is closed
            _discard(stream)


def _discard(stream: IO[str]) -> None:
    """Redirect a stream, with what its buffer still holds, to /dev/null."""
    with contextlib.suppress(
        OSError, ValueError, io.UnsupportedOperation
    ):  # no stream with a descriptor, e.g. in tests
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
