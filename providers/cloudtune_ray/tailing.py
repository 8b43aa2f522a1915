"""Messages of a WebSocket (RFC 6455), as far as the dashboard follows a job's log by one: texts come, and nothing is told."""

import base64
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

from cloudtune.errors import ProviderError
from cloudtune.provider.http_api import HttpApi

_TIMEOUT = 10.0
"""Seconds that a connection, and each piece of its beginning, may take."""

_LONGEST_HEAD = 64 << 10

_CONTINUED, _TEXT, _CLOSE, _PING, _PONG = 0, 1, 8, 9, 10
"""Kinds of frames (section 5.2)."""


@contextlib.contextmanager
def texts(api: HttpApi, path: str, pause: float) -> Iterator[Iterator[str]]:
    """Connect, and yield the texts that come; "" whenever none came for a time. They end when the server closes the connection.

    Args:
        api: of the server.
        path: below its address.
        pause: seconds after which "" comes.

    Raises:
        ProviderError: it cannot be reached, breaks off, or speaks no WebSocket there (`code` is the status).
    """
    try:
        with contextlib.closing(_connected(api, path)) as connection:
            rest = _shake_hands(connection, api, path)
            connection.settimeout(pause)
            yield _messages(_Stream(connection, rest))
    except OSError as error:
        raise ProviderError(f"{api.service} cannot be followed: {error}", code="Connection", retryable=True) from error


def _connected(api: HttpApi, path: str) -> socket.socket:
    url = urlsplit(api.url(path))
    secure = url.scheme == "https"
    assert url.hostname is not None
    plain = socket.create_connection((url.hostname, url.port or (443 if secure else 80)), _TIMEOUT)
    if not secure:
        return plain
    context = api.tls or ssl.create_default_context()
    return context.wrap_socket(plain, server_hostname=url.hostname)


def _shake_hands(connection: socket.socket, api: HttpApi, path: str) -> bytes:
    """Ask for a WebSocket; return what came after the answer's head."""
    url = urlsplit(api.url(path))
    key = base64.b64encode(os.urandom(16)).decode()
    asked = {"Host": url.netloc.rpartition("@")[2], "Upgrade": "websocket", "Connection": "Upgrade",
             "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13", **api.headers}  # fmt: skip
    lines = [f"GET {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items()), "", ""]
    connection.sendall("\r\n".join(lines).encode("latin-1"))
    told = b""
    while b"\r\n\r\n" not in told and len(told) < _LONGEST_HEAD:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError("it ended the connection at once")
        told += piece
    head, _, rest = told.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1].decode("latin-1") if head.startswith(b"HTTP/") else ""
    if status != "101":
        first = head.partition(b"\r\n")[0].decode("latin-1")
        raise ProviderError(f"{api.service} does not follow logs: {first}", code=status or "Connection")
    return rest


class _Stream:
    """Reads frames from a connection, which may have come in part.

    Args:
        connection: with the time after which to give up for now.
        rest: what came already.
    """

    def __init__(self, connection: socket.socket, rest: bytes) -> None:
        self._connection, self._came = connection, bytearray(rest)

    def frame(self) -> tuple[bool, int, bytes] | None:
        """Return whether the next frame is the last of its message, its kind, and what it holds; None where it has not come yet.

        Raises:
            OSError: the connection broke.
        """
        while (found := self._whole()) is None:
            try:
                piece = self._connection.recv(1 << 16)
            except TimeoutError:
                return None
            if not piece:
                raise ConnectionResetError("the connection ended in the middle")
            self._came += piece
        return found

    def _whole(self) -> tuple[bool, int, bytes] | None:
        came = self._came
        if len(came) < 2:
            return None
        size, start = came[1] & 0x7F, 2
        for mark, form in ((126, "!H"), (127, "!Q")):
            if came[1] & 0x7F == mark:
                start = 2 + struct.calcsize(form)
                if len(came) < start:
                    return None
                (size,) = struct.unpack_from(form, came, 2)
        if len(came) < start + size:
            return None
        found = bool(came[0] & 0x80), came[0] & 0x0F, bytes(came[start : start + size])
        del came[: start + size]
        return found

    def answer(self, kind: int, held: bytes) -> None:
        """Send a small frame; a client's are masked."""
        mask = os.urandom(4)
        masked = bytes(each ^ mask[at % 4] for at, each in enumerate(held[:125]))
        self._connection.sendall(bytes((0x80 | kind, 0x80 | len(masked))) + mask + masked)


def _messages(stream: _Stream) -> Iterator[str]:
    parts: list[bytes] = []
    while True:
        frame = stream.frame()
        if frame is None:
            yield ""
            continue
        last, kind, held = frame
        if kind == _CLOSE:
            stream.answer(_CLOSE, held[:2])
            return
        if kind == _PING:
            stream.answer(_PONG, held)
        elif kind in (_TEXT, _CONTINUED):
            parts.append(held)
            if last:
                yield b"".join(parts).decode("utf-8", "replace")
                parts.clear()
