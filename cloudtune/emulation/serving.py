"""An HTTP server on this machine alone, whose connections and requests end with it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]

_LOOK_UP = 0.05
"""Seconds after which the server sees that it has to stop."""


class SilentHandler(WSGIRequestHandler):
    """Serves in silence: a program that uses the emulator speaks for itself."""

    protocol_version = "HTTP/1.1"  # clients keep their connections

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing."""


class LoopbackServer:
    """Serves a WSGI application on 127.0.0.1, a thread a connection.

    Args:
        port: where it listens; 0 for a free one.
        application: what it serves.
        handler: reads the requests.
        tls: with which it serves https; None for http.
    """

    def __init__(
        self,
        port: int,
        application: Application,
        *,
        handler: type[WSGIRequestHandler] = SilentHandler,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._port, self._application, self._handler, self._tls = port, application, handler, tls
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._connections: WeakSet[socket.socket] = WeakSet()
        self._threads: WeakSet[threading.Thread] = WeakSet()

    @property
    def url(self) -> str:
        """Its address."""
        port = self._port if self._server is None else self._server.server_address[1]
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{port}"

    def start(self) -> None:
        """Serves from now on.

        Raises:
            OSError: the port is taken.
        """
        with socket.create_server(("127.0.0.1", self._port)) as listening:
            self._server = make_server(
                "127.0.0.1",
                self._port,
                self._answer,
                threaded=True,
                request_handler=self._handler,
                ssl_context=self._tls,
                fd=listening.fileno(),  # of which it makes its own; by itself it would end the process if it cannot listen
            )
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
        for connection in list(self._connections):
            _shut(connection)
        for thread in list(self._threads):
            thread.join(timeout=10)
        self._server = self._thread = None

    def _answer(self, environ: Environ, respond: Any) -> Iterable[bytes]:
        self._connections.add(environ["werkzeug.socket"])
        self._threads.add(threading.current_thread())
        return self._application(environ, respond)


def cut(environ: Environ) -> None:
    """Closes the connection of a request."""
    _shut(environ["werkzeug.socket"])


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # its client was faster
