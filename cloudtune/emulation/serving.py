"""An HTTP(S) server on 127.0.0.1 that requires credentials and closes its connections when it stops.

Slow or silent clients do not block others: every connection has a thread of its own, which also does the TLS handshake
and has a time limit; at the maximum of connections, the one that has waited longest without a request is closed.
"""

import io
import re
import socket
import ssl
import sys
import threading
import time
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from cloudtune.emulation.access import Admit, Application, Environ, Guard, Refuse

_PIECE = 65_536
"""Bytes that are read at a time of a body that nobody wants."""

_LOOK_UP = 0.05
"""Seconds between two checks for a requested stop."""

HEAD_SECONDS = 20.0
"""Seconds within which a connection must complete the TLS handshake and send the head of its request."""

BODY_SECONDS = 900.0
"""Seconds within which a request's body must arrive, and each chunk of its answer must be received."""

REST_SECONDS = 30.0
"""Seconds for which the rest of a body that nobody has read is taken after the answer (nginx's ``lingering_time``)."""

REST_PAUSE = 5.0
"""Seconds without a byte after which that rest is given up (nginx's ``lingering_timeout``)."""

CONNECTIONS = 512
"""The most connections at a time."""


class SilentHandler(WSGIRequestHandler):
    """A request handler with time limits and without log output."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer waits until the client has acknowledged the TLS tickets: 40 ms

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # werkzeug's name
        """Write no log."""

    def setup(self) -> None:
        """Set up the connection with a reader that has a time limit."""
        super().setup()
        self._reader = _Reader(self.connection, time.monotonic() + HEAD_SECONDS)
        self.rfile = io.BufferedReader(self._reader)

    def run_wsgi(self) -> None:
        """Answer the request; its head has been read."""
        assert isinstance(self.server, _Server)
        self.server.note_request(self.connection)
        self._reader.until = time.monotonic() + BODY_SECONDS
        self.connection.settimeout(BODY_SECONDS)
        head = self.rfile.tell()
        super().run_wsgi()
        self._take_rest(head)

    def _take_rest(self, head: int) -> None:
        """Read what is left of a body that was answered unread; else the client, still sending, loses the answer.

        A connection closed with unread bytes is reset, and a reset discards what the client has not read yet
        (RFC 9112, section 9.6). Closing the writing side first tells the client that the answer is whole.
        """
        end = time.monotonic() + REST_SECONDS
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        whole = sys.maxsize if chunked else head + int(self.headers.get("Content-Length") or 0)
        if self.rfile.tell() >= whole:
            return
        socket.socket.shutdown(self.connection, socket.SHUT_WR)  # not TLS's, after which nothing can be read
        while self.rfile.tell() < whole and time.monotonic() < end:
            self._reader.until = min(end, time.monotonic() + REST_PAUSE)
            if not self.rfile.read1(_PIECE):
                return


class _Reader(io.RawIOBase):
    """A raw reader of a connection that raises TimeoutError after a point in time (monotonic clock, seconds)."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self.until, self._taken = connection, until, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request comes too slowly")
        self._connection.settimeout(left)
        count = self._connection.recv_into(buffer)
        self._taken += count
        return count

    def tell(self) -> int:
        """Return the number of bytes that were read."""
        return self._taken


class _Server(ThreadedWSGIServer):
    """Werkzeug's threaded server, with the TLS handshake in a connection's own thread and all connections closable."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS

    def __init__(
        self, application: Application, handler: type[WSGIRequestHandler], tls: ssl.SSLContext | None, listening: int
    ) -> None:
        super().__init__("127.0.0.1", 0, application, handler, fd=listening)
        self.ssl_context = (
            tls  # sets werkzeug's scheme; passed to its constructor, the TLS handshake would block accepting
        )
        self._tls = tls
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread | None] = {}
        self._waiting: dict[socket.socket, None] = {}  # connections without a complete request head, the oldest first

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection; at the maximum, close the longest-waiting one or else the new one."""
        if not self._make_room():
            self.shutdown_request(request)
            return
        with self._lock:
            self._waiting[request] = self._open[request] = None
        super().process_request(request, client_address)

    def _make_room(self) -> bool:
        """Make room for a connection; return False if every open one has a request that is being answered."""
        with self._lock:
            if len(self._open) < CONNECTIONS:
                return True
            eldest = next(iter(self._waiting), None)
        if eldest is not None:
            self._forget(eldest)
            _shut(eldest)
        return eldest is not None

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Do the TLS handshake and answer the connection's requests; runs in its own thread."""
        request.settimeout(HEAD_SECONDS)
        try:
            if self._tls is not None:
                request = self._secured(request, self._tls)
                request.do_handshake()
            with self._lock:
                if request in self._open:
                    self._open[request] = threading.current_thread()
            self.finish_request(request, client_address)
        except (OSError, ValueError):
            pass  # the client has disconnected, does not speak TLS, or is too slow
        finally:
            self._forget(request)
            self.shutdown_request(request)

    def _secured(self, plain: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        """Return the connection wrapped for TLS, before the handshake."""
        with self._lock:
            secured = tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            if plain in self._open:
                del self._open[plain], self._waiting[plain]
                self._waiting[secured] = self._open[secured] = None
        return secured

    def note_request(self, connection: socket.socket) -> None:
        """Note that the head of a connection's request has arrived."""
        with self._lock:
            self._waiting.pop(connection, None)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._waiting.pop(connection, None)
            self._open.pop(connection, None)

    def end_connections(self) -> None:
        """Close every connection, and wait up to 10 s for each request that is being answered."""
        with self._lock:
            connections = dict(self._open)
        for connection in connections:
            _shut(connection)
        for thread in connections.values():
            if thread is not None:
                thread.join(timeout=10)


class LoopbackServer:
    """A server of a WSGI application on 127.0.0.1 for clients with its credentials.

    Args:
        port: the port; 0 for a free one.
        application: the WSGI application.
        admit: checks the credentials of every request; see `cloudtune.emulation.access`.
        refuse: answers refused requests.
        names: matches further values of ``Host`` that mean this server.
        handler: the handler of requests.
        tls: the context for https; None for http.
    """

    def __init__(
        self,
        port: int,
        application: Application,
        *,
        admit: Admit,
        refuse: Refuse,
        names: "re.Pattern[str] | None" = None,
        handler: type[SilentHandler] = SilentHandler,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._given, self._handler, self._tls = port, handler, tls
        self._guard = Guard(application, port=lambda: self.port, admit=admit, refuse=refuse, names=names)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port on which it listens; the given one before `start`."""
        return self._given if self._server is None else int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its base address, e.g. ``http://127.0.0.1:4566``."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start to serve, in a thread.

        Raises:
            OSError: the port is taken.
        """
        with socket.create_server(("127.0.0.1", self._given), backlog=CONNECTIONS) as listening:
            # Listen here, since werkzeug ends the process if it cannot; it duplicates the descriptor.
            self._server = _Server(self._guard, self._handler, self._tls, listening.fileno())
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[_LOOK_UP], name="emulator", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection, and wait for the requests that are being answered."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server = self._thread = None


def cut(environ: Environ) -> None:
    """Close the connection of a request."""
    _shut(environ["werkzeug.socket"])


def _shut(connection: socket.socket) -> None:
    try:
        socket.socket.shutdown(
            connection, socket.SHUT_RDWR
        )  # no TLS shutdown, since the connection's thread may be reading
    except OSError:
        return  # the client has closed it already
