"""The bodies of requests, at hand while they are answered: on the disk beyond a megabyte, and none too large."""

import tempfile
from hashlib import sha256

from werkzeug.wsgi import get_input_stream

from cloudtune.emulation.access import Environ

_IN_MEMORY = 1024**2
"""Bytes beyond which a body is on the disk."""

_CHUNK = 1024**2


class TooLarge(Exception):
    """A body is larger than it may be."""


def at_hand(environ: Environ, most: int) -> str:
    """Read the body of a request, so that the application can read it anew, and return its SHA-256 in hexadecimal.

    Args:
        environ: the request; its ``wsgi.input`` is replaced by a file.
        most: bytes that it may have.

    Raises:
        TooLarge: it has more, or says so.
        OSError: it does not come, or cannot be written.
    """
    said = str(environ.get("CONTENT_LENGTH") or "0")
    if not said.isdecimal() or int(said) > most:
        raise TooLarge
    stream = get_input_stream(environ)
    body, size, hashed = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY), 0, sha256()  # noqa: SIM115  # the request's
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > most:
            raise TooLarge
        hashed.update(chunk)
        body.write(chunk)
    body.seek(0)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = body, str(size)
    for name in ("HTTP_TRANSFER_ENCODING", "wsgi.input_terminated"):
        environ.pop(name, None)
    return hashed.hexdigest()
