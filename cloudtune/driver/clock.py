"""The time that a run has been driven."""

import time


class Clock:
    """Counts the seconds that a run has been driven, by this driver from now on and by earlier ones."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._before = 0.0

    def restore(self, before: float) -> None:
        """Add the seconds of earlier drivers."""
        self._before = before

    def elapsed(self) -> float:
        """Return the seconds so far."""
        return self._before + time.monotonic() - self._start
