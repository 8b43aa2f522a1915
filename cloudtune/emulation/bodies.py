"""Reading of request bodies with a limit on their size; bodies above 256 kB go to disk."""

import json
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from typing import IO, Any

from werkzeug.wrappers import Request as _Request
from werkzeug.wsgi import get_input_stream

from cloudtune.emulation.access import Environ

_IN_MEMORY = 256 * 1024
"""Bytes above which a body is kept on disk."""

_CHUNK = 256 * 1024


class _Json:
    """Reads JSON for werkzeug, to which brackets alone, too, are no JSON."""

    @staticmethod
    def loads(text: str | bytes) -> Any:
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


class Request(_Request):
    """A request whose JSON may be anything."""

    json_module: Any = _Json


class TooLarge(Exception):
    """A body is larger than allowed."""


def receive(environ: Environ, target: IO[bytes], most: int) -> int:
    """Write the body of a request to a file and return its size in bytes.

    Args:
        environ: the request.
        target: the file.
        most: the most bytes allowed.

    Raises:
        TooLarge: the body, or its declared length, exceeds `most`.
        OSError: the body cannot be received or written.
    """
    size = 0
    for chunk in chunks(environ, most):
        target.write(chunk)
        size += len(chunk)
    return size


def at_hand(environ: Environ, most: int) -> str:
    """Read the body of a request, keep it readable for the application, and return its SHA-256 in hexadecimal.

    Args:
        environ: the request; its ``wsgi.input`` is replaced by a file.
        most: the most bytes allowed.

    Raises:
        TooLarge: the body, or its declared length, exceeds `most`.
        OSError: the body cannot be received or written.
    """
    body, size, hashed = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY), 0, sha256()  # noqa: SIM115  # the request's
    for chunk in chunks(environ, most):
        size += len(chunk)
        hashed.update(chunk)
        body.write(chunk)
    replace(environ, body, size)
    return hashed.hexdigest()


def replace(environ: Environ, body: IO[bytes], size: int) -> None:
    """Replace the body of a request by a file, read from its beginning, of `size` bytes."""
    body.seek(0)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = body, str(size)
    for name in ("HTTP_TRANSFER_ENCODING", "wsgi.input_terminated"):
        environ.pop(name, None)


def chunks(environ: Environ, most: int) -> Iterator[bytes]:
    """Yield the body of a request in chunks of at most 256 kB.

    Args:
        environ: the request.
        most: the most bytes allowed.

    Raises:
        TooLarge: the body, or its declared length, exceeds `most`.
        OSError: the body cannot be received.
    """
    declared = str(environ.get("CONTENT_LENGTH") or "0")
    if not (declared.isascii() and declared.isdecimal() and len(declared) < 20 and int(declared) <= most):
        raise TooLarge
    stream, size = get_input_stream(environ), 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > most:
            raise TooLarge
        yield chunk
