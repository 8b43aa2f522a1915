"""Serve the page on this machine until Ctrl-C."""

import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from cloudtune.errors import ConfigError
from cloudtune.ui.access import Access
from cloudtune.ui.app import Page

PORT = 8790
"""The port where none is named; a free one where it is taken."""


def listening(port: int | None) -> socket.socket:
    """Return a socket that listens on loopback, on a port or, for None, on `PORT` or a free one.

    Raises:
        ConfigError: the port that was named is taken.
    """
    for each in [PORT, 0] if port is None else [port]:
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", each))
        except OSError as error:
            found.close()
            if port is not None:
                raise ConfigError(
                    f"port {port} cannot be had ({error.strerror}); name another one with --port"
                ) from None
            continue
        found.listen(128)
        return found
    raise ConfigError("no port of 127.0.0.1 can be had")


class PageServer:
    """The page's server, which runs in the calling thread.

    Args:
        projects: the folders whose runs are shown.
        port: to listen on; None for any.
        control: whether runs may be changed from the page.
    """

    def __init__(self, projects: Sequence[Path], *, port: int | None = None, control: bool = False) -> None:
        self._socket = listening(port)
        self.access = Access(self._socket.getsockname()[1])
        self._page = Page(projects, control=control)
        config = uvicorn.Config(
            self._page.app(self.access), lifespan="off", log_level="warning", access_log=False, server_header=False,
            timeout_graceful_shutdown=2, limit_concurrency=200, ws="none",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._page.board.over = lambda: self._server.should_exit

    def run(self, *, started: Callable[[], object] = lambda: None) -> None:
        """Serve until Ctrl-C or `stop`.

        Args:
            started: called in another thread as soon as the page can be opened.
        """
        threading.Thread(target=started, daemon=True).start()  # the socket listens already
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            return
        finally:
            self._socket.close()
            self._page.close()

    def stop(self) -> None:
        """Have `run` return; from another thread."""
        self._server.should_exit = True

    def open_browser(self) -> bool:
        """Open the page in the user's browser; return whether there is one."""
        return webbrowser.open(self.access.address_with_token)
