"""One run on a cloud service: what is the same whether the service's own tuner runs it or cloudtune's driver."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from cloudtune.driver.listeners import gone
from cloudtune.driver.outputs import TrialOutputs
from cloudtune.errors import ProviderError, TrialError
from cloudtune.provider.reachable import answers
from cloudtune.provider.service import Service
from cloudtune.results.progress import Watcher
from cloudtune.store import archive
from cloudtune.store.records import RunState, Trial
from cloudtune.store.secrets import forget
from cloudtune.store.store import RunStore

_REACH = 2.0
"""Seconds within which the service has to answer at all, before it is asked for a log or files."""


class ServiceRun(ABC):
    """A run of one service; a subclass starts, follows and ends it.

    Args:
        service: that runs its trials.
        run: the run.
    """

    def __init__(self, service: Service, run: RunStore) -> None:
        self.service = service
        self.run = run

    @property
    @abstractmethod
    def outputs(self) -> TrialOutputs:
        """The reader of what its trials printed and left; loads the service's SDK."""

    @abstractmethod
    def start(self) -> None:
        """Start the run; see `Provider.start`."""

    @abstractmethod
    def follow(self, watcher: Watcher | None = None) -> RunState:
        """Follow the run to its end; see `Provider.follow`."""

    @abstractmethod
    def refresh(self) -> None:
        """Bring the store up to date; see `Provider.refresh`."""

    @abstractmethod
    def cancel(self) -> None:
        """Ask the run to end; see `Provider.cancel`."""

    def printed(self, trial: Trial) -> Iterator[str]:
        """Return the lines that a trial has printed so far."""
        return self.outputs.lines(trial, lambda: True)

    def logs(self, number: int, *, follow: bool) -> Iterator[str]:
        """Return the lines that a trial printed; see `Provider.logs`."""
        trial = self._begun(number)
        kept = archive.kept_log(self.run, trial)
        if kept is not None:
            return kept

        def over() -> bool:
            if not follow:
                return True
            self.refresh()
            now = self.run.trial(number)
            return now is None or now.state.ended

        self._reach_for(trial, "printed")
        lines = self.outputs.lines(trial, over)
        return archive.keeping(self.run, trial, lines) if trial.state.ended else lines

    def fetch(self, number: int, target: Path) -> list[Path]:
        """Copy what a trial left; see `Provider.fetch`."""
        trial = self._begun(number)
        kept = archive.kept_files(self.run, trial, target)
        if kept is not None:
            return kept
        self._reach_for(trial, "left")
        return self.outputs.files(trial, target)

    def _begun(self, number: int) -> Trial:
        trial = self.run.existing(number)
        if not trial.place:
            raise TrialError(f"trial {number} has not started yet")
        return trial

    def _reach_for(self, trial: Trial, what: str) -> None:
        """Make sure that the service may be asked what a trial printed or left.

        Raises:
            TrialError: that was in an emulator which is gone.
            ProviderError: see `Service.reach`; or the service does not answer.
        """
        if gone(self.run.record()):
            raise TrialError(f"what trial {trial.number} {what} is gone with the emulator that it ran in")
        self.service.reach(self.run)
        for service, address in self.service.addresses().items():
            if not answers(address, _REACH):
                where = f"what trial {trial.number} {what} is at {service}"
                raise ProviderError(f"{where}, which cannot be reached", code="Connection", retryable=True)

    def settle(self) -> None:
        """Remove what an ended run no longer needs, such as its secrets, and save what an emulator has of it."""
        forget(self.run)
        self.keep()

    def keep(self) -> None:
        """Save what an emulator has of the run; do nothing for a real service, or if the emulator has ended."""
        if self.service.emulators() and not gone(self.run.record()):
            archive.keep(self.run, self.printed, self.outputs.files)
