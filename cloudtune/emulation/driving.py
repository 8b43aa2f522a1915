"""What cloudtune's driver launches for an emulator's tuning job: jobs whose threads tell what happens to them."""

import queue
from abc import abstractmethod
from collections.abc import Sequence

from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.store.records import Report, Trial


class Closed(Exception):  # nothing has gone wrong, so it is no Error
    """The emulator ends: the driver shall leave, and tell nothing any more."""


class ThreadedLauncher(Launcher):
    """Launches trials whose reports and ends come from other threads."""

    def __init__(self) -> None:
        self._happened: queue.SimpleQueue[Report | Ended | None] = queue.SimpleQueue()
        self._closed = False

    @abstractmethod
    def begin(self, trial: Trial) -> None:
        """Starts a trial; what goes wrong is told as its end."""

    def launch(self, trial: Trial) -> None:
        if self._closed:
            raise Closed
        self.begin(trial)

    def adopt(self, trial: Trial) -> bool:  # noqa: ARG002  # a tuning job does not outlive its driver
        return False

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        happened: list[Report | Ended] = []
        try:
            while True:
                one = self._happened.get(timeout=0 if happened or timeout <= 0 else timeout)
                if one is None:
                    break
                happened.append(one)
        except queue.Empty:
            pass  # that was all
        if self._closed:
            raise Closed
        return happened

    # From other threads

    def tell(self, happened: Report | Ended) -> None:
        """Tells the driver what happened."""
        self._happened.put(happened)

    def wake(self) -> None:
        """Lets a waiting `poll` return."""
        self._happened.put(None)

    def abandon(self) -> None:
        """Makes the driver leave; what it launched is ended by whoever owns it."""
        self._closed = True
        self.wake()
