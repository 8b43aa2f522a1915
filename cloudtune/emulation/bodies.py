"""The bodies of requests: on the disk beyond 256 kB, not in memory, and none too large."""

import tempfile
from collections.abc import Iterator
from hashlib import sha256
from typing import IO

from werkzeug.wsgi import get_input_stream

from cloudtune.emulation.access import Environ

_IN_MEMORY = 256 * 1024
"""Bytes beyond which a body is on the disk."""

_CHUNK = 256 * 1024


class TooLarge(Exception):
    """A body is larger than it may be."""


def receive(environ: Environ, target: IO[bytes], most: int) -> int:
    """Write the body of a request to a file as it comes, and return its size in bytes.

    Args:
        environ: the request.
        target: where its body goes.
        most: bytes that it may have.

    Raises:
        TooLarge: it has more, or says so.
        OSError: it does not come, or cannot be written.
    """
    size = 0
    for chunk in chunks(environ, most):
        target.write(chunk)
        size += len(chunk)
    return size


def at_hand(environ: Environ, most: int) -> str:
    """Read the body of a request, so that the application can read it anew, and return its SHA-256 in hexadecimal.

    Args:
        environ: the request; its ``wsgi.input`` is replaced by a file.
        most: bytes that it may have.

    Raises:
        TooLarge: it has more, or says so.
        OSError: it does not come, or cannot be written.
    """
    body, size, hashed = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY), 0, sha256()  # noqa: SIM115  # the request's
    for chunk in chunks(environ, most):
        size += len(chunk)
        hashed.update(chunk)
        body.write(chunk)
    replace(environ, body, size)
    return hashed.hexdigest()


def replace(environ: Environ, body: IO[bytes], size: int) -> None:
    """Give a request another body: a file from its begin, with its size in bytes."""
    body.seek(0)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = body, str(size)
    for name in ("HTTP_TRANSFER_ENCODING", "wsgi.input_terminated"):
        environ.pop(name, None)


def chunks(environ: Environ, most: int) -> Iterator[bytes]:
    """Read the body of a request, piece by piece.

    Args:
        environ: the request.
        most: bytes that it may have.

    Raises:
        TooLarge: it has more, or says so.
        OSError: it does not come.
    """
    said = str(environ.get("CONTENT_LENGTH") or "0")
    if not (said.isascii() and said.isdecimal() and len(said) < 20 and int(said) <= most):
        raise TooLarge
    stream, size = get_input_stream(environ), 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > most:
            raise TooLarge
        yield chunk
