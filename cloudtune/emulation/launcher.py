"""The launcher with which cloudtune's driver runs the trials of an emulated tuning job, one thread per trial."""

import queue
from abc import abstractmethod
from collections.abc import Sequence

from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.store.records import Report, Trial


class Closed(Exception):  # nothing has gone wrong, so it is no Error
    """The emulator is closing: the driver must stop without recording anything."""


class ThreadedLauncher(Launcher):
    """A launcher whose trials post their reports and ends from other threads."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Report | Ended | None] = queue.SimpleQueue()
        self._closed = False

    @abstractmethod
    def begin(self, trial: Trial) -> None:
        """Start a trial and return at once; post its reports and its end, also a failed start, through `tell`."""

    def launch(self, trial: Trial) -> None:
        if self._closed:
            raise Closed
        self.begin(trial)

    def adopt(self, trial: Trial) -> bool:  # noqa: ARG002  # a tuning job does not outlive its driver
        return False

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        events: list[Report | Ended] = []
        try:
            while True:
                event = self._events.get(timeout=0 if events or timeout <= 0 else timeout)
                if event is None:
                    break
                events.append(event)
        except queue.Empty:
            pass  # all events are taken
        if self._closed:
            raise Closed
        return events

    # From other threads

    def tell(self, event: Report | Ended) -> None:
        """Post a report or an end; the next `poll` of the driver returns it."""
        self._events.put(event)

    def wake(self) -> None:
        """Make a waiting `poll` return."""
        self._events.put(None)

    def abandon(self) -> None:
        """Make the driver raise `Closed` at its next call; the caller ends the launched trials."""
        self._closed = True
        self.wake()
