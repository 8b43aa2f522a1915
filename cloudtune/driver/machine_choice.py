"""Choose among the machine types that a job names: the preferred one, and the next while that has no room."""

import time
from collections.abc import Sequence

_FULL = 900.0
"""Seconds for which a machine type that had no room is passed over."""


class MachineChoice:
    """Which machine type the next trial gets.

    Args:
        machines: the preferred one first; empty where the job leaves no choice.
    """

    def __init__(self, machines: Sequence[str]) -> None:
        self._machines = tuple(machines)
        self._full: dict[str, float] = {}

    @property
    def current(self) -> str:
        """The first machine type that is not known to have no room; "" where there is no choice."""
        now = time.monotonic()
        free = (each for each in self._machines if self._full.get(each, 0.0) <= now)
        return next(free, self._machines[0] if self._machines else "")

    def without_room(self, machine: str) -> bool:
        """Take note that a machine type has no room; return whether another one is to be tried.

        After the last one all are free again, so that the next trial begins with the preferred one.
        """
        if len(self._machines) < 2:
            return False
        self._full[machine] = time.monotonic() + _FULL
        if all(self._full.get(each, 0.0) > time.monotonic() for each in self._machines):
            self._full.clear()
            return False
        return True
