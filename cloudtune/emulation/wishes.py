"""Requests of other threads to a running job, which the job's own thread carries out."""

import contextlib
import socket
import threading
from typing import Final, Literal

Wish = Literal["", "interrupt", "stop", "close"]
"""A request: none, interrupt (take the spot machines away), stop, or close (end at once without recording it)."""

_STRONGER: Final[tuple[Wish, ...]] = ("", "interrupt", "stop", "close")


class Wishes:
    """The requests to one job; the strongest one counts.

    Attributes:
        listen: a socket that becomes readable when something is requested.
    """

    def __init__(self) -> None:
        self.listen, self._waker = socket.socketpair()
        self.listen.setblocking(False)
        self._waker.setblocking(False)
        self._lock = threading.Lock()
        self._now: Wish = ""

    @property
    def now(self) -> Wish:
        """The strongest request so far."""
        return self._now

    def ask(self, wish: Wish) -> None:
        """Make a request; may be called from any thread, also after the job's end."""
        with self._lock:
            if _STRONGER.index(wish) > _STRONGER.index(self._now):
                self._now = wish
            with contextlib.suppress(OSError):  # the job has ended, or the buffer is full, so that it wakes anyway
                self._waker.send(b"x")

    def grant(self, wish: Wish) -> None:
        """Clear a request that has been carried out; keep a stronger one that was made meanwhile."""
        with self._lock:
            self._now = "" if self._now == wish else self._now

    def release(self) -> None:
        """Close the sockets at the job's end; `now` stays readable."""
        with self._lock:
            self.listen.close()
            self._waker.close()
