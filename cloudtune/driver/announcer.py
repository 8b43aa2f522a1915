"""Say what happens in a run: to its store, and to a watcher together with the progress, not too often."""

import time
from collections.abc import Callable
from dataclasses import replace

from cloudtune.results.progress import Progress, Watcher
from cloudtune.store.unit_of_work import UnitOfWork

_INTERVAL = 0.1
"""Seconds between two calls of a watcher."""


class Announcer:
    """Writes events, and calls a watcher.

    Args:
        work: takes the events for the store.
        watcher: gets the progress; None to tell the store alone.
    """

    def __init__(self, work: UnitOfWork, watcher: Watcher | None) -> None:
        self._work = work
        self._watcher = watcher
        self._messages: list[str] = []
        self._next = 0.0

    def event(self, number: int | None, message: str) -> None:
        """Add an event of a trial, or of the run (None), and keep it for the next call."""
        self._work.event(number, message)
        if self._watcher is not None:
            self._messages.append(f"trial {number}: {message}" if number is not None else message)

    def say(self, message: str) -> None:
        """Add an event of the run."""
        self.event(None, message)

    def show(self, progress: Callable[[], Progress], *, last: bool = False) -> None:
        """Call the watcher if it is time.

        Args:
            progress: returns the present progress, without messages; called only if it is time.
            last: whether there is no later call: it is time then.
        """
        if self._watcher is None or (not last and time.monotonic() < self._next):
            return
        self._next = time.monotonic() + _INTERVAL
        self._watcher(replace(progress(), message="\n".join(self._messages)))
        self._messages = []
