"""Trials as jobs of a service that tells nothing by itself: the launcher asks it, once in a while."""

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from cloudtune.driver.launcher import Happening, Launcher
from cloudtune.driver.outages import OutageTolerance
from cloudtune.results.printed_metrics import last_lines
from cloudtune.store.records import Trial


class PolledLauncher(Launcher):
    """Looks at the service as long as trials run; what is left to each service has no body here.

    Args:
        interval: seconds between two looks.

    Attributes:
        happened: what a look has found; taken by the next `poll`.
        patience: with outages.
        lines: gives what an ended trial printed.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.happened: deque[Happening] = deque()
        self._next_look = 0.0
        self.patience = OutageTolerance()
        self.lines: Callable[[Trial], Iterable[str]] = lambda _trial: ()

    def printed(self, trial: Trial) -> Sequence[str]:
        return last_lines(self.lines(trial))

    def outlives(self, trial: Trial) -> bool:  # noqa: ARG002  # jobs are the service's, all of them
        return True

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether trials run."""

    @abstractmethod
    def look(self) -> None:
        """Looks once, by few calls, and adds to `happened` what is new.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    def pause(self) -> float:
        """Seconds until the next look."""
        return self.interval

    def poll(self, timeout: float) -> Sequence[Happening]:
        if not self.happened:
            now = time.monotonic()
            if self.busy and now >= self._next_look:
                with self.patience.borne():
                    self.look()
                self._next_look = time.monotonic() + self.pause()
            elif timeout > 0:
                time.sleep(min(timeout, max(self._next_look - now, 0.0) if self.busy else timeout))
        happened = list(self.happened)
        self.happened.clear()
        return happened
