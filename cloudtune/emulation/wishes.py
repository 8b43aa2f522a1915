"""What others ask of a running job, whose own thread heeds it."""

import contextlib
import socket
import threading
from typing import Final, Literal

Wish = Literal["", "interrupt", "stop", "close"]
"""What somebody asks for: nothing; that the machines are taken away; an end; an end at once, of which nothing is told."""

_STRONGER: Final[tuple[Wish, ...]] = ("", "interrupt", "stop", "close")


class Wishes:
    """What is asked of one job; the strongest wish counts.

    Attributes:
        listen: becomes readable when something is asked.
    """

    def __init__(self) -> None:
        self.listen, self._waker = socket.socketpair()
        self.listen.setblocking(False)
        self._waker.setblocking(False)
        self._lock = threading.Lock()
        self._now: Wish = ""

    @property
    def now(self) -> Wish:
        """The strongest wish so far."""
        return self._now

    def ask(self, wish: Wish) -> None:
        """Asks for something; may be called from any thread, also after the end."""
        with self._lock:
            if _STRONGER.index(wish) > _STRONGER.index(self._now):
                self._now = wish
            with contextlib.suppress(OSError):  # the job has ended, or many a request waits already
                self._waker.send(b"x")

    def grant(self, wish: Wish) -> None:
        """Forgets a wish that is fulfilled; a stronger one, which came meanwhile, stays."""
        with self._lock:
            self._now = "" if self._now == wish else self._now

    def release(self) -> None:
        """Gives the sockets back, as the job has ended; what was asked is still told."""
        with self._lock:
            self.listen.close()
            self._waker.close()
