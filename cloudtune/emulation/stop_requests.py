"""Requests of other threads to end a running job, which the job's own thread carries out."""

import contextlib
import select
import socket
import threading
from typing import Final, Literal

StopRequest = Literal["", "interrupt", "stop", "close"]
"""A request: none, interrupt (take the spot machines away), stop, or close (end at once without recording it)."""

_STRONGER: Final[tuple[StopRequest, ...]] = ("", "interrupt", "stop", "close")


class StopRequests:
    """The requests to one job; the strongest one counts.

    Attributes:
        socket: readable when something was requested.
    """

    def __init__(self) -> None:
        self.socket, self._waker = socket.socketpair()
        self.socket.setblocking(False)
        self._waker.setblocking(False)
        self._lock = threading.Lock()
        self._pending: StopRequest = ""

    @property
    def pending(self) -> StopRequest:
        """The strongest request that has not been cleared."""
        return self._pending

    def request(self, request: StopRequest) -> None:
        """Make a request; may be called from any thread, also after the job's end."""
        with self._lock:
            if _STRONGER.index(request) > _STRONGER.index(self._pending):
                self._pending = request
            with contextlib.suppress(OSError):  # the job has ended, or the buffer is full, so that it wakes anyway
                self._waker.send(b"x")

    def wait(self, seconds: float) -> None:
        """Wait so long, or until something is requested."""
        if seconds > 0 and not self._pending:
            poll = select.poll()  # select.select refuses descriptors from 1024 on
            poll.register(self.socket, select.POLLIN)
            poll.poll(1000 * seconds)

    def clear(self, request: StopRequest) -> None:
        """Clear a request that has been carried out; keep a stronger one that was made meanwhile."""
        with self._lock:
            self._pending = "" if self._pending == request else self._pending

    def close(self) -> None:
        """Close the sockets at the job's end; `pending` stays readable."""
        with self._lock:
            self.socket.close()
            self._waker.close()
