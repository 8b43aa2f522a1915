"""An HTTP server on this machine alone, which only those may use who have its credentials, and whose connections end with it.

What connects and says nothing, or says it slowly, holds a thread for a short time and stops nobody else: every
connection has a thread of its own, in which its TLS begins, too, and where there are too many, the one that has waited
longest without a whole request is closed.
"""

import io
import re
import socket
import ssl
import threading
import time
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from cloudtune.emulation.access import Admit, Application, Environ, Guard, Refuse

_LOOK_UP = 0.05
"""Seconds after which the server sees that it has to stop."""

HEAD_SECONDS = 20.0
"""Seconds in which a connection must have begun its TLS and sent the head of its request."""

BODY_SECONDS = 900.0
"""Seconds in which a request's body must have come, and in which each piece of its answer must be taken."""

CONNECTIONS = 512
"""How many connections there may be at a time."""


class SilentHandler(WSGIRequestHandler):
    """Serves in silence: a program that uses the emulator speaks for itself."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # werkzeug's name
        """Says nothing."""

    def setup(self) -> None:
        """Makes a reader of the request that does not wait for ever."""
        super().setup()
        self._reader = _Reader(self.connection, time.monotonic() + HEAD_SECONDS)
        self.rfile = io.BufferedReader(self._reader)

    def run_wsgi(self) -> None:
        """Answers the request, whose head is there."""
        assert isinstance(self.server, _Server)
        self.server.note_request(self.connection)
        self._reader.until = time.monotonic() + BODY_SECONDS
        self.connection.settimeout(BODY_SECONDS)
        super().run_wsgi()


class _Reader(io.RawIOBase):
    """Reads a connection until a moment, however slowly the bytes come."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self.until = connection, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request comes too slowly")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Server(ThreadedWSGIServer):
    """Werkzeug's server of threads, with TLS that begins in a connection's own thread, and an end of all connections."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS

    def __init__(
        self, application: Application, handler: type[WSGIRequestHandler], tls: ssl.SSLContext | None, listening: int
    ) -> None:
        super().__init__("127.0.0.1", 0, application, handler, fd=listening)
        self.ssl_context = tls  # tells werkzeug the scheme; given to its constructor, TLS would begin while accepting
        self._tls = tls
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread | None] = {}
        self._waiting: dict[socket.socket, None] = {}  # those without a whole request, the eldest first

    def process_request(self, request: Any, client_address: Any) -> None:
        """Gives a connection its thread; where there are too many, the one leaves that has waited longest."""
        if not self._make_room():
            self.shutdown_request(request)
            return
        with self._lock:
            self._waiting[request] = self._open[request] = None
        super().process_request(request, client_address)

    def _make_room(self) -> bool:
        """Whether there is a place for another connection: not where each has a request that is being answered."""
        with self._lock:
            if len(self._open) < CONNECTIONS:
                return True
            eldest = next(iter(self._waiting), None)
        if eldest is not None:
            self._forget(eldest)
            _shut(eldest)
        return eldest is not None

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Begins TLS and answers the request, in the connection's own thread."""
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
            pass  # the client has left, speaks no TLS, or is too slow
        finally:
            self._forget(request)
            self.shutdown_request(request)

    def _secured(self, plain: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        """The same connection for TLS, which is yet to begin."""
        with self._lock:
            secured = tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            if plain in self._open:
                del self._open[plain], self._waiting[plain]
                self._waiting[secured] = self._open[secured] = None
        return secured

    def note_request(self, connection: socket.socket) -> None:
        """Notes that the head of a connection's request is there."""
        with self._lock:
            self._waiting.pop(connection, None)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._waiting.pop(connection, None)
            self._open.pop(connection, None)

    def end_connections(self) -> None:
        """Closes every connection, and waits until no request is being answered."""
        with self._lock:
            connections = dict(self._open)
        for connection in connections:
            _shut(connection)
        for thread in connections.values():
            if thread is not None:
                thread.join(timeout=10)


class LoopbackServer:
    """Serves a WSGI application on 127.0.0.1 to those who have its credentials.

    Args:
        port: where it listens; 0 for a free one.
        application: what it serves.
        admit: looks at the credentials of every request; see `cloudtune.emulation.access`.
        refuse: answers a request that is refused.
        names: further names, of ``Host``, by which it may be called.
        handler: reads the requests.
        tls: with which it serves https; None for http.
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
        """Where it listens; what was given, before it does."""
        return self._given if self._server is None else int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serves from now on.

        Raises:
            OSError: the port is taken.
        """
        with socket.create_server(("127.0.0.1", self._given), backlog=CONNECTIONS) as listening:
            # Werkzeug makes a descriptor of its own; by itself it would end the process if it cannot listen.
            self._server = _Server(self._guard, self._handler, self._tls, listening.fileno())
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[_LOOK_UP], name="emulator", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Closes the port and every connection, and waits until no request is being answered."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server = self._thread = None


def cut(environ: Environ) -> None:
    """Closes the connection of a request."""
    _shut(environ["werkzeug.socket"])


def _shut(connection: socket.socket) -> None:
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # of TLS nothing: its own thread may be reading
    except OSError:
        return  # its client was faster
