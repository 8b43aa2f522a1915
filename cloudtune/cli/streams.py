"""The standard streams, which may be missing, closed or full: what is shown must never decide how a command ends."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import IO

from cloudtune.errors import CloudtuneError

_STREAMS = (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY))


def open_missing() -> None:
    """Open what whoever started this process had closed (``2>&-``), so that no other file takes its descriptor.

    A database that had descriptor 2 would get whatever a library writes to stderr.
    """
    for descriptor, (name, flags) in enumerate(_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # takes the least free descriptor, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "r" if flags == os.O_RDONLY else "w", closefd=False))  # noqa: SIM115  # as long as the process


@contextlib.contextmanager
def may_be_lost() -> Iterator[None]:
    """Let what is printed within the context be lost where nobody can take it; errors of ours pass.

    Anything else but a reader who left is told on stderr.
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
    """Write what is left in the streams, or give it up: Python would end with another exit code for it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody can take it, or it is closed
            _discard(stream)


def _discard(stream: IO[str]) -> None:
    """Let everything that goes to a stream, also what is left in it, go nowhere from now on."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):  # it is none of the process's own
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
