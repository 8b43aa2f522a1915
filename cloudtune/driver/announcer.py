"""Pass a run's progress to a watcher, not too often, with what happened in between."""

import time
from collections.abc import Callable
from dataclasses import replace

from cloudtune.results.progress import Progress, Watcher

_INTERVAL = 0.1
"""Seconds between two calls of a watcher."""


class Announcer:
    """Calls a watcher.

    Args:
        watcher: gets the progress; None to announce nothing.
    """

    def __init__(self, watcher: Watcher | None) -> None:
        self._watcher = watcher
        self._messages: list[str] = []
        self._next = 0.0

    def event(self, number: int | None, message: str) -> None:
        """Keep an event of a trial, or of the run (None), for the next call."""
        if self._watcher is not None:
            self._messages.append(f"trial {number}: {message}" if number is not None else message)

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
